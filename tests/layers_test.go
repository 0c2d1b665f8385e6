package tests

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"sort"
	"strings"
	"testing"
)

const module = "github.com/neosofia/runner"

// layers says what each package may import of ours, from the top to the bottom.
// Whatever is not listed is forbidden, and so is a package that is not listed.
var layers = []struct {
	pkg  string
	may  []string
	test []string // what its tests may import beyond
}{
	// The program joins everything.
	{"cmd/runner", []string{"builtins", "builtins/lab", "cmd/runner/internal/nodbus", "runtime", "runtime/ledger", "runtime/policytest", "runtime/report", "stdlib"}, nil},
	{"cmd/runner/internal/nodbus", nil, nil},

	// What crosses packages sees them as their users do.
	{"tests", nil, []string{"builtins", "builtins/lab", "runtime/ledger", "tests/internal/program"}},
	{"tests/bench", nil, []string{"runtime", "runtime/ledger", "tests/gauge", "tests/internal/program"}},
	{"tests/crash", nil, []string{"builtins/lab", "runtime/ledger", "tests/internal/program"}},
	{"tests/gauge", nil, nil},
	{"tests/internal/program", nil, nil},
	{"tests/real", nil, []string{"builtins", "builtins/lab", "runtime/ledger", "tests/internal/program"}},

	// Primitives know the runtime's contract, and reach systems through world.
	{"builtins", []string{
		"builtins/internal/rescue", "builtins/internal/carry", "builtins/internal/chain",
		"builtins/internal/client/linux", "builtins/internal/client/logs", "builtins/internal/client/unifi", "builtins/internal/format/logbatch", "builtins/internal/format/ruleset",
		"builtins/internal/client/cloudflare", "builtins/internal/format/zone", "builtins/internal/format/bundle", "builtins/internal/format/share", "builtins/internal/format/sheet",
		"builtins/internal/client/keyring", "builtins/internal/client/proxmox", "builtins/internal/comeback", "builtins/internal/hoard", "builtins/internal/kind", "builtins/internal/recovery", "builtins/internal/custody",
		"builtins/internal/retire", "builtins/internal/roster", "builtins/internal/site", "builtins/internal/survey", "builtins/internal/target", "builtins/internal/vzdump",
		"builtins/internal/world", "runtime", "runtime/ledger",
	}, []string{"builtins/lab", "builtins/lab/host", "runtime/policytest", "runtime/report", "stdlib"}},
	{"builtins/internal/roster", []string{"builtins/internal/client/proxmox", "builtins/internal/site", "builtins/internal/world", "runtime", "runtime/ledger"}, []string{"builtins/lab"}},
	{"builtins/internal/carry", []string{"builtins/internal/chain", "builtins/internal/kind", "builtins/internal/target", "builtins/internal/world", "runtime", "runtime/ledger"}, nil},
	{"builtins/internal/comeback", []string{"builtins/internal/client/proxmox", "builtins/internal/client/ssh", "builtins/internal/kind", "builtins/internal/target", "builtins/internal/world", "runtime", "runtime/ledger"}, []string{"builtins/lab"}},
	{"builtins/internal/recovery", []string{"builtins/internal/format/archive", "builtins/internal/format/sheet", "builtins/internal/format/zone", "builtins/internal/kind", "builtins/internal/target", "runtime", "runtime/ledger"}, nil},
	{"builtins/internal/survey", []string{"builtins/internal/client/keyring", "builtins/internal/client/host", "builtins/internal/client/proxmox", "builtins/internal/site", "builtins/internal/target", "builtins/internal/world", "runtime", "runtime/ledger"}, []string{"builtins/lab"}},
	{"builtins/internal/world", []string{
		"builtins/internal/client/cloudflare", "builtins/internal/client/host", "builtins/internal/client/keyring", "builtins/internal/client/proxmox", "builtins/internal/client/ssh",
		"builtins/internal/client/unifi", "builtins/internal/format/sheet", "builtins/internal/kind", "builtins/internal/site", "builtins/internal/target", "runtime", "runtime/ledger",
	}, []string{"builtins/lab"}},
	{"builtins/internal/site", []string{"builtins/internal/format/bundle", "builtins/internal/format/zone", "runtime", "runtime/ledger"}, []string{"builtins/lab"}},
	// A kind of artifact: how it is opened, how it comes back.
	{"builtins/internal/kind", []string{
		"builtins/internal/client/cloudflare", "builtins/internal/client/rear", "builtins/internal/format/zone",
		"builtins/internal/format/archive", "builtins/internal/format/journal", "builtins/internal/format/logbatch", "builtins/internal/format/ruleset", "builtins/internal/format/vma", "builtins/internal/target", "runtime/ledger",
		"builtins/internal/format/bundle", "builtins/internal/format/share", "builtins/internal/format/strictjson",
	}, nil},
	{"builtins/internal/rescue", []string{
		"builtins/internal/client/host", "builtins/internal/client/rear", "builtins/internal/format/layout", "builtins/internal/site", "builtins/internal/world", "runtime", "runtime/ledger",
	}, nil},
	{"builtins/internal/custody", []string{"builtins/internal/format/bundle", "builtins/internal/format/share", "builtins/internal/kind", "builtins/internal/site", "builtins/internal/target", "builtins/internal/world", "runtime", "runtime/ledger"}, nil},
	{"builtins/internal/retire", []string{"runtime/ledger"}, nil},
	{"builtins/internal/hoard", []string{"builtins/internal/client/proxmox", "builtins/internal/retire", "builtins/internal/world", "runtime", "runtime/ledger"}, nil},
	{"builtins/internal/chain", []string{"runtime/ledger"}, nil},
	{"builtins/internal/vzdump", []string{"builtins/internal/client/proxmox", "runtime/ledger"}, nil},

	// Targets know no Starlark and no backup system.
	{"builtins/internal/target", []string{"builtins/internal/client/ssh", "runtime/ledger"}, []string{"builtins/internal/format/archive", "builtins/internal/format/vma", "builtins/internal/target/targettest", "tests/gauge"}},
	{"builtins/internal/target/targettest", []string{"builtins/internal/target", "runtime/ledger"}, nil},

	// Clients know one system each; formats know nothing of ours.
	{"builtins/internal/client/cloudflare", []string{"builtins/internal/format/ruleset", "builtins/internal/format/strictjson", "builtins/internal/format/zone"}, []string{"builtins/lab", "tests/gauge"}},
	{"builtins/internal/client/host", []string{"builtins/internal/client/ssh"}, []string{"builtins/lab"}},
	{"builtins/internal/client/keyring", nil, nil},
	{"builtins/internal/client/proxmox", []string{"builtins/internal/format/ruleset"}, []string{"builtins/lab", "tests/gauge"}},
	{"builtins/internal/client/rear", []string{"builtins/internal/format/initramfs", "builtins/internal/format/iso", "builtins/internal/format/layout"}, []string{"builtins/lab/fault", "builtins/lab/host"}},
	{"builtins/internal/client/linux", []string{"builtins/internal/client/host", "builtins/internal/format/ruleset"}, nil},
	{"builtins/internal/client/unifi", []string{"builtins/internal/format/ruleset"}, nil},
	{"builtins/internal/client/logs", []string{"builtins/internal/client/host", "builtins/internal/format/journal", "builtins/internal/format/logbatch"}, []string{"builtins/lab", "tests/gauge"}},
	{"builtins/internal/client/ssh", nil, []string{"builtins/lab"}},
	{"builtins/internal/format/archive", []string{"builtins/internal/format/vma"}, nil},
	{"builtins/internal/format/ruleset", []string{"builtins/internal/format/strictjson"}, nil},
	{"builtins/internal/format/journal", nil, nil},
	{"builtins/internal/format/logbatch", []string{"builtins/internal/format/strictjson"}, nil},
	{"builtins/internal/format/vma", nil, nil},
	{"builtins/internal/format/initramfs", nil, nil},
	{"builtins/internal/format/iso", nil, nil},
	{"builtins/internal/format/layout", nil, nil},
	{"builtins/internal/format/zone", nil, nil},
	{"builtins/internal/format/bundle", []string{"builtins/internal/format/strictjson"}, []string{"tests/gauge"}},
	{"builtins/internal/format/share", nil, nil},
	{"builtins/internal/format/sheet", []string{"builtins/internal/format/share"}, nil},
	{"builtins/internal/format/strictjson", nil, nil},

	// The lab shares formats with the clients, and nothing else: it would share
	// their mistakes.
	{"builtins/lab", []string{"builtins/lab/cloudflare", "builtins/lab/fault", "builtins/lab/host", "builtins/lab/proxmox", "builtins/lab/sftp", "builtins/lab/unifi", "runtime/ledger"}, nil},
	{"builtins/lab/proxmox", []string{"builtins/internal/format/vma", "builtins/lab/fault", "builtins/lab/internal/schema"}, []string{"builtins/internal/format/archive"}},
	{"builtins/lab/cloudflare", []string{"builtins/internal/format/zone", "builtins/lab/fault", "builtins/lab/internal/schema"}, nil},
	{"builtins/lab/host", []string{"builtins/internal/format/ruleset", "builtins/lab/fault"}, nil},
	{"builtins/lab/sftp", []string{"builtins/lab/fault"}, nil},
	{"builtins/lab/unifi", []string{"builtins/lab/fault"}, nil},
	{"builtins/lab/fault", nil, nil},
	{"builtins/lab/internal/schema", nil, nil},

	// The runtime knows Starlark and the ledger; the bottom knows nothing of ours.
	{"runtime/policytest", []string{"runtime", "runtime/ledger"}, nil},
	{"runtime", []string{"runtime/ledger", "runtime/source"}, nil},
	{"runtime/report", []string{"runtime/ledger"}, nil},
	{"runtime/ledger", nil, nil},
	{"runtime/source", nil, nil},
	{"stdlib", nil, nil},
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
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports,GoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles,CgoFiles", "./...")
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
	allowed, tests := map[string]map[string]bool{}, map[string]map[string]bool{}
	for _, l := range layers {
		allowed[l.pkg], tests[l.pkg] = set(l.may), set(l.may, l.test, []string{l.pkg})
	}
	for _, p := range packages(t) {
		if allowed[p.name()] == nil {
			t.Errorf("%s is in no layer: name it, and what it may import, in the list of this test", p.name())
			continue
		}
		for _, path := range ours(p.Imports) {
			if !allowed[p.name()][path] {
				t.Errorf("%s imports %s: no arrow of the list allows it", p.name(), path)
			}
		}
		for _, path := range ours(p.TestImports, p.XTestImports) {
			if !tests[p.name()][path] {
				t.Errorf("a test of %s imports %s: no arrow of the list allows it", p.name(), path)
			}
		}
	}
}

// The list itself keeps the shape that the design gives it.
func TestTheListOfLayersKeepsItsShape(t *testing.T) {
	rank := map[string]int{}
	for i, l := range layers {
		rank[l.pkg] = i
	}
	for _, l := range layers {
		for _, to := range l.may {
			if _, listed := rank[to]; !listed {
				t.Errorf("%s may import %s, which is in no layer", l.pkg, to)
			}
			switch {
			case strings.HasPrefix(l.pkg, "runtime") && strings.HasPrefix(to, "builtins"):
				t.Errorf("%s may import %s: the runtime knows no backup system", l.pkg, to)
			case strings.HasPrefix(l.pkg, "builtins/lab") && strings.HasPrefix(to, "builtins/internal/client"):
				t.Errorf("%s may import %s: the lab shares no mistakes with clients", l.pkg, to)
			case strings.HasPrefix(l.pkg, "builtins/internal/client") && (to == "runtime" || strings.HasPrefix(to, "builtins") && !strings.HasPrefix(to, "builtins/internal/format")) &&
				to != "builtins/internal/client/ssh" && to != "builtins/internal/client/host":
				t.Errorf("%s may import %s: clients know formats, and hosts that they run on", l.pkg, to)
			case strings.HasPrefix(l.pkg, "builtins/internal/format") && !strings.HasPrefix(to, "builtins/internal/format"):
				t.Errorf("%s may import %s: formats import nothing of ours", l.pkg, to)
			}
		}
	}
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
