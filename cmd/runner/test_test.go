package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/runtime/policytest"
)

// The examples that runner builtins shows are tests that pass.
func TestTheExamplesOfTheWordsOfTests(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("p.star", `"""Every guest."""

load("@stdlib//protect.star", "protect")

policy(sop = "IT-1", section = "VM", version = "1", protects = ["virtual_machines"])

def main():
    each([lambda g = g: protect(snapshot_vm(guest = g)) for g in guests()])
`)
	for _, w := range policytest.Words() {
		t.Run(w.Name, func(t *testing.T) {
			if !strings.Contains(w.Example, w.Name) {
				t.Errorf("its example does not use it: %s", w.Example)
			}
			body := strings.ReplaceAll(strings.TrimSpace(w.Example), "\n", "\n    ")
			path := write("w_test.star", "load(\":p.star\", \"main\")\n\ndef test_it(t):\n    "+body+"\n")
			if code := run(t.Context(), []string{"test", path}); code != exitOK {
				t.Errorf("runner test of its example ended with %d", code)
			}
			if code := run(t.Context(), []string{"builtins", w.Name}); code != exitOK {
				t.Errorf("runner builtins %s ended with %d", w.Name, code)
			}
		})
	}
}
