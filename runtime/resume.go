package runtime

import (
	"context"
	"fmt"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

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
	if end != nil && end.By != "" {
		return nil, superseded(id, end.By)
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
	e, err := ledger.NewEntry(ledger.RunResume, r.engine.Now(), id, "", ledger.Resumption{Operator: me.Operator, Host: me.Host, Boot: me.Boot,
		PID: me.PID})
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
		return &failure.Error{Code: failure.Refused, Doing: "the policy loads other files than when run " + h.ID + " began",
			Hint: "start a new run"}
	}
	if cfg.Header.Site != h.Site {
		return changed("the site "+cfg.Header.SitePath, h.ID, h.Site, cfg.Header.Site)
	}
	return nil
}

func changed(what, run, then, now string) error {
	return &failure.Error{Code: failure.Refused, Doing: fmt.Sprintf("%s was changed since run %s began (%.12s… then, %.12s… now)", what, run,
		then, now),
		Hint: "put the old text back to resume, or start a new run"}
}
