package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// source is one parsed file, of tests or not.
type source struct {
	path string // below the module: "runtime/clock.go"
	file *ast.File
	fset *token.FileSet
	test bool
}

func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(n.Pos()).Line)
}

// sources parses every Go file of the module, those of other systems too.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	for _, p := range packages(t) {
		for i, names := range [][]string{p.GoFiles, p.IgnoredGoFiles, p.CgoFiles, p.TestGoFiles, p.XTestGoFiles} {
			for _, n := range names {
				f, err := parser.ParseFile(fset, filepath.Join(p.Dir, n), nil, 0)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, source{p.name() + "/" + n, f, fset, i >= 3 || strings.HasSuffix(n, "_test.go")})
			}
		}
	}
	return all
}

// imported maps the names of a file's imports to their paths.
func (s source) imported() map[string]string {
	m := map[string]string{}
	for _, i := range s.file.Imports {
		p := strings.Trim(i.Path.Value, `"`)
		name := p[strings.LastIndex(p, "/")+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		m[name] = p
	}
	return m
}

// selectors calls fn with every "path.Name" of another package that a file uses.
func (s source) selectors(fn func(n ast.Node, what string)) {
	names := s.imported()
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Obj == nil && names[x.Name] != "" {
				fn(n, names[x.Name]+"."+sel.Sel.Name)
			}
		}
		return true
	})
}

// clocks are the files of runtime and builtins that may ask the machine's clock,
// what for, and why the run's clock is not the right one.
var clocks = map[string]map[string]string{
	"runtime/clock.go": {
		"time.Now": "it is the clock", "time.NewTimer": "it is the clock", "context.WithTimeoutCause": "it is the clock"},
	"builtins/lab/clock.go": {
		"time.Now": "it is the lab's clock", "time.NewTimer": "it is the lab's clock"},
	"builtins/lab/proxmox/wire.go": {
		"time.AfterFunc": "a server drops connections that are idle, as pveproxy does"},
	"builtins/lab/proxmox/volumeapi.go": {
		"time.NewTimer": "the delay that a client asks for while a file is removed"},
	"builtins/internal/target/limit.go": {
		"time.NewTicker": "bytes in a second of the wire: no policy sees it"},
	"builtins/internal/client/ssh/session.go": {
		"time.NewTicker": "keepalive, and the silence after which a connection is dead"},
	"builtins/internal/client/ssh/ssh.go": {
		"time.Now": "deadline of a socket: the kernel knows no other clock"},
}

var clockCalls = set([]string{
	"time.Now", "time.Sleep", "time.After", "time.AfterFunc", "time.Tick", "time.NewTimer", "time.NewTicker", "time.Since", "time.Until",
	"context.WithTimeout", "context.WithTimeoutCause", "context.WithDeadline", "context.WithDeadlineCause",
})

func TestOnlyTheClockAsksTheTime(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		below := strings.HasPrefix(s.path, "runtime/") || strings.HasPrefix(s.path, "builtins/")
		if !below || s.test || strings.HasPrefix(s.path, "builtins/internal/target/targettest/") {
			continue
		}
		s.selectors(func(n ast.Node, what string) {
			if !clockCalls[what] {
				return
			}
			used[s.path+" "+what] = true
			if clocks[s.path][what] == "" {
				t.Errorf("%s uses %s: use the run's clock (runtime.Clock, Step.Now, Step.Sleep, Step.Within)", s.at(n), what)
			}
		})
	}
	for path, calls := range clocks {
		for what := range calls {
			if !used[path+" "+what] {
				t.Errorf("%s no longer uses %s: take it off the list", path, what)
			}
		}
	}
}

func TestTestsDoNotSleep(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			s.selectors(func(n ast.Node, what string) {
				if what == "time.Sleep" {
					t.Errorf("%s sleeps: wait for the event", s.at(n))
				}
			})
		}
	}
}

// goruntimes are the files that need the standard package runtime, and why.
var goruntimes = map[string]string{
	"builtins/internal/target/outfit.go": "the name of the runner that is left on a target has its architecture",
	"runtime/ledger/ledger.go":           "callers that are ready to record join the commit",
}

func TestTheStandardRuntimeHasAnotherName(t *testing.T) {
	found := map[string]bool{}
	for _, s := range sources(t) {
		for name, path := range s.imported() {
			if path != "runtime" || s.test {
				continue
			}
			found[s.path] = true
			if name != "goruntime" || goruntimes[s.path] == "" {
				t.Errorf("%s imports the standard package runtime as %s: as goruntime, and only where the list says why", s.path, name)
			}
		}
	}
	for path := range goruntimes {
		if !found[path] {
			t.Errorf("%s no longer imports the standard package runtime: take it off the list", path)
		}
	}
}

func TestForbiddenImportsAndCalls(t *testing.T) {
	for _, s := range sources(t) {
		for _, path := range s.imported() {
			if rest, ok := strings.CutPrefix(path, "github.com/cloudflare/cloudflare-go"); ok && strings.Count(rest, "/") < 2 {
				t.Errorf("%s imports %s: its service packages only, the root takes minutes to compile", s.path, path)
			}
			if strings.HasPrefix(path, "github.com/kopia/") && filepath.Dir(s.path) != "builtins/internal/chunks" {
				t.Errorf("%s imports %s: only package chunks knows kopia", s.path, path)
			}
			if strings.HasPrefix(path, "github.com/stretchr/testify") || path == "io/ioutil" {
				t.Errorf("%s imports %s", s.path, path)
			}
		}
		s.selectors(func(n ast.Node, what string) {
			if strings.HasPrefix(what, "go.starlark.net/resolve.Allow") {
				t.Errorf("%s uses %s: the dialect is a value, not a global", s.at(n), what)
			}
		})
	}
}

// inits are the functions init that are needed, and why.
var inits = map[string]string{
	"cmd/runner/internal/nodbus/nodbus.go":     "it must come before the init of a library",
	"cmd/runner/internal/noconfig/noconfig.go": "it must come before the init of a library",
}

func TestNothingIsRegisteredByInit(t *testing.T) {
	found := map[string]bool{}
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				found[s.path] = true
				if inits[s.path] == "" {
					t.Errorf("%s has a func init", s.at(f))
				}
			}
		}
	}
	for path := range inits {
		if !found[path] {
			t.Errorf("%s has no func init any more: take it off the list", path)
		}
	}
}

// A package's variables are written while it starts and never after.
func TestGlobalsAreNotWritten(t *testing.T) {
	byPackage := map[string][]source{}
	for _, s := range sources(t) {
		if !s.test {
			byPackage[filepath.Dir(s.path)] = append(byPackage[filepath.Dir(s.path)], s)
		}
	}
	var names []string
	for n := range byPackage {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		globals := globalsOf(t, byPackage[n])
		for _, s := range byPackage[n] {
			s.writes(globals, func(n ast.Node, name string) {
				t.Errorf("%s writes the package's variable %s", s.at(n), name)
			})
		}
	}
}

// globalsOf names the variables of a package, and refuses kinds that exist to be
// written.
func globalsOf(t *testing.T, files []source) map[string]bool {
	globals := map[string]bool{}
	for _, s := range files {
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for _, n := range v.Names {
					globals[n.Name] = true
				}
				if sel, ok := v.Type.(*ast.SelectorExpr); ok {
					if x, ok := sel.X.(*ast.Ident); ok && (x.Name == "sync" || x.Name == "atomic") {
						t.Errorf("%s is a global of type %s.%s", s.at(v), x.Name, sel.Sel.Name)
					}
				}
			}
		}
	}
	delete(globals, "_")
	return globals
}

// writes calls fn for every write to one of globals inside functions: assignment,
// counting, delete, clear, and taking the address.
func (s source) writes(globals map[string]bool, fn func(ast.Node, string)) {
	check := func(at ast.Node, e ast.Expr) {
		if id := root(e); id != nil && globals[id.Name] && s.global(id) {
			fn(at, id.Name)
		}
	}
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, l := range n.Lhs {
					check(n, l)
				}
			case *ast.IncDecStmt:
				check(n, n.X)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					check(n, n.X)
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") && len(n.Args) > 0 {
					check(n, n.Args[0])
				}
			}
			return true
		})
	}
}

// global reports whether an identifier is not a local one of the same name.
func (s source) global(id *ast.Ident) bool {
	return id.Obj == nil || s.file.Scope.Lookup(id.Name) == id.Obj
}

// root is the variable that an expression writes into.
func root(e ast.Expr) *ast.Ident {
	switch e := e.(type) {
	case *ast.Ident:
		return e
	case *ast.SelectorExpr:
		return root(e.X)
	case *ast.IndexExpr:
		return root(e.X)
	case *ast.StarExpr:
		return root(e.X)
	case *ast.ParenExpr:
		return root(e.X)
	}
	return nil
}

func set(lists ...[]string) map[string]bool {
	m := map[string]bool{}
	for _, l := range lists {
		for _, s := range l {
			m[s] = true
		}
	}
	return m
}
