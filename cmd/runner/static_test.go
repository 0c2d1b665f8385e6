package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestWhatRunsOnAnyMachine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	main := write("main.go", "package main\n\nfunc main() {}\n")
	static := filepath.Join(dir, "static")
	cmd := exec.Command("go", "build", "-o", static, main)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, c := range []struct {
		name, path string
		want       bool
	}{
		{"a program without cgo", static, true},
		{"a program with an interpreter", "/bin/sh", false},
		{"a script", write("script", "#!/bin/sh\n"), false},
		{"an empty file", write("empty", ""), false},
		{"the head of a program", write("head", "\x7fELF\x02\x01\x01"), false},
		{"a folder", dir, false},
		{"nothing", filepath.Join(dir, "nothing"), false},
	} {
		if got := isStatic(c.path); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
