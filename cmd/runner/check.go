package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/neosofia/runner/builtins"
	"github.com/spf13/cobra"
)

func checkCommand(f *flags) *cobra.Command {
	var space bool
	c := &cobra.Command{
		Use: "check POLICY.star...", Short: "find faults without running anything",
		Long: "check resolves the load graph, compiles every file, and checks the arguments of every call and the names that it uses against the site. With --space it also asks every target how full it is, and says in how many days it will be full.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return f.check(c.Context(), args, space) },
	}
	c.Flags().BoolVar(&space, "space", true, "ask targets for their free space (dials them, reads only)")
	return c
}

type checked struct {
	Policy string   `json:"policy"`
	Files  int      `json:"files"`
	Code   string   `json:"code"`
	Faults []string `json:"faults,omitempty"`
}

func (f *flags) check(ctx context.Context, policies []string, space bool) (err error) {
	s, err := f.session()
	if err != nil {
		return err
	}
	defer s.done(&err)
	if err := s.openSite(policies[0]); err != nil {
		return err
	}
	var all []checked
	bad := 0
	for _, path := range policies {
		c := checked{Policy: path}
		program, err := f.runtime().Load(path, nil)
		if err != nil {
			c.Faults = []string{message(err)}
		} else {
			c.Files, c.Code = len(program.Graph.Modules), program.Graph.Digest()
			for _, d := range program.Check(s.site.Names()) {
				c.Faults = append(c.Faults, d.String())
			}
		}
		bad += len(c.Faults)
		all = append(all, c)
	}
	var full []builtins.Fullness
	if space {
		if err := s.openLedger(ctx, false); err != nil {
			s.ledger = nil // nothing recorded: growth is unknown
		}
		if err := s.openWorld(ctx); err != nil {
			return err
		}
		full = builtins.DaysUntilFull(ctx, s.world, s.ledger, time.Now())
	}
	if err := f.printCheck(all, full, s.site.Expired(time.Now())); err != nil {
		return err
	}
	if bad > 0 {
		return &exit{exitRefused, nil}
	}
	return nil
}

func (f *flags) printCheck(all []checked, full []builtins.Fullness, expired []string) error {
	if f.json {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"policies": all, "targets": full, "expired": expired, "lab": f.lab})
	}
	lab := labMark(f.lab)
	for _, c := range all {
		if len(c.Faults) == 0 {
			fmt.Printf("%sok    %s: %d files, code %.12s\n", lab, c.Policy, c.Files, c.Code)
			continue
		}
		fmt.Printf("%sFAULT %s\n", lab, c.Policy)
		for _, t := range c.Faults {
			fmt.Printf("%s\n", t)
		}
	}
	for _, e := range expired {
		fmt.Printf("%snote  %s: renew it in site.star, or act on it\n", lab, e)
	}
	for _, t := range full {
		fmt.Printf("%s%-5s %s\n", lab, "space", t.Text())
	}
	return nil
}
