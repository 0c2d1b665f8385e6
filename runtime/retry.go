package runtime

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
)

// chain finds when the first of the runs began that this one retries, and takes
// their steps as earlier ones: those of the newest first, and none that a newer run, or
// this one before it was resumed, took over.
func (r *Run) chain(ctx context.Context, h ledger.Run) error {
	r.since = h.Began
	key := func(p *past) string { return p.begin.Digest + string(p.end.Value) }
	have := map[string]int{}
	for _, p := range r.history {
		if p.end != nil && p.end.OK {
			have[key(p)]++
		}
	}
	for id := h.RetryOf; id != ""; {
		old, _, err := loadRun(ctx, r.ledger, id)
		if err != nil {
			return err
		}
		steps, _, err := readHistory(ctx, r.ledger, id)
		if err != nil {
			return err
		}
		seen := map[string]int{}
		for _, step := range slices.SortedFunc(maps.Keys(steps), func(a, b string) int { return strings.Compare(StepKey(a), StepKey(b)) }) {
			p := steps[step]
			if p.end == nil || !p.end.OK {
				continue
			}
			k := key(p)
			if seen[k]++; seen[k] > have[k] {
				have[k] = seen[k]
				r.earlier[p.begin.Digest] = append(r.earlier[p.begin.Digest], p)
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

// superseded refuses a run that died and was followed by another of its policy.
func superseded(id, by string) error {
	return fmt.Errorf("run %s died, and is superseded by run %s\nhint: runner show %s; if it is not ok: runner retry %s", id, by, by, by)
}

// notRetried refuses a run whose place another one took: what that one has done
// would be done again.
func notRetried(ctx context.Context, s ledger.Store, id string) error {
	runs, err := ledger.All[ledger.Run](ctx, s, ledger.Query{Kind: ledger.RowRun})
	if err != nil {
		return ledgerError(err)
	}
	var end ledger.RunOutcome
	if _, err := ledger.One(ctx, s, ledger.Query{Kind: ledger.RowRunEnd, ID: id}, &end); err != nil {
		return ledgerError(err)
	}
	if end.By != "" {
		return superseded(id, end.By)
	}
	for _, r := range runs {
		if r.RetryOf == id {
			return fmt.Errorf("run %s was retried by run %s\nhint: runner show %s; if it is not ok: runner retry %s", id, r.ID, r.ID, r.ID)
		}
	}
	return nil
}
