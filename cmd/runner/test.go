package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/policytest"
	"github.com/neosofia/runner/runtime/report"
	"github.com/spf13/cobra"
)

func testCommand(f *flags) *cobra.Command {
	var match string
	var verbose bool
	c := &cobra.Command{
		Use: "test [PATH...]", Short: "run the tests of policies (*_test.star) without a site; default: this folder",
		Long: "test runs every case in a fresh module, against a fresh fake world, with a virtual clock: nothing real can be reached. Targets, assets and demands are those of --site, else of the lab's site.",
		RunE: func(c *cobra.Command, args []string) error {
			boundData()
			if len(args) == 0 {
				args = []string{"."}
			}
			cfg, err := f.testConfig(match)
			if err != nil {
				return err
			}
			files, err := policytest.Files(args)
			if err != nil {
				return err
			}
			if len(files) == 0 {
				return usage("no *_test.star below %v", args)
			}
			t := &tally{json: f.json, verbose: verbose}
			for _, file := range files {
				if err := policytest.RunFile(c.Context(), cfg, file, t.add); err != nil {
					t.broken(file, err)
				}
			}
			return t.end(len(files))
		},
	}
	c.Flags().StringVar(&match, "run", "", "regular expression on file/test/case")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "list every case")
	return c
}

func (f *flags) testConfig(match string) (policytest.Config, error) {
	cfg := policytest.Config{Runtime: f.runtime(), Complete: report.Complete}
	path, text := "lab/site.star", lab.Site
	if f.site != "" {
		var err error
		path = f.site
		if text, err = os.ReadFile(path); err != nil {
			return cfg, usage("read site: %v", err)
		}
	}
	site, err := builtins.LoadSite(path, text, f.limits)
	if err != nil {
		return cfg, err
	}
	cfg.World = func(given map[string]any) (policytest.World, error) {
		w, demands, allowed := builtins.FakeWorld(site, given)
		return policytest.World{World: w, Demands: demands, Allowed: allowed}, nil
	}
	if match != "" {
		re, err := regexp.Compile(match)
		if err != nil {
			return cfg, usage("--run: %v", err)
		}
		cfg.Match = re.MatchString
	}
	return cfg, nil
}

// tally counts outcomes and prints those that failed.
type tally struct {
	json, verbose  bool
	passed, failed int
}

func (t *tally) add(o policytest.Outcome) {
	if len(o.Failures) > 0 {
		t.failed++
	} else {
		t.passed++
	}
	if t.json {
		_ = json.NewEncoder(os.Stdout).Encode(o) // a reader that went away reads no result either
		return
	}
	if len(o.Failures) == 0 {
		if t.verbose {
			fmt.Printf("ok   %s (%.1f ms)\n", o.Name, o.Millis)
		}
		return
	}
	fmt.Printf("FAIL %s\n", o.Name)
	for _, text := range o.Failures {
		fmt.Printf("     %s\n", text)
	}
}

func (t *tally) broken(file string, err error) {
	t.add(policytest.Outcome{Name: file, Failures: []string{message(err)}})
}

func (t *tally) end(files int) error {
	if !t.json {
		fmt.Printf("%d passed, %d failed (%d files)\n", t.passed, t.failed, files)
	}
	switch {
	case t.failed > 0:
		return &exit{exitFailed, nil}
	case t.passed == 0:
		return usage("no case matches")
	}
	return nil
}
