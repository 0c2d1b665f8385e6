package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/neosofia/runner/builtins/site"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/policytest"
	"github.com/neosofia/runner/runtime/report"
	"github.com/spf13/cobra"
)

func testCommand(f *flags) *cobra.Command {
	var match, format string
	var verbose, failFast, failOnEmpty bool
	c := &cobra.Command{
		Use: "test [PATH...]", Short: "run the tests of policies (*_test.star) without a site; default: this folder",
		Long: "test runs every case against a fresh fake world, with a virtual clock: nothing real can be reached. Targets, assets and " +
			"demands are those of --site, else of the site.star beside the tests, else of the lab's site.\n\n" +
			"What asserts nothing fails: a test without an expectation, a case that is never run, a failed run that nobody looked at. runner " +
			"builtins lists the words of tests.\n\n" +
			"A test, or one row of its table, may take one minute, or as long as --max-time says: then it has failed, at the line where it was.",
		RunE: func(c *cobra.Command, args []string) error {
			boundData()
			debug.SetGCPercent(400) // many short cases, little that stays
			if len(args) == 0 {
				args = []string{"."}
			}
			sites := &testSites{f: f, match: match, known: map[string]policytest.Config{}}
			if f.json && !c.Flags().Changed("format") {
				format = "json"
			}
			report, err := policytest.NewReport(format, os.Stdout, verbose, os.Getenv("GITHUB_WORKSPACE"))
			if err != nil {
				return usage("--format: %v", err)
			}
			t := &tally{report: report, failFast: failFast, failOnEmpty: failOnEmpty}
			return t.run(c.Context(), sites, args)
		},
	}
	c.Flags().StringVar(&match, "run", "", "regular expression on file/test/case")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "list every case")
	c.Flags().StringVar(&format, "format", "pretty", strings.Join(policytest.Formats(), ", ")+": github is annotations of a workflow")
	c.Flags().BoolVar(&failFast, "fail-fast", false, "stop at the first case that fails")
	c.Flags().BoolVar(&failOnEmpty, "fail-on-empty", false, "a PATH without a test, or of which --run takes none, is a failure")
	return c
}

// testSites gives each file of tests its site: that of --site, else the one beside it,
// else the lab's.
type testSites struct {
	f     *flags
	match string
	known map[string]policytest.Config // by the path of the site
}

func (t *testSites) of(file string) (policytest.Config, error) {
	path := t.f.site
	if beside := filepath.Join(filepath.Dir(file), "site.star"); path == "" && !t.f.lab {
		if _, err := os.Stat(beside); err == nil {
			path = beside
		}
	}
	if cfg, ok := t.known[path]; ok {
		return cfg, nil
	}
	cfg, err := t.f.testConfig(path, t.match)
	if err == nil {
		t.known[path] = cfg
	}
	return cfg, err
}

// testConfig is what tests are run with in a site; without a path it is the lab's.
func (f *flags) testConfig(path, match string) (policytest.Config, error) {
	cfg := policytest.Config{Runtime: f.runtime(), Complete: report.Complete,
		Print: func(text string) { fmt.Fprintln(os.Stderr, text) }}
	name, text := "lab/site.star", lab.Site
	if path != "" {
		var err error
		name = path
		if text, err = os.ReadFile(path); err != nil {
			return cfg, usage("read site: %v", err)
		}
	}
	site, err := site.Load(name, text, f.limits)
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

// tally runs files, and counts and reports what became of their cases.
type tally struct {
	report                policytest.Report
	failFast, failOnEmpty bool
	policytest.Tally
}

func (t *tally) run(ctx context.Context, sites *testSites, paths []string) error {
	for _, path := range paths {
		files, err := policytest.Files([]string{path})
		if err != nil {
			return err
		}
		before := t.Passed + t.Failed
		for _, file := range files {
			t.Files++
			cfg, err := sites.of(file)
			if err != nil {
				return err
			}
			if err := policytest.RunFile(ctx, cfg, file, t.add); err != nil {
				t.add(policytest.Broken(file, err))
			}
			if t.Stopped {
				return t.end(paths)
			}
		}
		if t.failOnEmpty && t.Passed+t.Failed == before {
			t.add(policytest.Broken(path, errors.New("no test in it")))
		}
	}
	return t.end(paths)
}

func (t *tally) add(o policytest.Outcome) bool {
	t.report.Add(o)
	if len(o.Failures) == 0 {
		t.Passed++
		return true
	}
	t.Failed++
	t.Stopped = t.failFast
	return !t.Stopped
}

func (t *tally) end(paths []string) error {
	if t.Files == 0 && t.Failed == 0 {
		return usage("no *_test.star below %v", paths)
	}
	if err := t.report.End(t.Tally); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	switch {
	case t.Failed > 0:
		return &exit{exitFailed, nil}
	case t.Passed == 0:
		return usage("no case matches")
	}
	return nil
}
