package linux

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// maxListing bounds what a tool prints: sets of addresses can be large.
const maxListing = 128 << 20

// filter is a host's packet filter, with what is known of bringing it back.
type filter struct {
	*listing
	forms []form
	links []string // interfaces of the host
	sets  string   // what makes the sets of ipset
	ipset []string // what ipset save printed

	setsLost string // why they do not come back

	found map[string][]ruleset.Table // by file
	lost  map[ruleset.Table][]string // what each form said
	none  error                      // why no namespace could be made
}

// form is a way in which tables are written down and loaded again.
type form struct {
	file   string
	family string // of the tables that it holds; "" is any of nftables
	save   string // the program that printed it; "" is nft
	load   []string
	text   func(*filter, []ruleset.Table) []byte
}

func nftForm() form {
	return form{file: NFT, load: []string{"nft", "-f", "-"}, text: (*filter).nftText}
}

func jsonForm() form {
	return form{file: NFTJSON, load: []string{"nft", "-j", "-f", "-"}, text: (*filter).nftJSON}
}

func (f *filter) has(form form, t ruleset.Table) bool {
	switch {
	case form.save != "":
		return t.Family == form.family && len(f.saved[t]) > 0
	case strings.HasSuffix(t.Family, ruleset.Legacy):
		return false
	case form.file == NFTJSON:
		return !f.nft.XT[t] // its JSON says which match there is, not what it matches
	}
	return f.text[t] != "" && !f.nft.XT[t] // nft prints its own words for those
}

// filter exports nftables, and what iptables and its siblings keep. A table that
// changed while it was read is read again.
func (x *Export) filter(ctx context.Context, h host.Host) error {
	for try := 1; ; try++ {
		f, err := x.readFilter(ctx, h)
		if err != nil {
			return err
		}
		if err := f.prove(ctx, h); err != nil {
			return err
		}
		if len(f.lost) > 0 && f.none == nil {
			now, err := list(ctx, h, x.links)
			if err != nil {
				return err
			}
			moved := f.movedSince(now)
			if len(moved) > 0 && try < 3 {
				continue
			}
			for _, t := range moved {
				f.lost[t] = append(f.lost[t], "it changed each time that it was read")
			}
		}
		return x.add(f)
	}
}

// movedSince are the tables that were not proven and are others now.
func (f *filter) movedSince(now *listing) (out []ruleset.Table) {
	for t := range f.lost {
		if f.tables[t].Differs(now.tables[t]) != "" {
			out = append(out, t)
		}
	}
	return out
}

// list asks nft, twice. Where it prints no whole JSON it is asked for each table
// alone, and for one with flags in a namespace that has it without.
func list(ctx context.Context, h host.Host, links []string) (*listing, error) {
	asJSON, err := printed(ctx, h, "nft", "-j", "-s", "list", "ruleset")
	if err != nil && !errors.As(err, new(*host.KilledError)) {
		return nil, err
	}
	text, err := printed(ctx, h, "nft", "-s", "list", "ruleset")
	if err != nil {
		return nil, err
	}
	l, err := newListing(asJSON, text)
	if err != nil {
		return nil, err
	}
	if l.nft != nil {
		return l, l.relist(ctx, h)
	}
	n := &ruleset.NFT{XT: map[ruleset.Table]bool{}}
	for _, t := range slices.SortedFunc(maps.Keys(l.text), byName) {
		one, err := l.alone(ctx, h, t, links)
		if err != nil {
			return nil, err
		}
		n.Join(one)
	}
	if err := l.take(n, text); err != nil {
		return nil, err
	}
	return l, l.relist(ctx, h)
}

// relist asks for the text of each table with matches of iptables alone: in one list
// nft 1.0 leaves out of a table what it put into words in the one before.
func (l *listing) relist(ctx context.Context, h host.Host) error {
	for t := range l.nft.XT {
		text, err := printed(ctx, h, "nft", "-s", "list", "table", t.Family, t.Name)
		if err != nil {
			return err
		}
		l.text[t] = ruleset.Blocks(string(text))[t]
	}
	return nil
}

// alone is the JSON of one table.
func (l *listing) alone(ctx context.Context, h host.Host, t ruleset.Table, links []string) (*ruleset.NFT, error) {
	bare := ruleset.Unflagged(l.text[t])
	if bare == l.text[t] {
		out, err := printed(ctx, h, "nft", "-j", "-s", "list", "table", t.Family, t.Name)
		if err != nil {
			return nil, err
		}
		return ruleset.ParseNFT(out)
	}
	loaded, err := (&filter{links: links}).scratch(ctx, h, nftForm(), []byte(bare))
	if errors.As(err, new(*noScratchError)) || errors.As(err, new(*notLoadedError)) {
		return ruleset.OnlyTable(t), nil // the table alone: its text is a gap, or kept
	}
	if err != nil {
		return nil, err
	}
	return loaded.nft, nil
}

// printed is what a program printed, of any size that can be kept.
func printed(ctx context.Context, h host.Host, args ...string) ([]byte, error) {
	r, err := h.Run(ctx, host.Command{Args: args, Limit: maxListing})
	if err == nil && r.Exit != 0 {
		err = &host.ExitError{Program: args[0], Exit: r.Exit, Said: host.Tail(r.Stderr)}
	}
	return r.Stdout, err
}

func (x *Export) readFilter(ctx context.Context, h host.Host) (*filter, error) {
	l, err := list(ctx, h, x.links)
	if err != nil {
		return nil, err
	}
	l.saved = map[ruleset.Table][]string{}
	f := &filter{listing: l, links: x.links, found: map[string][]ruleset.Table{}, lost: map[ruleset.Table][]string{}}
	f.forms = []form{nftForm()}
	if err := f.readSaved(ctx, h); err != nil {
		return nil, err
	}
	f.forms = append(f.forms, jsonForm())
	return f, f.readSets(ctx, h)
}

// prove finds the form of each table that brings it back.
func (f *filter) prove(ctx context.Context, h host.Host) error {
	left := map[ruleset.Table]bool{}
	for _, t := range f.all() {
		left[t] = true
	}
	for _, form := range f.forms {
		var tables []ruleset.Table
		for _, t := range f.all() {
			if left[t] && f.has(form, t) {
				tables = append(tables, t)
			}
		}
		good, why, err := f.settle(ctx, h, form, tables)
		if errors.As(err, new(*noScratchError)) {
			return f.believe(ctx, h, err)
		}
		if err != nil {
			return err
		}
		for _, t := range good {
			delete(left, t)
			delete(f.lost, t)
		}
		if len(good) > 0 {
			f.found[form.file] = good
		}
		for _, t := range slices.SortedFunc(maps.Keys(why), byName) {
			f.lost[t] = append(f.lost[t], form.file+": "+why[t])
		}
	}
	for t := range left {
		if len(f.lost[t]) == 0 {
			f.lost[t] = []string{"no tool of the host prints it in a form that can be loaded"}
		}
	}
	return nil
}

func byName(a, b ruleset.Table) int { return strings.Compare(a.String(), b.String()) }

// all are the tables of nftables in their order, then those of the legacy tools.
func (f *filter) all() []ruleset.Table {
	out := slices.Clone(f.nft.Tables)
	for _, t := range slices.SortedFunc(maps.Keys(f.saved), byName) {
		if strings.HasSuffix(t.Family, ruleset.Legacy) {
			out = append(out, t)
		}
	}
	return out
}

// believe is for a host that makes no namespace: what nft checks of its own tables is
// kept, and that nothing was loaded is reported. What iptables-save prints is not believed.
func (f *filter) believe(ctx context.Context, h host.Host, none error) error {
	f.none = none
	for _, t := range f.all() {
		if f.nft.XT[t] || f.text[t] == "" || owned(f.text[t]) {
			f.lost[t] = append(f.lost[t], none.Error())
			continue
		}
		text := bytes.NewReader(f.nftText([]ruleset.Table{t}))
		r, err := h.Run(ctx, host.Command{Args: []string{"nft", "-c", "-f", "-"}, Stdin: text})
		if err != nil {
			return err
		}
		if r.Exit != 0 {
			f.lost[t] = append(f.lost[t], NFT+": "+(&notLoadedError{"nft -c", complaint(r.Stderr)}).Error(), none.Error())
			continue
		}
		f.found[NFT] = append(f.found[NFT], t)
	}
	return nil
}

// nftText is what nft loads again. When it is all that there is it replaces all, else
// each table replaces itself.
func (f *filter) nftText(tables []ruleset.Table) []byte {
	var b bytes.Buffer
	whole := len(tables) == len(f.all())
	if whole {
		b.WriteString("flush ruleset\n")
	}
	for _, t := range tables {
		if owned(f.text[t]) {
			fmt.Fprintf(&b, "# %s belonged to a running program (flags owner): stop that program before this is loaded, or let it make the table "+
				"itself\n", t)
		}
		if !whole {
			fmt.Fprintf(&b, "table %s\ndelete table %s\n", t, t)
		}
		b.WriteString(ruleset.Unowned(f.text[t]))
	}
	return b.Bytes()
}

// nftJSON is the same for nft -j.
func (f *filter) nftJSON(tables []ruleset.Table) []byte {
	type object = map[string]any
	var list []any
	for _, t := range tables {
		table := object{"table": object{"family": t.Family, "name": t.Name}}
		list = append(list, object{"add": table}, object{"delete": table})
		for _, e := range f.nft.Entries {
			for kind, v := range e {
				m := v.(object) // ParseNFT takes nothing else
				switch name := m["table"]; {
				case kind == "table" && m["family"] == t.Family && m["name"] == t.Name:
					one := object{"family": t.Family, "name": t.Name}
					if flags := ruleset.TableFlags(ruleset.Unowned(f.text[t])); len(flags) > 0 {
						one["flags"] = flags
					}
					list = append(list, object{"add": object{kind: one}})
				case kind != "table" && m["family"] == t.Family && name == t.Name:
					list = append(list, object{"add": e})
				}
			}
		}
	}
	raw, err := ruleset.Canonical(object{"nftables": list}, "handle", "expires")
	if err != nil {
		return nil // such a text is refused, which is reported
	}
	return append(raw, '\n')
}

// add puts the packet filter into the export.
func (x *Export) add(f *filter) error {
	if err := x.Document.AddNFT(f.nft); err != nil {
		return err
	}
	if err := x.addSaved(f); err != nil {
		return err
	}
	for _, form := range f.forms {
		tables := f.found[form.file]
		if len(tables) == 0 && form.file != NFT {
			continue
		}
		a := ruleset.Accepted{By: "nft -c, nftables v" + f.nft.Version + "; not loaded", Equal: f.none == nil}
		if a.Equal {
			a.By = strings.Join(form.load, " ") + " in a network namespace of its own, nftables v" + f.nft.Version
		}
		for _, t := range tables {
			a.Tables = append(a.Tables, t.String())
		}
		x.file(form.file, form.text(f, tables), a)
	}
	if f.none != nil && len(f.found[NFT]) > 0 {
		x.Document.Miss("round trip of "+NFT, f.none.Error()+"; nft -c took it")
	}
	return x.addLost(f)
}

// addLost says of each table that does not come back, and keeps how it was printed:
// nft's words as they are, for who reads them and finds that they will do.
func (x *Export) addLost(f *filter) error {
	var b strings.Builder
	for _, t := range f.all() {
		why, lost := f.lost[t]
		if !lost {
			continue
		}
		x.Document.Miss(t.Missed(), strings.Join(why, "; ")+". How it was printed is in "+Unproven)
		fmt.Fprintf(&b, "## table %s: this does not bring it back as it was\n", t)
		for _, w := range why {
			b.WriteString("# " + strings.Join(strings.Fields(w), " ") + "\n")
		}
		remark := func(head string, lines ...string) {
			b.WriteString("# " + head + ":\n# " + strings.Join(lines, "\n# ") + "\n")
		}
		if raw, err := json.Marshal(f.tables[t]); f.text[t] == "" && err == nil && len(f.tables[t]) > 0 {
			remark("nft -j list table", string(raw))
		}
		if len(f.saved[t]) > 0 {
			remark("iptables-save", f.saved[t]...)
		}
		b.WriteString(f.text[t])
	}
	if b.Len() > 0 {
		x.file(Unproven, []byte(b.String()), ruleset.Accepted{By: "nothing: it is for reading"})
	}
	return nil
}
