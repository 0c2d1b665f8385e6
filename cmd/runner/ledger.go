package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/checkpoints"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/spf13/cobra"
)

func ledgerCommand(f *flags) *cobra.Command {
	c := &cobra.Command{Use: "ledger", Short: "verify, rebuild and continue the record of runs", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(ledgerVerify(f), ledgerRebuild(f), ledgerContinue(f))
	return c
}

func ledgerVerify(f *flags) *cobra.Command {
	var offline bool
	var verifier string
	c := &cobra.Command{
		Use: "verify", Short: "find any entry that was edited, removed, reordered, inserted or cut off", Args: cobra.NoArgs,
		Long: "verify recomputes the tree over all entries and every projection, and compares it with what earlier runs left on the targets: " +
			"checkpoints, and the heads in the manifests of copies. What the ledger says must lie there, and does not, is wrong as well. With " +
			"--offline, and where no target answers, entries are compared with one another alone: a ledger that was written anew as a whole is " +
			"not found so, and verify ends with 3 unless --offline asked for it.",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			s, err := f.session()
			if err != nil {
				return err
			}
			defer s.done(&err)
			if err := s.openLedger(c.Context(), false); err != nil {
				return err
			}
			var found checkpoints.Evidence
			if !offline {
				if found, err = s.evidence(c.Context(), true, verifier); err != nil {
					return err
				}
			}
			rep, err := ledger.Verify(c.Context(), s.ledger, found.Heads)
			if err != nil {
				return err
			}
			for _, m := range found.Missing {
				rep.Problems = append(rep.Problems, ledger.Problem{Seq: -1, Text: m})
			}
			return f.printVerified(rep, found, offline)
		},
	}
	c.Flags().StringVar(&verifier, "verifier", "", "key that every checkpoint must be signed by, as a report or a sheet of paper has it; "+
		"default: those that the ledger names")
	c.Flags().BoolVar(&offline, "offline", false, "do not read checkpoints from targets")
	return c
}

// evidence reads what runs of this ledger left on the targets of the site.
func (s *session) evidence(ctx context.Context, manifests bool, verifier string) (checkpoints.Evidence, error) {
	if err := s.openSite(""); err != nil {
		if s.flags.site != "" {
			return checkpoints.Evidence{}, err
		}
		return checkpoints.Evidence{Notes: []string{"no site: what lies on targets was not read"}}, nil
	}
	if err := s.openWorld(ctx); err != nil {
		return checkpoints.Evidence{}, err
	}
	return checkpoints.ReadEvidence(ctx, s.world, s.ledger, hostName(), manifests, verifier)
}

func (f *flags) printVerified(rep ledger.Report, found checkpoints.Evidence, offline bool) error {
	lab := labMark(f.lab)
	var problems []string
	for _, p := range rep.Problems {
		problems = append(problems, p.String())
	}
	if f.json {
		if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"entries": rep.Entries, "root": fmt.Sprintf("%x", rep.Head.Root[:]),
			"checkpoints": found.Checkpoints, "manifests": found.Manifests, "verifiers": found.Verifiers, "gaps": rep.Gaps, "problems": problems,
			"notes": found.Notes, "lab": f.lab}); err != nil {
			return err
		}
	} else {
		for _, n := range found.Notes {
			fmt.Printf("%snote: %s\n", lab, n)
		}
		for _, p := range problems {
			fmt.Printf("%sWRONG %s\n", lab, p)
		}
		for _, g := range rep.Gaps {
			fmt.Printf("%sgap: joined to a checkpoint of %d entries on %s: %s\n", lab, g.Size, g.Target, g.Reason)
		}
		if rep.OK() {
			state := "ok"
			switch n := len(rep.Gaps); {
			case n == 1:
				state = "ok with 1 gap"
			case n > 1:
				state = fmt.Sprintf("ok with %d gaps", n)
			}
			witness := fmt.Sprintf("%d checkpoints agree, and %d manifests", found.Checkpoints, found.Manifests)
			if len(found.Heads) == 0 {
				witness = "compared with nothing outside: whether it was written anew as a whole is not known"
			}
			fmt.Printf("%s%s: %d entries, root %x, %s\n", lab, state, rep.Entries, rep.Head.Root[:6], witness)
			for _, v := range found.Verifiers {
				fmt.Printf("%scheckpoints are signed by %s\n", lab, v)
			}
		}
	}
	switch {
	case !rep.OK():
		return &exit{exitFailed, nil}
	case len(found.Heads) == 0 && rep.Entries > 0 && !offline:
		return &exit{exitDegraded, nil}
	}
	return nil
}

func ledgerRebuild(f *flags) *cobra.Command {
	var from []string
	var replace bool
	c := &cobra.Command{
		Use: "rebuild", Short: "make a new ledger from the manifests on targets", Args: cobra.NoArgs,
		Long: "rebuild is for a ledger that is lost or damaged beyond use. It reads the manifests on the targets of the site and records the " +
			"artifacts and copies that they name, without proofs: policies/reread.star reads the copies back, some each night. A damaged ledger " +
			"is kept aside, never overwritten. The new one begins with an explicit gap where checkpoints show that there was more.",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			s, err := f.session()
			if err != nil {
				return err
			}
			defer s.done(&err)
			return s.rebuild(c.Context(), from, replace)
		},
	}
	c.Flags().BoolVar(&replace, "replace", false, "replace a ledger that is sound: its runs and proofs are then in the old file alone")
	c.Flags().StringSliceVar(&from, "from", nil, "targets to read; default: all that can be reached")
	offer(c, "from", f.targets)
	return c
}

func (s *session) rebuild(ctx context.Context, from []string, replace bool) error {
	if err := s.openSite(""); err != nil {
		return err
	}
	for _, name := range from {
		if _, err := s.site.Target(name); err != nil {
			return usage("%v", err)
		}
	}
	if err := s.openWorld(ctx); err != nil {
		return err
	}
	imports, notes, err := checkpoints.ReadManifests(ctx, s.world, from)
	if err != nil {
		return err
	}
	left, err := checkpoints.ReadEvidence(ctx, s.world, ledger.New(ledger.NewMemory()), hostName(), false, "")
	if err != nil {
		return err
	}
	if err := s.replaceable(ctx, replace); err != nil {
		return err
	}
	aside, err := s.setAside()
	if err != nil {
		return err
	}
	if err := s.openLedger(ctx, true); err != nil {
		return err
	}
	copies, err := checkpoints.Rebuilt(ctx, s.ledger, imports, left.Heads, time.Now())
	if err != nil {
		return err
	}
	for _, n := range append(notes, left.Notes...) {
		fmt.Printf("%snote: %s\n", labMark(s.flags.lab), n)
	}
	if aside != "" {
		fmt.Printf("%sthe old ledger is kept as %s\n", labMark(s.flags.lab), aside)
	}
	fmt.Printf("%srebuilt: %d copies from %d targets; none is proven until it is read back\n", labMark(s.flags.lab), copies, len(imports))
	for _, t := range s.site.Targets {
		if t.Place.InPlace && (len(from) == 0 || slices.Contains(from, t.Name)) {
			fmt.Printf("%snote: archives have no manifests: runner exec policies/foreign.star counts those on %s\n", labMark(s.flags.lab), t.Name)
		}
	}
	return nil
}

// replaceable refuses to put a ledger aside that somebody writes to, or that is
// sound.
func (s *session) replaceable(ctx context.Context, replace bool) error {
	if run := runtime.AnyAlive(s.state); run != "" {
		return &exit{exitRefused, fmt.Errorf("run %s is under way in %s: its ledger is not replaced\nhint: wait for it, or stop it", run,
			s.state)}
	}
	store, err := ledger.OpenSQLite(ctx, s.ledgerPath(), false)
	if err != nil {
		return nil // it is not there, or cannot be opened: that is what rebuild is for
	}
	defer store.Close()
	rep, err := ledger.Verify(ctx, store, nil)
	if err == nil && rep.OK() && rep.Entries > 0 && !replace {
		return &exit{exitRefused, fmt.Errorf("the ledger in %s is sound (%d entries): it is not replaced\nhint: with --replace it is kept "+
			"aside, and its runs and proofs with it", s.state, rep.Entries)}
	}
	return nil
}

// setAside renames a ledger that is there.
func (s *session) setAside() (string, error) {
	aside := s.ledgerPath() + "." + time.Now().UTC().Format("20060102T150405Z") + ".old"
	for _, ext := range []string{"", "-wal", "-shm"} {
		err := os.Rename(s.ledgerPath()+ext, aside+ext)
		if errors.Is(err, os.ErrNotExist) {
			if ext == "" {
				return "", nil
			}
			continue
		}
		if err != nil {
			return "", fmt.Errorf("keep the old ledger aside: %w", err)
		}
	}
	return aside, nil
}

func ledgerContinue(f *flags) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "continue", Short: "go on with an older ledger after this host was itself restored", Args: cobra.NoArgs,
		Long: "continue joins a ledger that is older than the checkpoints on the targets, or has gone on from an older state than they show, " +
			"to the newest of them, by an explicit gap entry with a reason: ledger verify then says \"ok with 1 gap\". Copies that were made in " +
			"the gap are taken over from the manifests.",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if strings.TrimSpace(reason) == "" {
				return usage("--reason is missing: why is this ledger older? An auditor will read it")
			}
			s, err := f.session()
			if err != nil {
				return err
			}
			defer s.done(&err)
			return s.join(c.Context(), reason)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why: \"host restored from the backup of 2026-11-22\"")
	return c
}

func (s *session) join(ctx context.Context, reason string) error {
	if err := s.openLedger(ctx, false); err != nil {
		return err
	}
	found, err := s.evidence(ctx, false, "")
	if err != nil {
		return err
	}
	heads, notes := found.Heads, found.Notes
	if s.world == nil {
		return usage("there is no site: the checkpoints on its targets are needed\nhint: --site FILE")
	}
	rep, err := ledger.Verify(ctx, s.ledger, nil)
	if err != nil {
		return err
	}
	if !rep.OK() {
		return fmt.Errorf("the ledger itself is damaged: %s\nhint: runner ledger rebuild", rep.Problems[0])
	}
	joined, err := checkpoints.Join(ctx, s.ledger, heads, reason, time.Now())
	if err != nil {
		return err
	}
	if len(joined) == 0 {
		return fmt.Errorf("no target holds a checkpoint that this ledger (%d entries) does not continue: nothing is to be joined\n%s",
			rep.Entries, strings.Join(notes, "\n"))
	}
	return s.takeOver(ctx, joined)
}

// takeOver records the copies that targets hold and this ledger does not know.
func (s *session) takeOver(ctx context.Context, gaps []ledger.LedgerGap) error {
	imports, notes, err := checkpoints.ReadManifests(ctx, s.world, nil)
	if err != nil {
		return err
	}
	taken, err := checkpoints.TakeOver(ctx, s.ledger, imports, time.Now())
	if err != nil {
		return err
	}
	for _, n := range notes {
		fmt.Printf("%snote: %s\n", labMark(s.flags.lab), n)
	}
	for _, gap := range gaps {
		fmt.Printf("%sjoined to the checkpoint of %d entries on %s\n", labMark(s.flags.lab), gap.Size, gap.Target)
	}
	fmt.Printf("%s%d copies of the gap were taken over, unproven\n", labMark(s.flags.lab), taken)
	return nil
}
