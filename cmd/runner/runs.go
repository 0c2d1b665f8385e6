package main

import (
	"os"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
	"github.com/spf13/cobra"
)

func runsCommand(f *flags) *cobra.Command {
	limit := 20
	c := &cobra.Command{
		Use: "runs", Short: "list runs, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			s, err := f.session()
			if err != nil {
				return err
			}
			defer s.done(&err)
			if err := s.openLedger(c.Context(), false); err != nil {
				return err
			}
			runs, err := report.Runs(c.Context(), ledger.Catalog{Store: s.ledger}, limit,
				func(run string) bool { return runtime.Alive(s.state, run) })
			if err != nil {
				return err
			}
			if f.json {
				return runs.JSON(os.Stdout)
			}
			return runs.Text(os.Stdout, s.text())
		},
	}
	c.Flags().IntVarP(&limit, "limit", "n", limit, "how many; 0 means all")
	return c
}
