package newsite

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.starlark.net/syntax"
)

// File is a file that is to be written.
type File struct {
	Name string // below the folder of the site
	Text string
}

// Files are the site, its night, and the bundled policies: those of the night, and those
// that a larger site will want.
func (m *Machine) Files(bundled fs.FS) ([]File, error) {
	p := m.plan()
	files := []File{{"site.star", m.site(p)}, {"nightly.star", p.nightly()}}
	if len(m.Save) > 0 {
		files = append(files, File{"files.star", m.filesPolicy()})
	}
	names, err := fs.Glob(bundled, "*.star")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name == "site.example.star" || name == "nightly.star" || strings.HasSuffix(name, "_test.star") {
			continue
		}
		raw, err := fs.ReadFile(bundled, name)
		if err != nil {
			return nil, err
		}
		files = append(files, File{name, string(raw)})
	}
	return append(files, m.units()...), nil
}

// plan is what the site protects, and by which policies.
type plan struct {
	procedures []string // names of policies, in the order of the night
	assets     []string
	targets    []namedPlace
	storage    string // of Proxmox
}

// namedPlace is a place and the name that the site gives it.
type namedPlace struct {
	name string
	Place
}

// named names places after their last folder, each in a way of its own.
func named(places []Place, taken ...string) (out []namedPlace) {
	for _, p := range places {
		base := name(strings.ReplaceAll(path.Base(p.Path), ".", "-"), "root")
		unique := base
		for i := 2; slices.Contains(taken, unique); i++ {
			unique = fmt.Sprintf("%s-%d", base, i)
		}
		taken = append(taken, unique)
		out = append(out, namedPlace{unique, p})
	}
	return out
}

// sets are what is saved, each an item of its own.
func (m *Machine) sets() []namedPlace { return named(m.Save) }

func (m *Machine) plan() plan {
	var p plan
	add := func(procedure, asset string) {
		p.procedures, p.assets = append(p.procedures, procedure), append(p.assets, asset)
	}
	if m.Proxmox != nil {
		for _, s := range m.Proxmox.Storages {
			if s.Type != "pbs" && (p.storage == "" || p.storage == "local") {
				p.storage = s.Name
			}
		}
		if p.storage != "" {
			add("virtual_machines", "virtual_machines")
		}
	}
	if m.Rear && len(m.To) > 0 && !m.onSystemDisk() {
		add("operating_system", "operating_systems")
	}
	if len(m.Save) > 0 {
		add("files", "files")
	}
	if (m.Firewall || m.Proxmox != nil) && len(m.To) > 0 {
		add("networking", "networking")
	}
	if m.Journal && len(m.To) > 0 {
		add("logs", "system_logs")
	}
	p.targets = named(m.To, "node")
	return p
}

const machines = `
def machines():
    # A recovery of a host may erase the guests on its disks: their copies come
    # first. A guest that fails does not keep the host from its image.
    each([virtual_machines])
    operating_system()
`

// nightly loads the procedures.
func (p plan) nightly() string {
	var b strings.Builder
	b.WriteString("\"\"\"nightly: every procedure of the night, each for itself. Written by runner init.\"\"\"\n\n")
	for _, name := range slices.Sorted(slices.Values(p.procedures)) {
		fmt.Fprintf(&b, "load(\":%s.star\", %s = \"main\")\n", name, name)
	}
	b.WriteString("\npolicy(sop = \"site\", section = \"Backup Procedures\", version = \"1.0.0\")\n")
	run := slices.Clone(p.procedures)
	if slices.Contains(run, "virtual_machines") && slices.Contains(run, "operating_system") {
		b.WriteString(machines)
		run = slices.DeleteFunc(run, func(n string) bool { return n == "virtual_machines" || n == "operating_system" })
		run = append([]string{"machines"}, run...)
	}
	fmt.Fprintf(&b, "\ndef main():\n    each([%s])\n", strings.Join(run, ", "))
	return b.String()
}

func quote(text string) string { return syntax.Quote(text, false) }

func quoted(list []string) string {
	var out []string
	for _, s := range list {
		out = append(out, quote(s))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// filesPolicy saves each of the paths as an item of its own.
func (m *Machine) filesPolicy() string {
	var b strings.Builder
	b.WriteString(`"""files: folders of this machine, every night. Written by runner init."""

load("@stdlib//protect.star", "protect")
load("@stdlib//retention.star", "gfs")

policy(sop = "site", section = "Files", version = "1.0.0", protects = ["files"])

# What is saved: a name that status and recover use, and its paths. Several paths can
# be one item. Left out by themselves: runner's own state, and the copies.
SETS = {
`)
	for _, s := range m.sets() {
		fmt.Fprintf(&b, "    %s: %s,\n", quote(s.name), quoted([]string{s.Path}))
	}
	fmt.Fprintf(&b, `}

# Patterns of tar: /srv/cache is that path alone, *.tmp is a name in any folder.
EXCLUDE = []

def main():
    each([lambda n = n: protect(save_files(host = %s, name = n, paths = SETS[n], exclude = EXCLUDE)) for n in SETS], max = 2)

    # A month of days, and a year of months.
    prune(asset = "files", keep = gfs(history(asset = "files"), daily = 28, monthly = 12), apply = True)
`, quote(m.Name))
	return b.String()
}
