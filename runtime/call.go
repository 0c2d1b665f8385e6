package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/words"
	"go.starlark.net/starlark"
)

// call is one call of a primitive, checked, with its place.
type call struct {
	id    string
	decl  Declaration
	info  Info
	args  any
	begin ledger.Begin
	from  string // the primitive whose unknown outcome is an argument: plans only
}

// outcome is what a call ended with, in its recorded encoding.
type outcome struct {
	value json.RawMessage
	plan  any
}

// primitive is the Starlark function of a declaration.
func primitive(d Declaration) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	info := d.Info()
	return func(t *starlark.Thread, fn *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		b, err := branchOf(t, info.Name)
		if err != nil {
			return nil, err
		}
		c := &call{id: b.next(), decl: d, info: info}
		if from, unknown := hasUnknown(kwargs); unknown {
			c.from = from
		} else if c.args, err = d.unpack(args, kwargs); err != nil {
			return nil, err
		}
		if c.args != nil {
			c.info.Kind = d.kind(c.args)
		}
		if c.begin, err = c.describe(position(t), kwargs); err != nil {
			return nil, err
		}
		out, err := b.do(c)
		if err != nil {
			return nil, err
		}
		if out.plan != nil {
			return plannedValue(t, out.plan)
		}
		return decodeResult(out.value)
	}
}

// do performs a call; meanwhile the thread is not within Starlark.
func (b *branch) do(c *call) (outcome, error) {
	b.pulse.beat(false)
	b.run.meter.calls.Add(1)
	defer func() {
		b.run.meter.left.Add(1)
		b.run.meter.calls.Add(-1)
		b.pulse.beat(true)
	}()
	return b.run.engine.Do(b.ctx, c)
}

// position is where the policy called.
func position(t *starlark.Thread) string {
	if t.CallStackDepth() < 2 {
		return ""
	}
	return t.CallFrame(1).Pos.String()
}

func (c *call) describe(pos string, kwargs []starlark.Tuple) (ledger.Begin, error) {
	begin := ledger.Begin{Primitive: c.info.Name, Kind: c.info.Kind.String(), Position: pos, Attempt: 1}
	if c.args == nil {
		begin.Args = plannedArgs(kwargs)
		return begin, nil
	}
	raw, err := encodeArgs(c.args)
	if err != nil {
		return begin, fmt.Errorf("%s: record arguments: %w", c.info.Name, err)
	}
	begin.Args, begin.Digest = raw, digest(c.info.Name, raw)
	return begin, nil
}

func digest(name string, raw []byte) string {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write(raw)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func plannedArgs(kwargs []starlark.Tuple) json.RawMessage {
	m := map[string]any{}
	for _, kv := range kwargs {
		name, _ := starlark.AsString(kv[0])
		if u := unknownIn(kv[1]); u != nil {
			m[name] = "(from " + u.From + ")"
		} else if x, err := toGo(kv[1]); err == nil {
			m[name] = x
		}
	}
	raw, err := ledger.Canonical(m)
	if err != nil {
		return nil
	}
	return raw
}

// do is the local engine's Do: replay, settle, plan or perform.
func (r *Run) do(ctx context.Context, c *call) (outcome, error) {
	if r.cfg.Mode == Plan {
		return r.plan(ctx, c)
	}
	was := r.history[c.id]
	if was != nil {
		if err := was.agrees(c); err != nil {
			return outcome{}, err
		}
		if was.end != nil {
			return r.replay(c, was)
		}
	}
	if err := context.Cause(ctx); err != nil {
		return outcome{}, err
	}
	if c.info.Kind == Destroy && !r.cfg.Allowed[c.info.Name] {
		if r.spared(c) {
			return r.spare(ctx, c)
		}
		return outcome{}, &failure.Error{Code: failure.Refused, Doing: c.info.Name + " removes things, and the site does not allow it",
			Hint: fmt.Sprintf("write allow(destroy = [%q]) in site.star if it shall", c.info.Name)}
	}
	step := &Step{ID: c.id, Run: r.header.ID, Attempt: 1, World: r.cfg.World, run: r, name: c.info.Name, marks: map[string]string{}}
	if was == nil {
		if out, ok, err := r.reuse(ctx, c); ok || err != nil {
			return out, err
		}
	} else {
		step.marks, step.Attempt = was.marks, was.begin.Attempt+1
	}
	release, err := r.leases.hold(ctx, step, c.decl.holds(c.args))
	if err != nil {
		return outcome{}, err
	}
	defer release()
	return r.attempts(ctx, c, step, was)
}

// attempts performs a call, again when its declaration says so. A Write that may
// have begun is probed first.
func (r *Run) attempts(ctx context.Context, c *call, s *Step, was *past) (outcome, error) {
	wait := c.info.Retries.Wait
	for begun := was != nil; ; begun = true {
		started := r.engine.Now()
		c.begin.Attempt = s.Attempt
		if c.info.Kind != Read {
			if err := r.entry(ctx, true, ledger.StepBegin, c.id, c.begin); err != nil {
				return outcome{}, err
			}
		}
		r.observe(Event{Kind: EventBegin, Time: started, Step: c.id, Primitive: c.info.Name, Args: c.begin.Args})
		res, err := r.perform(ctx, c, s, begun)
		err = ownFault(err)
		if cause := context.Cause(ctx); cause != nil && err != nil {
			if errors.Is(cause, ErrInterrupted) || errors.Is(cause, context.Canceled) {
				return outcome{}, cause // no end: resume settles it
			}
			err = cause
		}
		again := temporary(err) && s.Attempt < c.info.Retries.Attempts
		raw, err := r.end(ctx, c, res, err, again, r.engine.Now().Sub(started))
		if !again {
			return outcome{value: raw}, err
		}
		said, _, _ := strings.Cut(err.Error(), "\nhint: ") // to be acted on once the last attempt has failed
		s.Log("attempt %d of %d: %s; next in %s", s.Attempt, c.info.Retries.Attempts, said, words.Span(wait))
		if err := s.Sleep(ctx, wait); err != nil {
			return outcome{}, err
		}
		wait *= 2
		s.Attempt++
	}
}

func temporary(err error) bool {
	var e *failure.Error
	return errors.As(err, &e) && e.Temporary
}

// perform calls the system, the probe, or the fake.
func (r *Run) perform(ctx context.Context, c *call, s *Step, begun bool) (Result, error) {
	if r.cfg.Mode == Fake {
		return r.pretend(ctx, c, s)
	}
	if begun && c.info.Kind != Read {
		switch c.info.Resume {
		case Fail:
			return Result{}, &failure.Error{Code: failure.Interrupted, Doing: c.info.Name + " was under way when the run died, and whether it " +
				"had its effect cannot be known",
				Hint: "look at the system, then start a new run"}
		case Probe:
			res, done, err := c.decl.probe(ctx, s, c.args)
			if done || err != nil {
				return res, err
			}
		}
	}
	return c.decl.run(ctx, s, c.args)
}

// pretend calls the fake, unless the script of the test has another outcome.
func (r *Run) pretend(ctx context.Context, c *call, s *Step) (Result, error) {
	if script := r.cfg.Script; script != nil {
		var args map[string]any
		if err := json.Unmarshal(c.begin.Args, &args); err != nil {
			return Result{}, err
		}
		if err := script.Fault(c.id, c.info.Name, args); err != nil {
			return Result{}, err
		}
		if v, given := script.Answer(c.info.Name, args); given {
			return c.decl.answered(ctx, s, c.args, v)
		}
	}
	return c.decl.fake(ctx, s, c.args)
}

// end records the outcome and returns its encoding, or the failure.
func (r *Run) end(ctx context.Context, c *call, res Result, failed error, again bool, took time.Duration) (json.RawMessage, error) {
	end := ledger.End{OK: failed == nil, Nanos: int64(took), Retried: again, Facts: res.Facts}
	if c.info.Kind == Read {
		end.Call = &c.begin
	}
	if failed == nil {
		raw, err := encodeResult(res.Value)
		if err == nil && len(raw) > MaxResult {
			err = &failure.Error{Code: failure.Result, Doing: fmt.Sprintf("%s returned %d bytes, at most %d can be recorded", c.info.Name, len(raw),
				MaxResult)}
		}
		if err != nil {
			failed, end.OK = err, false
		}
		end.Value = raw
	}
	if failed != nil {
		end.Value, end.Failure = nil, failureOf(failed)
	}
	if err := r.entry(context.WithoutCancel(ctx), c.info.Kind != Read || !end.OK, ledger.StepEnd, c.id, end); err != nil {
		return nil, err
	}
	r.observe(Event{Kind: EventEnd, Time: r.engine.Now(), Step: c.id, Primitive: c.info.Name, Args: c.begin.Args,
		Failure: end.Failure, Facts: &end.Facts, Elapsed: took, Again: again})
	for _, f := range res.Facts.Findings {
		r.find(f)
	}
	return end.Value, failed
}

// entry records now, or with the next durable write.
func (r *Run) entry(ctx context.Context, durable bool, typ, step string, body any) error {
	e, err := ledger.NewEntry(typ, r.engine.Now(), r.header.ID, step, body)
	if err != nil {
		return err
	}
	if durable {
		return r.record(ctx, e)
	}
	if err := r.ledger.Later(e); err != nil {
		return ledgerError(err)
	}
	return nil
}

// plan performs reads whose arguments are known and plans the rest.
func (r *Run) plan(ctx context.Context, c *call) (outcome, error) {
	r.observe(Event{Kind: EventBegin, Time: r.engine.Now(), Step: c.id, Primitive: c.info.Name, Args: c.begin.Args,
		Text: c.info.Kind.String()})
	if c.args == nil {
		return outcome{plan: Unknown{c.info.Name}}, nil
	}
	s := &Step{ID: c.id, Run: "plan", Attempt: 1, World: r.cfg.World, run: r, name: c.info.Name, marks: map[string]string{}}
	if c.info.Kind != Read {
		if err := c.decl.report(ctx, s, c.args); err != nil {
			return outcome{}, err
		}
		return outcome{plan: c.decl.planned(c.args)}, nil
	}
	res, err := c.decl.run(ctx, s, c.args)
	if err != nil {
		return outcome{}, err
	}
	raw, err := encodeResult(res.Value)
	return outcome{value: raw}, err
}
