package runtime

import (
	"context"
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
	return &failure.Error{Code: failure.Diverged, Doing: fmt.Sprintf("the record has %s at %s, the policy now calls %s at %s with other "+
		"arguments or in another order",
		p.begin.Primitive, p.begin.Position, c.info.Name, c.begin.Position), Hint: "start a new run; runner show lists what this one has done"}
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
