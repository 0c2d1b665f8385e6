package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// past is what the ledger knows of one step.
type past struct {
	run   string
	begin ledger.Begin
	marks map[string]string
	end   *ledger.End
}

// readHistory collects the steps of a run.
func readHistory(ctx context.Context, s ledger.Store, run string) (map[string]*past, time.Duration, error) {
	out := map[string]*past{}
	var spent, last time.Duration
	var began time.Time
	err := s.Entries(ctx, ledger.Filter{Run: run}, func(e ledger.Entry) error {
		switch e.Type {
		case ledger.RunBegin, ledger.RunResume:
			spent += last
			began, last = e.Time, 0
			return nil
		}
		last = e.Time.Sub(began)
		p := out[e.Step]
		if p == nil && e.Step != "" {
			p = &past{run: run, marks: map[string]string{}}
			out[e.Step] = p
		}
		switch e.Type {
		case ledger.StepBegin:
			p.end = nil
			return e.Decode(&p.begin)
		case ledger.StepMark:
			var m ledger.Mark
			if err := e.Decode(&m); err != nil {
				return err
			}
			p.marks[m.Key] = m.Value
		case ledger.StepEnd:
			var end ledger.End
			if err := e.Decode(&end); err != nil {
				return err
			}
			if end.Call != nil {
				p.begin = *end.Call
			}
			if !end.Retried {
				p.end = &end
			}
		}
		return nil
	})
	for id, p := range out {
		if p.begin.Primitive == "" {
			delete(out, id) // undo entries carry the step's id too
		}
	}
	return out, spent + last, err
}

// agrees refuses a replay whose call is another one.
func (p *past) agrees(c *call) error {
	if p.begin.Primitive == c.info.Name && p.begin.Digest == c.begin.Digest {
		return nil
	}
	return &failure.Error{Code: failure.Diverged, Doing: fmt.Sprintf("the record has %s at %s, the policy now calls %s at %s with other arguments or in another order",
		p.begin.Primitive, p.begin.Position, c.info.Name, c.begin.Position), Hint: "start a new run; runner show tells what this one has done"}
}

// replay returns the recorded outcome.
func (r *Run) replay(c *call, was *past) (outcome, error) {
	r.observe(Event{Kind: EventEnd, Time: r.engine.Now(), Step: c.id, Primitive: c.info.Name, Args: c.begin.Args, Replayed: true,
		Failure: was.end.Failure, Facts: &was.end.Facts, Elapsed: time.Duration(was.end.Nanos)})
	for _, f := range was.end.Findings {
		r.find(f)
	}
	if f := was.end.Failure; f != nil {
		return outcome{}, &failure.Error{Code: failure.Code{Name: f.Code}, Doing: f.Message, Hint: f.Hint}
	}
	return outcome{value: was.end.Value}, nil
}

// Reuser is the optional part of a Declaration for retries: whether what an
// earlier run's step returned still stands, so that it need not be done again.
type Reuser[A any] func(ctx context.Context, s *Step, a *A, value json.RawMessage) (bool, error)

// Reusable is a Primitive with a Reuser.
type Reusable[A any] struct {
	Primitive[A]
	Reuse Reuser[A]
}

type reusable interface {
	reuse(ctx context.Context, s *Step, a any, value json.RawMessage) (bool, error)
}

func (p Reusable[A]) reuse(ctx context.Context, s *Step, a any, value json.RawMessage) (bool, error) {
	return p.Reuse(ctx, s, a.(*A), value)
}

// reuse takes over a step of the run that is retried, when it still stands.
func (r *Run) reuse(ctx context.Context, c *call) (outcome, bool, error) {
	was := r.earlier[c.begin.Digest]
	d, can := c.decl.(reusable)
	if was == nil || !can || was.end == nil || !was.end.OK {
		return outcome{}, false, nil
	}
	s := &Step{ID: c.id, Run: r.header.ID, Attempt: 1, World: r.cfg.World, run: r, name: c.info.Name, marks: map[string]string{}}
	ok, err := d.reuse(ctx, s, c.args, was.end.Value)
	if err != nil || !ok {
		return outcome{}, false, err
	}
	end := ledger.End{Call: &c.begin, OK: true, Value: was.end.Value, Reused: was.run, Facts: ledger.Facts{Findings: was.end.Findings}}
	if err := r.entry(ctx, false, ledger.StepEnd, c.id, end); err != nil {
		return outcome{}, false, err
	}
	r.observe(Event{Kind: EventEnd, Time: r.engine.Now(), Step: c.id, Primitive: c.info.Name, Args: c.begin.Args, Replayed: true, Text: "still stands from run " + was.run, Facts: &end.Facts})
	for _, f := range end.Findings {
		r.find(f)
	}
	return outcome{value: was.end.Value}, true, nil
}

// load reads a recorded run's header and, if it ended, its outcome.
func loadRun(ctx context.Context, s ledger.Store, run string) (ledger.Run, *ledger.RunOutcome, error) {
	var h ledger.Run
	found, err := ledger.One(ctx, s, ledger.Query{Kind: ledger.RowRun, ID: run}, &h)
	if err != nil {
		return h, nil, err
	}
	if !found {
		return h, nil, fmt.Errorf("no run %s is recorded\nhint: runner runs lists them", run)
	}
	var end ledger.RunOutcome
	ended, err := ledger.One(ctx, s, ledger.Query{Kind: ledger.RowRunEnd, ID: run}, &end)
	if err != nil || !ended {
		return h, nil, err
	}
	return h, &end, nil
}

// ResumeRun goes on with a run that has no end. Code and site must be those that
// it began with.
func ResumeRun(ctx context.Context, cfg Config, id string) (*Outcome, error) {
	h, end, err := loadRun(ctx, cfg.Ledger, id)
	if err != nil {
		return nil, err
	}
	if end != nil {
		return nil, fmt.Errorf("run %s has ended: %s\nhint: runner retry %s does what is missing", id, end.Result, id)
	}
	if err := sameCode(h, cfg); err != nil {
		return nil, err
	}
	if err := believed(ctx, cfg); err != nil {
		return nil, err
	}
	r := newRun(cfg)
	me := cfg.Header
	r.header = h
	r.header.Host, r.header.Boot, r.header.PID, r.header.Path = me.Host, me.Boot, me.PID, me.Path
	r.cfg.Args = h.Args
	r.openLeases()
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	defer r.leases.close()
	if _, end, err := loadRun(ctx, cfg.Ledger, id); err != nil || end != nil { // it may have ended before the lease was ours
		if err == nil {
			err = fmt.Errorf("run %s has ended meanwhile: %s", id, end.Result)
		}
		return nil, err
	}
	if r.history, r.spent, err = readHistory(ctx, cfg.Ledger, id); err != nil {
		return nil, err
	}
	if err := r.chain(ctx, h); err != nil {
		return nil, err
	}
	e, err := ledger.NewEntry(ledger.RunResume, r.engine.Now(), id, "", ledger.Resumption{Operator: me.Operator, Host: me.Host, Boot: me.Boot, PID: me.PID})
	if err != nil {
		return nil, err
	}
	if err := r.record(ctx, e); err != nil {
		return nil, err
	}
	return r.execute(ctx)
}

func sameCode(h ledger.Run, cfg Config) error {
	now := cfg.Program.Graph.Sums()
	for _, label := range sortedKeys(h.Sources) {
		if now[label] != h.Sources[label] {
			return changed(label, h.ID, h.Sources[label], now[label])
		}
	}
	if len(now) != len(h.Sources) {
		return &failure.Error{Code: failure.Refused, Doing: "the policy loads other files than when run " + h.ID + " began", Hint: "start a new run"}
	}
	if cfg.Header.Site != h.Site {
		return changed("the site "+cfg.Header.SitePath, h.ID, h.Site, cfg.Header.Site)
	}
	return nil
}

func changed(what, run, then, now string) error {
	return &failure.Error{Code: failure.Refused, Doing: fmt.Sprintf("%s was changed since run %s began (%.12s… then, %.12s… now)", what, run, then, now),
		Hint: "put the old text back to resume, or start a new run"}
}

// chain finds when the first of the runs began that this one retries, and takes
// their steps as earlier ones.
func (r *Run) chain(ctx context.Context, h ledger.Run) error {
	r.since = h.Began
	for id := h.RetryOf; id != ""; {
		old, _, err := loadRun(ctx, r.ledger, id)
		if err != nil {
			return err
		}
		steps, _, err := readHistory(ctx, r.ledger, id)
		if err != nil {
			return err
		}
		for _, p := range steps {
			if _, newer := r.earlier[p.begin.Digest]; !newer && p.end != nil && p.end.OK {
				r.earlier[p.begin.Digest] = p
			}
		}
		r.since, id = old.Began, old.RetryOf
	}
	return nil
}

// RetryRun starts a new run that does only what an ended one left undone.
func RetryRun(ctx context.Context, cfg Config, id string) (*Outcome, error) {
	old, end, err := loadRun(ctx, cfg.Ledger, id)
	if err != nil {
		return nil, err
	}
	if end == nil {
		return nil, fmt.Errorf("run %s has not ended\nhint: runner resume %s", id, id)
	}
	if end.Result == ledger.OK {
		return nil, fmt.Errorf("run %s ended ok: nothing is left to do", id)
	}
	if err := notRetried(ctx, cfg.Ledger, id); err != nil {
		return nil, err
	}
	if old.Policy != cfg.Program.Graph.Entry.Label {
		return nil, fmt.Errorf("run %s was of %s, not of %s", id, old.Policy, cfg.Program.Graph.Entry.Label)
	}
	if err := believed(ctx, cfg); err != nil {
		return nil, err
	}
	r := newRun(cfg)
	p := cfg.Program
	h := &r.header
	h.Policy, h.Policies, h.Sources, h.Code = p.Graph.Entry.Label, p.Policies, p.Graph.Sums(), p.Graph.Digest()
	h.Args, h.Began, h.RetryOf = old.Args, r.engine.Now().UTC(), id
	r.cfg.Args = old.Args
	r.openLeases()
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	defer r.leases.close()
	if err := notRetried(ctx, cfg.Ledger, id); err != nil { // another retry may have come first
		return nil, err
	}
	if err := r.chain(ctx, *h); err != nil {
		return nil, err
	}
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	return r.execute(ctx)
}

// notRetried refuses a run whose place another one took: what that one has done
// would be done again.
func notRetried(ctx context.Context, s ledger.Store, id string) error {
	runs, err := ledger.All[ledger.Run](ctx, s, ledger.Query{Kind: ledger.RowRun})
	if err != nil {
		return ledgerError(err)
	}
	for _, r := range runs {
		if r.RetryOf == id {
			return fmt.Errorf("run %s was retried by run %s\nhint: runner show %s; if it is not ok: runner retry %s", id, r.ID, r.ID, r.ID)
		}
	}
	return nil
}

// settleOthers closes runs of this policy that died without an end, and cleans up
// after them and after every run that has ended. A dead run of another policy may
// still be resumed.
func (r *Run) settleOthers(ctx context.Context) error {
	runs, err := ledger.All[ledger.Run](ctx, r.ledger, ledger.Query{Kind: ledger.RowRun})
	if err != nil {
		return ledgerError(err)
	}
	ended := map[string]bool{}
	if err := r.ledger.Rows(ctx, ledger.Query{Kind: ledger.RowRunEnd}, func(row ledger.Row) error { ended[row.ID] = true; return nil }); err != nil {
		return ledgerError(err)
	}
	for _, old := range runs {
		if ended[old.ID] || !samePolicy(old, r.header) || r.cfg.State != "" && Alive(r.cfg.State, old.ID) {
			continue
		}
		r.cleanUp(ctx, old.ID)
		out := ledger.RunOutcome{Result: ledger.Interrupted, Ended: r.engine.Now().UTC(),
			Failure: &ledger.Failure{Message: "the run died; run " + r.header.ID + " took its place"}}
		e, err := ledger.NewEntry(ledger.RunEnd, out.Ended, old.ID, "", out)
		if err != nil {
			return err
		}
		if err := r.record(ctx, e); err != nil {
			return err
		}
		ended[old.ID] = true
	}
	return r.cleanUpAgain(ctx, ended)
}

// policyName is how leases name a policy: by its file where that is known, since
// two folders may each hold a nightly.star.
func policyName(h ledger.Run) string {
	if h.Path != "" {
		return "policy:" + h.Path
	}
	return "policy:" + h.Policy
}

func samePolicy(a, b ledger.Run) bool { return policyName(a) == policyName(b) }
