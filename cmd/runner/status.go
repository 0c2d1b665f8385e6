package main

import (
	"errors"
	"os"
	"time"

	"github.com/neosofia/runner/builtins/checkpoints"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
	"github.com/spf13/cobra"
)

func statusCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "is everything protected? per asset: copies, proofs, what is missing and what to type",
		Long: "status judges the ledger by the demands of site.star. Exit code 0 says that every demand is met, 3 (degraded) that your data " +
			"is safe tonight but one promise is not kept, 1 that something is not protected as the site demands.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			s, err := f.session()
			if err != nil {
				return err
			}
			defer s.done(&err)
			if err := s.openSite(""); err != nil {
				return err
			}
			if err := s.openLedger(c.Context(), false); err != nil {
				var refusal *exit
				if !errors.As(err, &refusal) || refusal.code != exitFailed {
					return err
				}
				s.ledger = ledger.New(ledger.NewMemory()) // nothing has run yet: status says so
			}
			if err := s.openWorld(c.Context()); err != nil {
				return err
			}
			live := report.Live{Lab: f.lab, Media: checkpoints.ObserveMedia(s.world),
				Alive: func(run string) bool { return runtime.Alive(s.state, run) }}
			seen, err := checkpoints.ReadEvidence(c.Context(), s.world, s.ledger, hostName(), false, "")
			if err != nil {
				return err
			}
			if live.Found, err = seen.Findings(c.Context(), s.ledger); err != nil {
				return err
			}
			live.Found, live.Notes = s.here(live.Found), seen.Notes
			st, err := report.NewStatus(c.Context(), ledger.Catalog{Store: s.ledger}, s.site.Demands, time.Now(), live)
			if err != nil {
				return err
			}
			if f.json {
				err = st.JSON(os.Stdout)
			} else {
				err = st.Text(os.Stdout, s.text())
			}
			if err != nil {
				return err
			}
			return codeOfStatus(st)
		},
	}
}

// codeOfStatus ends the program as a run with the same findings would.
func codeOfStatus(st *report.Status) error {
	switch st.Result {
	case ledger.OK:
		return nil
	case ledger.DegradedRun:
		return &exit{exitDegraded, nil}
	}
	return &exit{exitFailed, nil}
}
