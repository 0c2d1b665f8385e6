package main

import (
	"os"

	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func showCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use: "show [RUN]", Short: "what a run did, and why it is not ok; default: the newest run", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: f.runs(),
		RunE: func(c *cobra.Command, args []string) (err error) {
			run, err := f.pick(c.Context(), args, func(string, bool) bool { return true }, "no run is recorded")
			if err != nil {
				return err
			}
			s, err := f.session()
			if err != nil {
				return err
			}
			defer s.done(&err)
			if err := s.openLedger(c.Context(), false); err != nil {
				return err
			}
			r, err := report.NewRun(c.Context(), ledger.Catalog{Store: s.ledger}, run.ID)
			if err != nil {
				return err
			}
			if f.json {
				return r.JSON(os.Stdout)
			}
			return r.Text(os.Stdout, s.text())
		},
	}
}

// text is how reports are written on this terminal.
func (s *session) text() report.TextOptions {
	fd := int(os.Stdout.Fd())
	o := report.TextOptions{Width: 100, Wide: true, More: s.flags.verbose, Flags: s.flags.typed(),
		Color: useColor(s.color, term.IsTerminal(fd))}
	if w, _, err := term.GetSize(fd); err == nil && w >= 40 {
		o.Width, o.Wide = w, false
	}
	return o
}
