package runtime

import (
	"context"
	"fmt"
	"path"

	"github.com/neosofia/runner/runtime/ledger"
)

// say tells a watcher something of the run itself.
func (r *Run) say(format string, args ...any) {
	r.observe(Event{Kind: EventPrint, Time: r.engine.Now(), Text: fmt.Sprintf(format, args...)})
}

// closeDead closes runs of this policy that died without an end, and then cleans up,
// once, after every run that has ended. A dead run of another policy may
// still be resumed.
func (r *Run) closeDead(ctx context.Context) error {
	runs, err := ledger.All[ledger.Run](ctx, r.ledger, ledger.Query{Kind: ledger.RowRun})
	if err != nil {
		return ledgerError(err)
	}
	ended := map[string]bool{}
	if err := r.ledger.Rows(ctx, ledger.Query{Kind: ledger.RowRunEnd},
		func(row ledger.Row) error { ended[row.ID] = true; return nil }); err != nil {
		return ledgerError(err)
	}
	for _, old := range runs {
		if ended[old.ID] || old.ID == r.header.ID || r.cfg.State != "" && Alive(r.cfg.State, old.ID) {
			continue
		}
		if !samePolicy(old, r.header) {
			lab := ""
			if old.Lab {
				lab = "--lab "
			}
			r.say("run %s of %s died, and waits: runner resume %s%s", old.ID, path.Base(old.Path), lab, old.ID)
			continue
		}
		r.say("run %s died; this one takes its place", old.ID)
		out := ledger.RunOutcome{Result: ledger.Interrupted, By: r.header.ID, Ended: r.engine.Now().UTC(),
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
