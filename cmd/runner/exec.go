package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/neosofia/runner/builtins/checkpoints"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
	"github.com/spf13/cobra"
)

func execCommand(f *flags) *cobra.Command {
	var args []string
	c := &cobra.Command{
		Use: "exec POLICY.star", Short: "run a policy and record every step",
		Long: "exec runs main() of a policy. Every step is recorded before and after its effect; a run that dies is taken up with runner " +
			"resume, one that failed with runner retry.",
		Example: "  runner exec policies/nightly.star\n  runner exec --lab policies/nightly.star\n  runner exec one.star --arg guest=erp",
		Args:    oneArg("POLICY.star"), ValidArgsFunction: onePolicy,
		RunE: func(c *cobra.Command, pos []string) error {
			named, err := namedArgs(args)
			if err != nil {
				return err
			}
			return f.start(c.Context(), pos[0], func(ctx context.Context, cfg runtime.Config) (*runtime.Outcome, error) {
				if err := fits(cfg.Program, named); err != nil {
					return nil, err
				}
				cfg.Args = named
				return runtime.Exec(ctx, cfg)
			})
		},
	}
	c.Flags().StringArrayVar(&args, "arg", nil, "argument of main: name=value")
	return c
}

func oneArg(name string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage("%s takes one argument, %s\nhint: %s --help", c.Name(), name, c.CommandPath())
		}
		return nil
	}
}

func namedArgs(list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, a := range list {
		k, v, ok := strings.Cut(a, "=")
		if !ok || k == "" {
			return nil, usage("--arg %q: want name=value", a)
		}
		out[k] = v
	}
	return out, nil
}

// boundData is the hard bound on what a policy can allocate: the process dies of
// it, not the host. Its run can be resumed.
func boundData() {
	const limit = 6 << 30
	var have syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_DATA, &have) == nil && have.Cur > limit {
		have.Cur = limit
		_ = syscall.Setrlimit(syscall.RLIMIT_DATA, &have) // a bound that the system refuses is one less
	}
}

// start loads a policy, joins everything, and lets begin run it.
func (f *flags) start(ctx context.Context, policy string, begin func(context.Context, runtime.Config) (*runtime.Outcome,
	error)) (err error) {
	boundData()
	s, err := f.session()
	if err != nil {
		return err
	}
	defer s.done(&err)
	if err := s.openSite(policy); err != nil {
		return err
	}
	program, err := s.load(policy)
	if err != nil {
		return err
	}
	if err := s.openLedger(ctx, true); err != nil {
		return err
	}
	if err := s.openWorld(ctx); err != nil {
		return err
	}
	return s.run(ctx, program, begin)
}

// load reads a policy and refuses one with faults: nothing of it has run.
func (s *session) load(policy string) (*runtime.Program, error) {
	if _, err := os.Stat(policy); errors.Is(err, fs.ErrNotExist) {
		return nil, usage("read policy %s: no such file", policy)
	}
	program, err := s.flags.runtime().Load(policy, nil)
	switch {
	case err != nil && codeOf(err) == exitFailed:
		return nil, &exit{exitRefused, err}
	case err != nil:
		return nil, err
	}
	if faults := runtime.Faults(program.Check(builtins.SiteNames(s.site))); len(faults) > 0 {
		return nil, refused(faults)
	}
	return program, nil
}

// fits refuses arguments that main does not take, before a run begins.
func fits(p *runtime.Program, named map[string]string) error {
	main, err := p.Main()
	if err != nil {
		return err
	}
	n := main.NumParams() // *args and **kwargs come last
	for _, rest := range []bool{main.HasVarargs(), main.HasKwargs()} {
		if rest {
			n--
		}
	}
	var list []string
	for i := range n {
		name, _ := main.Param(i)
		list = append(list, name)
		if _, given := named[name]; !given && main.ParamDefault(i) == nil {
			return usage("main of %s wants an argument %s\nhint: --arg %s=VALUE", p.Graph.Entry.Name, name, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if !slices.Contains(list, name) && !main.HasKwargs() {
			return usage("main of %s has no argument %q\nhint: it takes %s", p.Graph.Entry.Name, name, cmp.Or(strings.Join(list, ", "), "none"))
		}
	}
	return nil
}

func refused(faults []runtime.Diagnostic) error {
	var lines []string
	for _, d := range faults {
		lines = append(lines, d.String())
	}
	return &exit{exitRefused, fmt.Errorf("the policy is refused\n%s", strings.Join(lines, "\n"))}
}

func (s *session) run(ctx context.Context, program *runtime.Program, begin func(context.Context, runtime.Config) (*runtime.Outcome,
	error)) error {
	screen := newScreen(os.Stdout, os.Stderr, s.flags)
	cfg := runtime.Config{
		Program: program, Ledger: s.ledger, State: s.state, Header: s.header(time.Now()), Demands: s.site.Demands,
		Allowed: s.site.Allowed, World: s.world, Observe: screen.event, Complete: report.Complete,
	}
	path, err := filepath.Abs(program.Graph.Entry.Name)
	if err != nil {
		return fmt.Errorf("find the policy's folder: %w", err)
	}
	cfg.Header.Path = path // resume and retry may be typed elsewhere
	out, err := begin(ctx, cfg)
	screen.close()
	if err != nil {
		return err
	}
	code := codeOfRun(out)
	var after []ledger.Finding // of what follows the run's end
	if out.Result != ledger.Interrupted {
		if after, err = checkpoints.Leave(context.WithoutCancel(ctx), s.world, s.ledger, cfg.Header.Host, out.Run); err != nil {
			after = append(after, ledger.Finding{Severity: ledger.DegradedRun, Text: "the ledger's checkpoints were not left on the targets: " +
				err.Error(), Type: "runner ledger verify"})
		}
		if len(after) > 0 && code == exitOK {
			code = exitDegraded // copies are safe, their evidence has a hole
		}
	}
	if err := s.note(context.WithoutCancel(ctx), screen, out, after); err != nil { // of a run that was stopped, too
		return err
	}
	if code != exitOK {
		return &exit{code, nil}
	}
	return nil
}

// tell prints the summary: on the terminal and in logs alike. What came to light after
// the run's end is part of it.
func (s *session) note(ctx context.Context, screen *screen, out *runtime.Outcome, after []ledger.Finding) error {
	r, err := report.NewRun(ctx, ledger.Catalog{Store: s.ledger}, out.Run)
	if err != nil {
		return err
	}
	r.Also(s.here(after))
	if s.flags.json {
		return r.JSON(os.Stdout)
	}
	if out.Err != nil {
		fmt.Fprintln(os.Stderr, fitted("runner: "+plain(message(out.Err)), os.Stderr))
	}
	if out.Result == ledger.Interrupted {
		fmt.Fprintf(os.Stderr, "runner: run %s is interrupted; go on with: runner resume %s%s%s\n", out.Run, out.Run, s.labFlag(),
			prefixed(" ", s.flags.typed()))
		return nil
	}
	return r.Summary(os.Stdout, s.text())
}

// here completes commands with what names this site.
func (s *session) here(found []ledger.Finding) []ledger.Finding {
	for i := range found {
		if s.flags.lab && strings.HasPrefix(found[i].Type, "runner ") {
			found[i].Type += " --lab"
		}
	}
	return found
}

func (s *session) labFlag() string {
	if s.flags.lab {
		return " --lab"
	}
	return ""
}

func prefixed(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}
