package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/neosofia/runner/runtime/ledger"
)

// cleanUpAgain takes up what an earlier clean-up of a run that ended could not do.
func (r *Run) cleanUpAgain(ctx context.Context, ended map[string]bool) error {
	left := map[string]bool{}
	err := r.ledger.Rows(ctx, ledger.Query{Kind: ledger.RowUndo}, func(row ledger.Row) error {
		left[row.Run] = ended[row.Run]
		return nil
	})
	if err != nil {
		return ledgerError(err)
	}
	for _, run := range sortedKeys(left) {
		if left[run] && run != r.header.ID {
			r.cleanUp(ctx, run)
		}
	}
	return nil
}

// cleanUp does the undo records of a run that were not kept.
func (r *Run) cleanUp(ctx context.Context, run string) {
	undos, err := ledger.All[ledger.Undo](ctx, r.ledger, ledger.Query{Kind: ledger.RowUndo, Run: run})
	if err != nil {
		r.find(ledger.Finding{Severity: ledger.DegradedRun, Text: "clean up: " + err.Error()})
		return
	}
	for i, u := range undos {
		err := r.undo(ctx, fmt.Sprintf("/undo/%d/%s", i, u.ID), u)
		out := ledger.UndoOutcome{ID: u.ID, Needed: true}
		if err != nil {
			out.Failure = failureOf(err)
			r.find(ledger.Finding{Severity: ledger.DegradedRun, Text: fmt.Sprintf("clean up by %s after run %s: %v", u.Primitive, run, err)})
		}
		if err := r.entry(ctx, true, ledger.UndoEnd, "", out); err != nil {
			r.find(ledger.Finding{Severity: ledger.DegradedRun, Text: "clean up: " + err.Error()})
		}
	}
}

func (r *Run) undo(ctx context.Context, id string, u ledger.Undo) error {
	for _, d := range r.cfg.Program.rt.Primitives {
		info := d.Info()
		if info.Name != u.Primitive {
			continue
		}
		args, err := d.restore(u.Args)
		if err != nil {
			return err
		}
		c := &call{id: id, decl: d, info: info, args: args, begin: ledger.Begin{Primitive: info.Name, Kind: info.Kind.String(), Args: u.Args,
			Digest: digest(info.Name, u.Args), Attempt: 1}}
		s := &Step{ID: id, Run: r.header.ID, Attempt: 1, World: r.cfg.World, run: r, name: info.Name, marks: map[string]string{}}
		release, err := r.leases.hold(ctx, s, d.holds(args))
		if err != nil {
			return err
		}
		defer release()
		_, err = r.attempts(ctx, c, s, nil)
		return err
	}
	return errors.New("no such primitive in this version of runner")
}
