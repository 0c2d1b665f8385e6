package ruleset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Change is one difference between two documents.
type Change struct {
	Section string `json:"section"`
	Kind    string `json:"kind"` // "added", "removed", "changed", "order"
	What    string `json:"what,omitempty"`
	Old     string `json:"old,omitempty"`
	New     string `json:"new,omitempty"`
}

// Text is a line for people.
func (c Change) Text() string {
	switch c.Kind {
	case "added":
		return fmt.Sprintf("+ %s: %s", c.Section, c.New)
	case "removed":
		return fmt.Sprintf("- %s: %s", c.Section, c.Old)
	case "changed":
		return fmt.Sprintf("~ %s %s: %s -> %s", c.Section, c.What, c.Old, c.New)
	}
	return fmt.Sprintf("~ %s: the order of its entries", c.Section)
}

// Diff lists what differs in b from a. What could not be read in one of the two is
// not taken for removed or added: Missing says of it, a section by its name, a field
// by those of section and field.
func Diff(a, b *Document) []Change {
	var out []Change
	skip := map[string]bool{}
	for _, m := range append(slices.Clone(a.Missing), b.Missing...) {
		skip[m.Part] = true
	}
	names := map[string]bool{}
	for _, d := range []*Document{a, b} {
		for _, s := range d.Sections {
			names[s.Name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if skip[name] {
			continue
		}
		x, y := a.Section(name), b.Section(name)
		if x == nil {
			x = &Section{Name: name}
		}
		if y == nil {
			y = &Section{Name: name}
		}
		var fields []string
		for part := range skip {
			if f, ok := strings.CutPrefix(part, name+" "); ok {
				fields = append(fields, f)
			}
		}
		out = append(out, diffSection(lacking(x, fields), lacking(y, fields))...)
	}
	return out
}

// lacking is a section without fields that one of two documents leaves out: the
// other's value would be reported as a change.
func lacking(s *Section, fields []string) *Section {
	if len(fields) == 0 {
		return s
	}
	out := &Section{Name: s.Name, Ordered: s.Ordered}
	for _, e := range s.Entries {
		if c, err := Canonical(e, fields...); err == nil { // entries were parsed
			e = c
		}
		out.Entries = append(out.Entries, e)
	}
	return out
}

func diffSection(a, b *Section) (out []Change) {
	left := map[string]int{}
	for _, e := range a.Entries {
		left[string(e)]++
	}
	var added, removed []json.RawMessage
	for _, e := range b.Entries {
		if left[string(e)] > 0 {
			left[string(e)]--
		} else {
			added = append(added, e)
		}
	}
	for _, e := range a.Entries {
		if left[string(e)] > 0 {
			left[string(e)]--
			removed = append(removed, e)
		}
	}
	for _, old := range removed {
		id := identity(old)
		at := slices.IndexFunc(added, func(e json.RawMessage) bool { return id != "" && identity(e) == id })
		if at < 0 && len(removed) == 1 && len(added) == 1 && !a.Ordered {
			at = 0 // the one object of a section
		}
		if at < 0 {
			out = append(out, Change{Section: a.Name, Kind: "removed", Old: string(old)})
			continue
		}
		out = append(out, fields(a.Name, id, old, added[at])...)
		added = slices.Delete(added, at, at+1)
	}
	for _, e := range added {
		out = append(out, Change{Section: b.Name, Kind: "added", New: string(e)})
	}
	if len(out) == 0 && b.Ordered && !slices.EqualFunc(a.Entries, b.Entries, func(x, y json.RawMessage) bool { return bytes.Equal(x, y) }) {
		out = append(out, Change{Section: b.Name, Kind: "order"})
	}
	return out
}

// identity is what an entry is called, when it says so.
func identity(e json.RawMessage) string {
	var m map[string]any
	if json.Unmarshal(e, &m) != nil {
		return ""
	}
	for _, key := range []string{"id", "name", "cidr", "iface", "path", "key", "ifname", "vnet", "zone", "subnet"} {
		if v, ok := m[key].(string); ok && v != "" {
			return key + " " + v
		}
	}
	return ""
}

// fields names the fields that differ in two forms of one entry.
func fields(section, id string, a, b json.RawMessage) (out []Change) {
	var x, y map[string]json.RawMessage
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return []Change{{Section: section, Kind: "changed", What: id, Old: string(a), New: string(b)}}
	}
	keys := map[string]bool{}
	for k := range x {
		keys[k] = true
	}
	for k := range y {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if !bytes.Equal(x[k], y[k]) {
			out = append(out, Change{Section: section, Kind: "changed", What: strings.TrimSpace(id + " " + k), Old: orNone(x[k]), New: orNone(y[k])})
		}
	}
	return out
}

func orNone(v json.RawMessage) string {
	if v == nil {
		return "none"
	}
	return string(v)
}
