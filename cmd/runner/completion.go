package main

import (
	"slices"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
	"github.com/spf13/cobra"
)

// completions is what a shell offers for an argument. It only reads; where nothing
// can be read there is nothing to offer, and the verb itself says why.
type completions = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// offer completes the values of a flag.
func offer(c *cobra.Command, flag string, fn completions) {
	if err := c.RegisterFlagCompletionFunc(flag, fn); err != nil {
		panic(err) // there is no such flag
	}
}

func policies(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{"star"}, cobra.ShellCompDirectiveFilterFileExt
}

// onePolicy offers policies until there is one.
func onePolicy(c *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return policies(c, args, word)
}

// runs offers the newest runs with one of these results; without any, all.
func (f *flags) runs(results ...string) completions {
	return func(c *cobra.Command, args []string, _ string) (out []cobra.Completion, _ cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		s, err := f.session()
		if err != nil || len(args) > 0 {
			return nil, none
		}
		defer s.done(&err)
		if err = s.openLedger(c.Context(), false); err != nil {
			return nil, none
		}
		list, err := report.Runs(c.Context(), ledger.Catalog{Store: s.ledger}, 50, func(run string) bool { return runtime.Alive(s.state, run) })
		if err != nil {
			return nil, none
		}
		for _, r := range list {
			if len(results) == 0 || slices.Contains(results, r.Result) {
				out = append(out, cobra.CompletionWithDesc(r.ID, r.Policy+" "+r.Result))
			}
		}
		return out, none | cobra.ShellCompDirectiveKeepOrder
	}
}

// targets offers the targets of the site.
func (f *flags) targets(*cobra.Command, []string, string) (out []cobra.Completion, _ cobra.ShellCompDirective) {
	s, err := f.session()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.done(&err)
	if err = s.openSite(""); err == nil {
		out = s.site.Names()["target"]
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
