package tests

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"sort"
	"strings"
	"testing"
)

const module = "github.com/neosofia/runner"

// floor is packages that may import the same of ours. Names are relative to internal/ of
// builtins where they have no slash before them; a name that ends in /* stands for what
// lies directly below, and a floor may always import what it lists of itself.
type floor struct {
	pkgs, may string
	test      string // what tests may import beyond
}

// floors is the house from the top to the bottom. Whatever is not listed is forbidden, and
// so is a package that is on no floor.
var floors = []floor{
	// The program joins everything.
	{"/cmd/runner", "/builtins /builtins/* /cmd/runner/internal/* /policies /runtime /runtime/* /stdlib", ""},
	{"/cmd/runner-cloud", "/builtins/cloudstore", ""},
	{"/cmd/runner/internal/*", "", ""},
	// What crosses packages sees them as their users do.
	{"/tests /tests/bench /tests/crash /tests/real", "", "/builtins /builtins/lab /builtins/site /runtime /runtime/ledger /tests/gauge " +
		"/tests/internal/program"},
	{"/tests/gauge /tests/internal/program /tests/memdir", "", ""},

	// The lab shares formats with the clients, and nothing else: it would share their mistakes.
	{"/builtins/lab", "/builtins/lab/* /runtime/ledger", ""},
	{"/builtins/lab/*", "format/* /builtins/lab/fault /builtins/lab/internal/*", ""},
	{"/builtins/lab/internal/*", "", ""},

	// Declarations: one file a primitive. Behind them bodies, named after their primitive.
	{"/builtins", "* /builtins/site /builtins/systems client/* format/* /runtime /runtime/failure /runtime/ledger /runtime/words",
		"kind kind/* /builtins/* /builtins/lab/host /runtime/policytest /runtime/report /stdlib"},
	{"adopt", "guests kind kind/* kinds /builtins/site snapshotvm /builtins/systems target client/* format/* /runtime /runtime/failure " +
		"/runtime/ledger", ""},
	{"copying exportdns exportfirewall prune rearhost restorevm savefiles sealsecrets shiplogs snapshotvm verify",
		"guests kind kind/* kinds /builtins/site spool /builtins/systems target client/* format/* /runtime /runtime/failure /runtime/ledger " +
			"/runtime/words", "/builtins/lab"},
	// What several of them, and the program, share.
	{"/builtins/capacity /builtins/checkpoints guests /builtins/media /builtins/medium /builtins/newsite /builtins/preflight " +
		"/builtins/recoverykey",
		"/builtins/capacity guests kind kind/* kinds /builtins/site /builtins/systems target client/* format/* /runtime /runtime/failure " +
			"/runtime/ledger /runtime/words", "/builtins/lab"},
	{"/builtins/systems", "decoded /builtins/site spool target engine client/* format/* /runtime /runtime/failure /runtime/ledger",
		"/builtins/lab"},
	{"spool", "kind kinds target /runtime /runtime/failure /runtime/ledger", ""},
	{"/builtins/site", "target client/tlspin format/* /runtime /runtime/failure /runtime/ledger", "/builtins/lab"},

	// Kinds of artifacts know no site and no Starlark: a medium alone is enough for them.
	{"kinds", "kind kind/* target", ""},
	{"kind/*", "kind target client/* format/* /runtime/failure /runtime/ledger", "kind/kindtest"},
	{"kind", "target format/archive /runtime/ledger", ""},
	// What an archive holds, kept part by part in a store.
	{"decoded", "store target format/* /runtime/failure", "chunks engine target/targettest /runtime/ledger /tests/gauge"},
	{"/builtins/cloudstore", "chunks cloud engine target /runtime /runtime/failure", "/builtins/lab"},
	// A store that is kopia's repository: no other package knows kopia.
	{"chunks", "durable engine store target /runtime/failure", "/tests/gauge"},
	{"cloud", "engine store target /runtime/failure", "/builtins/lab target/targettest /runtime/ledger"},
	{"target target/targettest", "durable engine mirror store target client/ssh /runtime/failure /runtime/ledger",
		"format/* target/targettest /tests/gauge"},
	// Engines are stores in a process of their own: they know bytes by name, and nothing of copies.
	{"engine", "store /runtime/failure", ""},
	{"durable mirror store", "", ""},
	// Clients know one system each, and hosts that they run on; formats know nothing of ours.
	{"client/*", "client/host client/ssh client/tlspin format/* /runtime/failure", "/builtins/lab /builtins/lab/* /tests/gauge"},
	{"format/*", "format/*", "/tests/gauge"},

	// The runtime knows Starlark and the ledger, and no backup system.
	{"/runtime/policytest", "/runtime /runtime/failure /runtime/ledger", ""},
	{"/runtime", "/runtime/failure /runtime/ledger /runtime/source /runtime/words", ""},
	{"/runtime/report", "/runtime/ledger /runtime/words", ""},
	{"/runtime/ledger /runtime/source /runtime/failure /runtime/words /stdlib /policies", "", ""},
}

// on reports whether a package is among the names of a floor.
func on(names, pkg string) bool {
	for _, n := range strings.Fields(names) {
		if strings.HasPrefix(n, "/") {
			n = n[1:]
		} else {
			n = "builtins/internal/" + n
		}
		dir, below := strings.CutSuffix(n, "/*")
		if n == pkg || below && path.Dir(pkg) == dir {
			return true
		}
	}
	return false
}

// pkg is what go list tells about one package.
type pkg struct {
	ImportPath, Dir                     string
	Imports, TestImports, XTestImports  []string
	GoFiles, IgnoredGoFiles             []string
	TestGoFiles, XTestGoFiles, CgoFiles []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// packages lists all packages of the module.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list",
		"-json=ImportPath,Dir,Imports,TestImports,XTestImports,GoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles,CgoFiles", "./...")
	cmd.Dir = ".."
	var errText strings.Builder
	cmd.Stderr = &errText
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, errText.String())
	}
	var list []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < 20 {
		t.Fatalf("go list names %d packages: this is not the whole tree", len(list))
	}
	return list
}

func ours(imports ...[]string) []string {
	var out []string
	for _, list := range imports {
		for _, path := range list {
			if strings.HasPrefix(path, module) {
				out = append(out, strings.TrimPrefix(path, module+"/"))
			}
		}
	}
	sort.Strings(out)
	return out
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		at := slices.IndexFunc(floors, func(f floor) bool { return on(f.pkgs, p.name()) })
		if at < 0 {
			t.Errorf("%s is on no floor: name it, and what it may import, in the list of this test", p.name())
			continue
		}
		f := floors[at]
		for _, to := range ours(p.Imports) {
			if !on(f.may, to) {
				t.Errorf("%s imports %s: no arrow of the list allows it", p.name(), to)
			}
		}
		for _, to := range ours(p.TestImports, p.XTestImports) {
			if to != p.name() && to != "tests/memdir" && !on(f.may, to) && !on(f.test, to) {
				t.Errorf("a test of %s imports %s: no arrow of the list allows it", p.name(), to)
			}
		}
	}
}

// Arrows go down: what a floor may import is not above it.
func TestFloorsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		from := slices.IndexFunc(floors, func(f floor) bool { return on(f.pkgs, p.name()) })
		for _, to := range ours(p.Imports) {
			if at := slices.IndexFunc(floors, func(f floor) bool { return on(f.pkgs, to) }); at < from {
				t.Errorf("%s imports %s, which is above it", p.name(), to)
			}
		}
	}
}
