package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/policytest"
	"github.com/neosofia/runner/stdlib"
)

// What steers a policy, and the library, are shown with examples that run.
func TestTheExamplesOfTheWordsOfPolicies(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	try := func(name, loads, declares, body string) {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(body+declares, name) {
				t.Errorf("its example does not use it: %s", body)
			}
			write("p.star", "\"\"\"An example.\"\"\"\n"+loads+"\n"+declares+"\ndef main():\n    "+strings.ReplaceAll(strings.TrimSpace(body), "\n",
				"\n    ")+"\n")
			path := write("p_test.star", "load(\":p.star\", \"main\")\n\ndef test_it(t):\n    r = t.run(main)\n    t.eq(r.error, None)\n")
			if code := run(t.Context(), []string{"test", path}); code != exitOK {
				t.Errorf("runner test of its example ended with %d", code)
			}
			if code := run(t.Context(), []string{"builtins", name}); code != exitOK {
				t.Errorf("runner builtins %s ended with %d", name, code)
			}
		})
	}
	for _, w := range runtime.Words() {
		if w.Top {
			try(w.Name, "", w.Example, "pass")
		} else {
			try(w.Name, "", "", w.Example)
		}
	}
	try("time", "", "", "log(text = \"%d\" % time.parse(\"2026-03-31\").year)")
	library, err := stdlib.Docs()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range library {
		try(d.Name, "load(\""+d.Label+"\", \""+d.Name+"\")", "", d.Example)
	}
	names := (&runtime.Runtime{Primitives: builtins.All(), Stdlib: stdlib.Files}).Names()
	for _, name := range names {
		if code := run(t.Context(), []string{"builtins", name}); code != exitOK {
			t.Errorf("a policy can say %s, and runner builtins does not know it", name)
		}
	}
}

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
