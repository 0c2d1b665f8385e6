package main

import (
	"context"
	"fmt"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/spf13/cobra"
)

func resumeCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use: "resume [RUN]", Short: "go on with a run that died; default: the newest one",
		Long: "resume replays what a run without an end has done, settles what was under way by asking the systems, and goes on. Policy and " +
			"site must be the ones that it began with.",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: f.runs(ledger.Interrupted),
		RunE: func(c *cobra.Command, args []string) error {
			return f.takeUp(c.Context(), args, runtime.ResumeRun, func(ended string, _ bool) bool { return ended == "" },
				"no run waits to be resumed")
		},
	}
}

// takeUp finds the run that is meant, and its policy.
func (f *flags) takeUp(ctx context.Context, args []string, begin func(context.Context, runtime.Config, string) (*runtime.Outcome, error),
	fits func(ended string, retried bool) bool, none string) error {
	run, err := f.pick(ctx, args, fits, none)
	if err != nil {
		return err
	}
	return f.start(ctx, run.Path, func(ctx context.Context, cfg runtime.Config) (*runtime.Outcome, error) {
		return begin(ctx, cfg, run.ID)
	})
}

// pick returns the named run, or the newest that fits: ended is "" for one
// without an end, retried says that a later run took its place.
func (f *flags) pick(ctx context.Context, args []string, fits func(ended string, retried bool) bool, none string) (run ledger.Run,
	err error) {
	s, err := f.session()
	if err != nil {
		return run, err
	}
	defer s.done(&err)
	if err := s.openLedger(ctx, false); err != nil {
		return run, err
	}
	runs, err := ledger.All[ledger.Run](ctx, s.ledger, ledger.Query{Kind: ledger.RowRun})
	if err != nil {
		return run, err
	}
	retried := map[string]bool{}
	for _, r := range runs {
		retried[r.RetryOf] = true
	}
	for i := len(runs) - 1; i >= 0; i-- {
		if len(args) == 1 {
			if runs[i].ID == args[0] {
				return runs[i], nil
			}
			continue
		}
		var end ledger.RunOutcome
		if _, err := ledger.One(ctx, s.ledger, ledger.Query{Kind: ledger.RowRunEnd, ID: runs[i].ID}, &end); err != nil {
			return run, err
		}
		if fits(end.Result, retried[runs[i].ID] || end.By != "") && !(end.Result == "" && runtime.Alive(s.state, runs[i].ID)) {
			return runs[i], nil
		}
	}
	if len(args) == 1 {
		return run, fmt.Errorf("no run %s is recorded\nhint: runner runs%s lists them", args[0], s.labFlag())
	}
	return run, fmt.Errorf("%s\nhint: runner runs%s lists them", none, s.labFlag())
}
