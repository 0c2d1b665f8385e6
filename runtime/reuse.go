package runtime

import (
	"context"
	"encoding/json"

	"github.com/neosofia/runner/runtime/ledger"
)

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

// taken is an earlier step of a call, or nil. Each serves one call: what is called twice
// was to be done twice.
func (r *Run) taken(digest string) *past {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.earlier[digest]
	if len(list) == 0 {
		return nil
	}
	r.earlier[digest] = list[1:]
	return list[0]
}

// reuse takes over a step of the run that is retried, when it still stands.
func (r *Run) reuse(ctx context.Context, c *call) (outcome, bool, error) {
	d, can := c.decl.(reusable)
	if !can {
		return outcome{}, false, nil
	}
	for was := r.taken(c.begin.Digest); was != nil; was = r.taken(c.begin.Digest) {
		s := &Step{ID: c.id, Run: r.header.ID, Attempt: 1, World: r.cfg.World, run: r, name: c.info.Name, marks: map[string]string{}}
		ok, err := d.reuse(ctx, s, c.args, was.end.Value)
		if err != nil {
			return outcome{}, false, err
		}
		if ok {
			return r.takeOver(ctx, c, was)
		}
	}
	return outcome{}, false, nil
}

// takeOver records the outcome of an earlier step as that of this call.
func (r *Run) takeOver(ctx context.Context, c *call, was *past) (outcome, bool, error) {
	end := ledger.End{Call: &c.begin, OK: true, Value: was.end.Value, Reused: was.run, Facts: ledger.Facts{Findings: was.end.Findings}}
	if err := r.entry(ctx, false, ledger.StepEnd, c.id, end); err != nil {
		return outcome{}, false, err
	}
	r.observe(Event{Kind: EventEnd, Time: r.engine.Now(), Step: c.id, Primitive: c.info.Name, Args: c.begin.Args, Replayed: true,
		Text: "still stands from run " + was.run, Facts: &end.Facts})
	for _, f := range end.Findings {
		r.find(f)
	}
	return outcome{value: was.end.Value}, true, nil
}
