package linux

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// xtables are the programs that keep tables of their own: through nftables, in the
// family, or in the kernel's older tables, whose names are in a file.
var xtables = []struct{ program, family, legacy string }{
	{"iptables", "ip", "/proc/net/ip_tables_names"},
	{"ip6tables", "ip6", "/proc/net/ip6_tables_names"},
	{"ebtables", "bridge", ""},
	{"arptables", "arp", "/proc/net/arp_tables_names"},
}

// xtNames are the tables that these programs know.
var xtNames = map[string][]string{
	"ip": {"filter", "nat", "mangle", "raw", "security"}, "ip6": {"filter", "nat", "mangle", "raw", "security"},
	"bridge": {"filter", "nat", "broute"}, "arp": {"filter"},
}

// readSaved asks iptables-save and its siblings where there are tables of theirs.
func (f *filter) readSaved(ctx context.Context, h host.Host) error {
	for _, x := range xtables {
		var own []ruleset.Table
		for _, t := range f.nft.Tables {
			if t.Family == x.family && slices.Contains(xtNames[x.family], t.Name) {
				own = append(own, t)
			}
		}
		if len(own) > 0 {
			if err := f.readVariant(ctx, h, x.program, "-nft", x.family, own); err != nil {
				return err
			}
		}
		old, err := f.legacyTables(ctx, h, x.program, x.legacy)
		if err != nil {
			return err
		}
		if len(old) > 0 {
			if err := f.readVariant(ctx, h, x.program, "-legacy", x.program+ruleset.Legacy, old); err != nil {
				return err
			}
		}
	}
	return nil
}

// legacyTables reads which of the kernel's older tables are there. Those of ebtables
// are known by their modules alone.
func (f *filter) legacyTables(ctx context.Context, h host.Host, program, file string) (out []ruleset.Table, err error) {
	family := program + ruleset.Legacy
	if file == "" {
		modules, err := readIfThere(ctx, h, "/proc/modules")
		for _, name := range xtNames["bridge"] {
			if strings.Contains("\n"+modules, "\nebtable_"+name+" ") {
				out = append(out, ruleset.Table{Family: family, Name: name})
			}
		}
		return out, err
	}
	names, err := readIfThere(ctx, h, file)
	for _, name := range strings.Fields(names) {
		out = append(out, ruleset.Table{Family: family, Name: name})
	}
	return out, err
}

func readIfThere(ctx context.Context, h host.Host, path string) (string, error) {
	raw, err := host.ReadFile(ctx, h, path, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(raw), err
}

// readVariant asks the program of one variant, by its own name or by the plain one.
func (f *filter) readVariant(ctx context.Context, h host.Host, program, variant, family string, tables []ruleset.Table) error {
	var r host.Result
	var err error
	for _, save := range []string{program + variant + "-save", program + "-save"} {
		if r, err = h.Run(ctx, host.Command{Args: []string{save}, Limit: maxListing}); errors.Is(err, host.ErrNoProgram) {
			continue
		}
		if err != nil {
			return err
		}
		file := strings.TrimSuffix(program+variant, "-nft") + ".rules"
		f.forms = append(f.forms, form{file: file, family: family, save: save,
			load: []string{strings.TrimSuffix(save, "save") + "restore"}, text: (*filter).savedText})
		f.keep(family, variant, tables, r, save)
		return nil
	}
	for _, t := range tables {
		if f.nft.XT[t] || variant == "-legacy" {
			f.lost[t] = append(f.lost[t], program+"-save is not on the host (Debian: "+strings.Replace(program, "ip6", "ip", 1)+")")
			if variant == "-legacy" {
				f.saved[t] = nil
			}
		}
	}
	return nil
}

// keep holds what was printed, and what was said of tables that are not in it: that it
// ended with 0 means nothing.
func (f *filter) keep(family, variant string, tables []ruleset.Table, r host.Result, program string) {
	sections := bySection(family, saved(r.Stdout))
	said := program + " printed nothing of it"
	for _, line := range strings.Split(string(r.Stdout)+"\n"+string(r.Stderr), "\n") {
		if strings.Contains(line, "incompatible") {
			said = program + ": " + strings.Trim(line, "# .")
		}
	}
	if r.Exit != 0 {
		said = (&host.ExitError{Program: program, Exit: r.Exit, Said: complaint(r.Stderr)}).Error()
	}
	for _, t := range tables {
		switch lines := sections[t]; {
		case variant == "-legacy" && r.Exit == 0 && passesAll(lines):
		case len(lines) > 0 && r.Exit == 0:
			f.saved[t] = lines
		case f.nft.XT[t] || variant == "-legacy":
			f.lost[t] = append(f.lost[t], said)
			if variant == "-legacy" {
				f.saved[t] = nil
			}
		}
	}
}

// passesAll is a table of empty chains, as the kernel's older tables are when they
// were only looked at.
func passesAll(lines []string) bool {
	return !slices.ContainsFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, "-A") || strings.HasPrefix(l, ":") && !strings.Contains(l, " ACCEPT")
	})
}

// savedText is what iptables-restore loads again.
func (f *filter) savedText(tables []ruleset.Table) []byte {
	var lines []string
	for _, t := range tables {
		lines = append(lines, f.trimmed(t)...)
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

// addSaved adds what iptables-save and its siblings printed, and the sets.
func (x *Export) addSaved(f *filter) error {
	sections := map[string][]string{}
	for _, t := range slices.SortedFunc(maps.Keys(f.saved), byName) {
		name := t.Family
		for _, p := range xtables {
			if p.family == t.Family {
				name = p.program
			}
		}
		lines := f.saved[t]
		if lines == nil {
			lines = []string{"*" + t.Name}
		}
		sections[name] = append(sections[name], lines...)
	}
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		if err := ruleset.Add(x.Document, name, true, sections[name]); err != nil {
			return err
		}
	}
	return x.addSets(f)
}
