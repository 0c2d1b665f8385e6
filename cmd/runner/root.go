package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

const rootHelp = `runner executes backup and recovery procedures as code.

  runner exec POLICY.star     run a procedure, record every step
  runner status               is everything protected tonight?
  runner show [RUN]           what a run did, and why it is not ok
  runner retry RUN            do what a run left undone
  runner recover --from PATH  bring things back, with a copy's medium alone

Add --lab to any of them to try it on the built-in site. All verbs: runner help --all`

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "runner", Short: "backup and recovery that proves itself", Long: rootHelp,
		SilenceErrors: true, SilenceUsage: true, Version: version,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetVersionTemplate("runner {{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%v\nhint: %s --help", err, c.CommandPath())
	})
	f := &flags{}
	f.add(root.PersistentFlags())
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if f.color != "auto" && f.color != "always" && f.color != "never" {
			return usage("--color %s: want auto, always or never", f.color)
		}
		return nil
	}
	for _, c := range []*cobra.Command{
		execCommand(f), statusCommand(f), showCommand(f), retryCommand(f), recoverCommand(f),
		checkCommand(f), doctorCommand(f), initCommand(f), planCommand(f), restoreCommand(f), resumeCommand(f), runsCommand(f), testCommand(f),
		builtinsCommand(f),
		ledgerCommand(f), secretCommand(f), cloudCommand(f), recoveryKeyCommand(f), mediaCommand(f), labCommand(f), manCommand(root),
		engineCommand(),
	} {
		root.AddCommand(c)
	}
	root.SetHelpCommand(helpCommand(root))
	shortHelp(root)
	return root
}

// shortHelp prints the five verbs of every day for the root, and cobra's help
// for the others.
func shortHelp(root *cobra.Command) {
	full := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		if c == root {
			fmt.Fprintln(c.OutOrStdout(), document(rootHelp, os.Stdout))
			return
		}
		c.Long = document(c.Long, os.Stdout)
		full(c, args)
	})
	root.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			hint := "runner help --all lists the verbs"
			if s := c.SuggestionsFor(args[0]); len(s) > 0 {
				hint = "did you mean " + strings.Join(s, " or ") + "?"
			}
			return usage("unknown verb %q\nhint: %s", args[0], hint)
		}
		fmt.Fprintln(c.OutOrStdout(), document(rootHelp, os.Stdout))
		return nil
	}
	root.Args = cobra.ArbitraryArgs
	root.SuggestionsMinimumDistance = 2
}

func helpCommand(root *cobra.Command) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "help [VERB]", Short: "help about a verb; --all lists them",
		RunE: func(c *cobra.Command, args []string) error {
			if all || len(args) == 0 {
				if !all {
					fmt.Fprintln(c.OutOrStdout(), document(rootHelp, os.Stdout))
					return nil
				}
				root.SetOut(c.OutOrStdout()) // it was asked for: no error
				return root.Usage()
			}
			verb, rest, err := root.Find(args)
			if err != nil || verb == root || len(rest) > 0 {
				return usage("no help for %q\nhint: runner help --all", strings.Join(args, " "))
			}
			return verb.Help()
		},
	}
	c.Flags().BoolVar(&all, "all", false, "list all verbs")
	return c
}
