// Package policytest runs the tests of policies: files *_test.star.
//
// A file holds a table CASES of named cases and functions test_NAME(t, c), called
// once per case, or test_NAME(t), called once. Every call gets a fresh module, a
// fresh fake world, a memory ledger and a virtual clock; primitives answer with
// the fakes of their declarations, so that nothing real can be reached.
//
//	case(given = {…}, faults = {"snapshot_vm(guest=erp)": proxmox.CodeLocked},
//	     want = failed("erp"), proven = everything_but("erp"))
//
//	t.run(main, c)         runs a policy; returns what it did (see Result); with
//	                       meanwhile = {"snapshot_vm(guest=erp)": fn}, fn is called
//	                       once while that call runs: t.advance, other policies
//	t.retry(main, r)       retries the run r, without faults
//	t.advance("1d")        moves the clock
//	t.expect(r, c)         the run ended as c wants, and its items are proven
//	t.eq(got, want)        equality; t.true(cond, text) a condition
//
// Failures are collected: a test shows all of them, each with its line and both
// values. A fault that never happened fails its case.
package policytest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
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
}

// Outcome is one case.
type Outcome struct {
	Name     string   `json:"name"` // file/test/case
	Failures []string `json:"failures,omitempty"`
	Millis   float64  `json:"ms"`
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

// RunFile runs the tests of one file and gives each outcome to report.
func RunFile(ctx context.Context, cfg Config, path string, report func(Outcome)) error {
	env := environment()
	program, err := cfg.Runtime.Load(path, env)
	if err != nil {
		return err
	}
	globals := program.Globals[program.Graph.Entry.Label]
	found := 0
	for _, name := range globals.Keys() {
		fn, ok := globals[name].(*starlark.Function)
		if !ok || !strings.HasPrefix(name, "test_") {
			continue
		}
		cases := []string{""}
		if fn.NumParams() > 1 {
			if cases, err = caseNames(globals); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		for _, c := range cases {
			full := strings.TrimSuffix(filepath.ToSlash(path)+"/"+name+"/"+c, "/")
			if cfg.Match != nil && !cfg.Match(full) {
				continue
			}
			found++
			report(runCase(ctx, cfg, program, name, c, full))
		}
	}
	if found == 0 && cfg.Match == nil {
		return fmt.Errorf("%s: no test in it\nhint: write def test_NAME(t, c): and a table CASES", path)
	}
	return nil
}

func caseNames(globals starlark.StringDict) ([]string, error) {
	d, ok := globals["CASES"].(*starlark.Dict)
	if !ok || d.Len() == 0 {
		return nil, errors.New("no table CASES of cases by name")
	}
	var out []string
	for _, k := range d.Keys() {
		name, ok := starlark.AsString(k)
		if !ok {
			return nil, fmt.Errorf("CASES: key %s is no name", k)
		}
		out = append(out, name)
	}
	return out, nil
}

func runCase(ctx context.Context, cfg Config, program *runtime.Program, test, name, full string) Outcome {
	started := now()
	out := Outcome{Name: full}
	t := &tester{ctx: ctx, cfg: cfg, name: name}
	fresh, err := program.Fresh(environment())
	if err == nil {
		t.program = fresh
		err = t.call(test, name)
	}
	if err != nil {
		t.failures = append(t.failures, describe(err))
	} else {
		t.failures = append(t.failures, t.unused()...)
	}
	out.Failures = t.failures
	out.Millis = float64(now().Sub(started).Microseconds()) / 1000
	return out
}

// now measures how long a case took; policies see the virtual clock.
func now() time.Time { return runtime.RealClock{}.Now() }

func describe(err error) string {
	var t *runtime.Trace
	if errors.As(err, &t) {
		return t.Details()
	}
	var eval *starlark.EvalError
	if errors.As(err, &eval) {
		return eval.Backtrace()
	}
	return err.Error()
}

func (t *tester) call(test, name string) error {
	globals := t.program.Globals[t.program.Graph.Entry.Label]
	args := starlark.Tuple{t}
	if name != "" {
		v, _, err := globals["CASES"].(*starlark.Dict).Get(starlark.String(name))
		if err != nil {
			return err
		}
		c, ok := v.(*testCase)
		if !ok {
			return fmt.Errorf("CASES[%q] is a %s: write case(…)", name, v.Type())
		}
		t.current = c
		args = append(args, c)
	}
	thread := &starlark.Thread{Name: test, Print: func(_ *starlark.Thread, msg string) { fmt.Fprintln(os.Stderr, msg) }}
	_, err := starlark.Call(thread, globals[test], args, nil)
	return err
}
