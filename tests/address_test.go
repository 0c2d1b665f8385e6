package tests

import (
	"bytes"
	"go/ast"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins"
)

// The path is the address: snapshot_vm(...) is builtins/snapshot_vm.go.
func TestEveryFileOfBuiltinsIsAPrimitive(t *testing.T) {
	declared := map[string]bool{}
	for _, d := range builtins.All() {
		declared[d.Info().Name] = true
	}
	for _, f := range goFiles(t, "../builtins") {
		name := strings.TrimSuffix(f, ".go")
		if name != "builtins" && !declared[name] {
			t.Errorf("builtins/%s declares no primitive of its name", f)
		}
		delete(declared, name)
	}
	for name := range declared {
		t.Errorf("primitive %s has no file builtins/%s.go", name, name)
	}
}

// The body of a primitive lies in builtins/internal, under its name: what only its file
// imports is named after it, and the file itself stays a declaration.
func TestTheBodyOfAPrimitiveIsNamedAfterIt(t *testing.T) {
	const declaration = 130 // lines
	for _, f := range goFiles(t, "../builtins") {
		raw, err := os.ReadFile(filepath.Join("../builtins", f))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(raw, []byte("\n")); f != "builtins.go" && n > declaration {
			t.Errorf("builtins/%s has %d lines: its body belongs into builtins/internal/%s", f, n, bodyOf(f))
		}
	}
	importers := map[string][]string{}
	for _, s := range sources(t) {
		for _, im := range s.file.Imports {
			name, ok := strings.CutPrefix(strings.Trim(im.Path.Value, `"`), module+"/builtins/internal/")
			if ok && !s.test && !strings.Contains(name, "/") {
				importers[name] = append(importers[name], s.path)
			}
		}
	}
	for name, files := range importers {
		if len(files) == 1 && filepath.Dir(files[0]) == "builtins" && files[0] != "builtins/builtins.go" &&
			bodyOf(filepath.Base(files[0])) != name {
			t.Errorf("only %s imports builtins/internal/%s: name it %s", files[0], name, bodyOf(filepath.Base(files[0])))
		}
	}
}

// bodyOf names the package behind a file of builtins; copy is a word of Go's own.
func bodyOf(file string) string {
	name := strings.ReplaceAll(strings.TrimSuffix(file, ".go"), "_", "")
	if name == "copy" {
		return "copying"
	}
	return name
}

// runner NAME is cmd/runner/NAME.go.
func TestEveryVerbHasItsFile(t *testing.T) {
	files := map[string]bool{}
	for _, f := range goFiles(t, "../cmd/runner") {
		files[f] = true
	}
	for _, s := range sources(t) {
		if filepath.Dir(s.path) != "cmd/runner" || s.test {
			continue
		}
		for _, verb := range s.verbs() {
			switch {
			case verb == "runner" || verb == "help": // the root and its help: root.go
			case filepath.Base(s.path) == verb+".go":
				delete(files, verb+".go")
			default:
				t.Errorf("%s declares the verb %s, want it in cmd/runner/%s.go", s.path, verb, verb)
			}
		}
	}
	// What is left carries no verb.
	want := []string{"ask.go", "completion.go", "engine.go", "main.go", "root.go", "screen.go", "screen_items.go", "screen_lines.go",
		"session.go",
		"static.go", "unique.go"}
	var left []string
	for f := range files {
		left = append(left, f)
	}
	sort.Strings(left)
	if strings.Join(left, " ") != strings.Join(want, " ") {
		t.Errorf("files of cmd/runner without a verb: got %v, want %v", left, want)
	}
}

func goFiles(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		if n := e.Name(); strings.HasSuffix(n, ".go") && !strings.HasSuffix(n, "_test.go") {
			out = append(out, n)
		}
	}
	return out
}

// verbs are the names of the commands that functions of a file named xCommand
// return: the first word of the Use of the first cobra.Command in them.
func (s source) verbs() []string {
	var out []string
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !strings.HasSuffix(f.Name.Name, "Command") {
			continue
		}
		found := false
		ast.Inspect(f, func(n ast.Node) bool {
			kv, ok := n.(*ast.KeyValueExpr)
			if !ok || found {
				return true
			}
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Use" {
				if lit, ok := kv.Value.(*ast.BasicLit); ok {
					found = true
					out = append(out, strings.Fields(strings.Trim(lit.Value, `"`))[0])
				}
			}
			return true
		})
	}
	return out
}
