package source

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

// Positions and records name files so that they can be opened from where the
// operator stands.
func TestNamesAreThoseThatTheOperatorWouldType(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		".git/HEAD":             "",
		"lib/pure.star":         "X = 1\n",
		"policies/beside.star":  "Y = 1\n",
		"policies/nightly.star": "load(\":beside.star\", \"Y\")\nload(\"//lib/pure.star\", \"X\")\nload(\"@stdlib//z.star\", \"Z\")\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, from, typed, entry, beside, lib string }{
		{"from the root", ".", "policies/nightly.star", "policies/nightly.star", "policies/beside.star", "lib/pure.star"},
		{"from the folder of policies", "policies", "nightly.star", "nightly.star", "beside.star", "../lib/pure.star"},
		{"with a dot", "policies", "./nightly.star", "nightly.star", "beside.star", "../lib/pure.star"},
		{"from another folder", "lib", "../policies/nightly.star", "../policies/nightly.star", "../policies/beside.star", "../lib/pure.star"},
		{"from above", "..", filepath.Base(root) + "/policies/nightly.star", filepath.Base(root) + "/policies/nightly.star",
			filepath.Base(root) + "/policies/beside.star", filepath.Base(root) + "/lib/pure.star"},
		{"whole", "/", root + "/policies/nightly.star", root + "/policies/nightly.star", root + "/policies/beside.star", root + "/lib/pure.star"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(filepath.Join(root, c.from))
			if c.from == "/" {
				t.Chdir("/")
			}
			l := Loader{Stdlib: fstest.MapFS{"z.star": {Data: []byte("Z = 1\n")}}}
			g, err := l.Load(c.typed)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, m := range g.Modules {
				got[m.Label] = m.Name
			}
			for label, want := range map[string]string{
				"//policies/nightly.star": c.entry, "//policies/beside.star": c.beside, "//lib/pure.star": filepath.ToSlash(filepath.Clean(c.lib)),
				"@stdlib//z.star": "@stdlib//z.star",
			} {
				if got[label] != want {
					t.Errorf("%s: got %q, want %q", label, got[label], want)
				}
			}
		})
	}
}

func TestAPartOfAGraphIsWhatItsEntryLoads(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"pure.star":    "X = 1\n",
		"hourly.star":  "load(\":pure.star\", \"X\")\n",
		"beside.star":  "Y = 1\n",
		"nightly.star": "load(\":hourly.star\", hourly = \"X\")\nload(\":beside.star\", \"Y\")\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, err := (&Loader{}).Load("nightly.star")
	if err != nil {
		t.Fatal(err)
	}
	alone, err := (&Loader{}).Load("hourly.star")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all.Modules {
		if m.Name != "hourly.star" {
			continue
		}
		if part := all.From(m); part.Entry != m || part.Digest() != alone.Digest() || part.Digest() == all.Digest() {
			t.Errorf("got %v, want %v", part.Sums(), alone.Sums())
		}
		return
	}
	t.Error("hourly.star is not in the graph")
}

// What waits for a writer, or acts when it is opened, is not a policy.
func TestOnlyRegularFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "lib.star")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	entry := filepath.Join(dir, "main.star")
	if err := os.WriteFile(entry, []byte("load(\":lib.star\", \"x\")\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{entry, fifo} {
		l := Loader{}
		if _, err := l.Load(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: got %v", filepath.Base(path), err)
		}
	}
}
