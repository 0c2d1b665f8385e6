package main

import (
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/spf13/cobra"
)

func retryCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use: "retry [RUN]", Short: "do what a failed or degraded run left undone; default: the newest one",
		Long: "retry is a new run, linked to the old one. Archives, copies and proofs that still stand are taken over; the rest is done.",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: f.runs(ledger.Failed, ledger.DegradedRun, ledger.Interrupted),
		RunE: func(c *cobra.Command, args []string) error {
			return f.takeUp(c.Context(), args, runtime.RetryRun, func(ended string, retried bool) bool {
				return !retried && (ended == ledger.Failed || ended == ledger.DegradedRun || ended == ledger.Interrupted)
			}, "no run failed or is degraded")
		},
	}
}
