package main

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/tests/memdir"
)

func TestMain(m *testing.M) { memdir.Main(m) }

func TestErrorsMapToExitCodes(t *testing.T) {
	limit := &failure.Error{Code: failure.Limit}
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing", nil, 0},
		{"an error", errors.New("disk error"), 1},
		{"a misuse", usage("no such flag"), 2},
		{"a misuse, wrapped", fmt.Errorf("run: %w", usage("no such flag")), 2},
		{"a refusal", &failure.Error{Code: failure.Refused}, 4},
		{"a limit", limit, 5},
		{"a limit at a place of the policy", &runtime.Trace{Err: limit}, 5},
		{"the policy is running", &runtime.BusyError{Name: "policy:x"}, 6},
		{"a temporary error", &failure.Error{Code: failure.Code{Name: "E_PVE_DOWN"}, Temporary: true}, 75},
		{"a lasting error of the same code", &failure.Error{Code: failure.Code{Name: "E_PVE_DOWN"}}, 1},
		{"told to stop", runtime.ErrInterrupted, 130},
		{"told to stop, within a branch", fmt.Errorf("each: %w", runtime.ErrInterrupted), 130},
		{"all was said", &exit{exitDegraded, nil}, 3},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

func TestOutcomesMapToExitCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		out  runtime.Outcome
		want int
	}{
		{"ok", runtime.Outcome{Result: ledger.OK}, 0},
		{"degraded", runtime.Outcome{Result: ledger.DegradedRun}, 3},
		{"failed by its findings", runtime.Outcome{Result: ledger.Failed}, 1},
		{"failed by an error", runtime.Outcome{Result: ledger.Failed, Err: errors.New("disk error")}, 1},
		{"failed by a limit", runtime.Outcome{Result: ledger.Failed, Err: &failure.Error{Code: failure.Limit}}, 5},
		{"failed by a refusal", runtime.Outcome{Result: ledger.Failed, Err: &failure.Error{Code: failure.Refused}}, 4},
		{"interrupted", runtime.Outcome{Result: ledger.Interrupted, Err: errors.New("context canceled")}, 130},
	} {
		if got := codeOfRun(&c.out); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// Every verb is reached, has a line of help, and complains about what it does not
// take before it does anything.
func TestEveryVerbExplainsItself(t *testing.T) {
	root := rootCommand()
	for _, c := range root.Commands() {
		if c.Short == "" {
			t.Errorf("%s has no line of help", c.Name())
		}
		for _, sub := range c.Commands() {
			if sub.Short == "" {
				t.Errorf("%s %s has no line of help", c.Name(), sub.Name())
			}
		}
		var out bytes.Buffer
		r := rootCommand()
		r.SetArgs([]string{c.Name(), "--no-such-flag"})
		r.SetOut(&out)
		r.SetErr(&out)
		if got := codeOf(r.ExecuteContext(t.Context())); got != exitUsage {
			t.Errorf("%s with an unknown flag: got exit code %d, want %d", c.Name(), got, exitUsage)
		}
	}
}
