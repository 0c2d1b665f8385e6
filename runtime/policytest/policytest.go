// Package policytest runs the tests of policies: files *_test.star.
//
// A file holds functions test_NAME(t), called once, and test_NAME(t, c), called once for
// each row of a table: of CASES, or, where a file has several, of the table that is the
// default of the parameter: def test_NAME(t, c = TABLE). A row is a case, or any value:
// a dict of arguments and results, for a function of one's own.
//
//	CASES = {"a guest is locked": case(
//	    faults = {"snapshot_vm(guest=erp)": "E_GUEST_LOCKED"},
//	    want = failed("erp"), proven = everything_but("erp"))}
//
//	AGES = {"daily": {"days": [0, 1, 2], "kept": ["0", "1"]}}
//
// A file is loaded once, and what it defines is frozen then. Every call gets a fresh fake
// world, a memory ledger and a virtual clock; primitives answer with the fakes of their
// declarations, or as the case says, so that nothing real can be reached. A call of a
// primitive is named by some of its arguments: "copy(to=offsite)". The words:
//
//	case(given, args, faults, answers, want, proven, steps, clock)
//	ok(), degraded(names…), failed(names…), everything_but(names…), once(code, times)
//	exactly(calls…), among_others(calls…), in_order(calls…), never(calls…)
//	fake_artifact(id, item, created)
//	t.run, t.retry, t.advance, t.expect, t.steps, t.eq, t.true
//
// Words has what each of them means, with an example.
//
// Failures are collected: a test shows all of them, each with its place, where the values
// first differ, and the line of the policy that went wrong. What asserts nothing fails, too:
// a test without an expectation, a case or a table that is never run, a case whose wants
// nobody expects, a failed run that nobody looked at, a fault that never happened, an answer
// that was not asked for.
package policytest

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// World is a fake world for one case, with the site that it belongs to.
type World struct {
	World   any
	Demands ledger.Demands
	Allowed map[string]bool
}

// Config is what tests run with.
type Config struct {
	Runtime  *runtime.Runtime
	World    func(given map[string]any) (World, error)
	Complete runtime.Completeness
	Match    func(name string) bool // of "file/test/case"; nil: all
	Print    func(text string)      // print() of tests, with its place; nil: nowhere
}

// Files finds the tests below paths; a path may be a file.
func Files(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		err := filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(path, "_test.star") {
				out = append(out, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("find tests: %w", err)
		}
	}
	sort.Strings(out)
	return out, nil
}

// RunFile runs the tests of one file and gives each outcome to report, until that says
// that it is enough.
func RunFile(ctx context.Context, cfg Config, path string, report func(Outcome) (more bool)) error {
	s, err := load(ctx, cfg, path)
	if err != nil {
		return err
	}
	tests, all := s.tests(), true
	for _, test := range tests {
		for _, r := range test.rows {
			if cfg.Match != nil && !cfg.Match(s.fullName(test, r)) {
				all = false
				continue
			}
			if !report(s.runTest(test, r)) {
				return nil
			}
		}
	}
	if left := s.leftover(); all && len(left) > 0 {
		report(Outcome{Name: filepath.ToSlash(path), File: path, At: left[0].At, Failures: left})
	}
	if len(tests) == 0 {
		return fmt.Errorf("%s: no test in it\nhint: write def test_NAME(t, c): and a table CASES", path)
	}
	return nil
}
