package ruleset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
)

// Table is one table of a host's packet filter: of nftables by its family, of the
// legacy iptables by its program ("iptables-legacy").
type Table struct{ Family, Name string }

// String is how a document names it.
func (t Table) String() string { return t.Family + " " + t.Name }

// NFT is what nft -j list ruleset printed.
type NFT struct {
	Version string
	Tables  []Table
	XT      map[Table]bool   // tables that hold matches or targets of iptables
	Entries []map[string]any // without what packets and time change
}

// ParseNFT reads the JSON of nftables. Counters, quotas' use, the members that
// packets add to sets, handles and expiry are left out.
func ParseNFT(out []byte) (*NFT, error) {
	var answer struct{ Nftables []map[string]any }
	dec := json.NewDecoder(bytes.NewReader(out))
	dec.UseNumber()
	if err := dec.Decode(&answer); err != nil {
		return nil, fmt.Errorf("read what nft -j printed: %w", err)
	}
	n := &NFT{XT: map[Table]bool{}}
	for _, o := range answer.Nftables {
		for kind, v := range o {
			m, ok := v.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("read what nft -j printed: %q is not an object", kind)
			}
			str := func(key string) string { s, _ := m[key].(string); return s }
			switch kind {
			case "metainfo":
				n.Version = str("version")
				continue
			case "table":
				n.Tables = append(n.Tables, Table{str("family"), str("name")})
			case "rule":
				if usesXT(m["expr"]) {
					n.XT[Table{str("family"), str("table")}] = true
				}
				idle(m["expr"])
			case "set", "map":
				if err := still(m); err != nil {
					return nil, err
				}
			case "counter":
				delete(m, "packets")
				delete(m, "bytes")
			case "quota":
				delete(m, "used")
			}
			n.Entries = append(n.Entries, map[string]any{kind: m})
		}
	}
	return n, nil
}

// Join adds what another call printed.
func (n *NFT) Join(other *NFT) {
	n.Version = other.Version
	n.Tables = append(n.Tables, other.Tables...)
	n.Entries = append(n.Entries, other.Entries...)
	maps.Copy(n.XT, other.XT)
}

// OnlyTable is a table of which nothing else is known in JSON.
func OnlyTable(t Table) *NFT {
	return &NFT{Tables: []Table{t}, Entries: []map[string]any{{"table": map[string]any{"family": t.Family, "name": t.Name}}}}
}

// still leaves out of a set what packets put there, and orders what was given to it.
func still(set map[string]any) error {
	flags, _ := set["flags"].([]any)
	if set["flags"] == "dynamic" || slices.Contains(flags, any("dynamic")) { // one flag is not a list in later versions
		delete(set, "elem")
		return nil
	}
	elem, _ := set["elem"].([]any)
	idle(elem)
	keys := make([]string, len(elem))
	order := make([]int, len(elem))
	for i, e := range elem {
		raw, err := Canonical(e, "expires")
		if err != nil {
			return fmt.Errorf("read the elements of a set: %w", err)
		}
		keys[i], order[i] = string(raw), i
	}
	sort.SliceStable(order, func(i, j int) bool { return keys[order[i]] < keys[order[j]] })
	sorted := make([]any, len(elem))
	for i, at := range order {
		sorted[i] = elem[at]
	}
	if len(elem) > 0 {
		set["elem"] = sorted
	}
	return nil
}

// SetFlags corrects the flags of tables and sets by nft's text: nft 1.0 prints any word
// for those of a table in JSON, and does not say that packets add to a set.
func (n *NFT) SetFlags(text []byte) {
	of := Blocks(string(text))
	for _, e := range n.Entries {
		for kind, v := range e {
			m, _ := v.(map[string]any)
			str := func(key string) string { s, _ := m[key].(string); return s }
			switch kind {
			case "table":
				delete(m, "flags")
				if flags := TableFlags(of[Table{str("family"), str("name")}]); len(flags) > 0 {
					m["flags"] = flags
				}
			case "set", "map":
				if flags := setFlags(of[Table{str("family"), str("table")}], kind+" "+str("name")); slices.Contains(flags, "dynamic") {
					m["flags"] = flags
					delete(m, "elem")
				}
			}
		}
	}
}

// usesXT finds {"xt": …} in an expression.
func usesXT(v any) bool {
	switch t := v.(type) {
	case map[string]any:
		for k, x := range t {
			if k == "xt" || usesXT(x) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(t, usesXT)
	}
	return false
}

// idle empties counters in expressions.
func idle(v any) {
	switch t := v.(type) {
	case map[string]any:
		if c, ok := t["counter"].(map[string]any); ok && c["packets"] != nil {
			t["counter"] = nil
		}
		if q, ok := t["quota"].(map[string]any); ok {
			delete(q, "used")
			delete(q, "used_unit")
		}
		if l, ok := t["last"].(map[string]any); ok && l["used"] != nil {
			t["last"] = nil
		}
		for _, x := range t {
			idle(x)
		}
	case []any:
		for _, x := range t {
			idle(x)
		}
	}
}

// changing are the fields that the kernel numbers, or that run down.
var changing = []string{"handle", "expires"}

// AddNFT adds the section of nftables.
func (d *Document) AddNFT(n *NFT) error {
	return Add(d, "nftables", true, n.Entries, changing...)
}

// Listing is what one table holds, in an order that does not depend on when its
// parts were made: the rules of each chain in their order, all else by what it is.
type Listing map[string][]string

// Listings takes the section of nftables apart by table. The flags of ownership are
// left out: they belong to a program that runs, and nothing can load them.
func (d *Document) Listings() (map[Table]Listing, error) {
	out := map[Table]Listing{}
	s := d.Section("nftables")
	if s == nil {
		return out, nil
	}
	for _, e := range s.Entries {
		var one map[string]map[string]any
		dec := json.NewDecoder(bytes.NewReader(e))
		dec.UseNumber()
		if err := dec.Decode(&one); err != nil {
			return nil, fmt.Errorf("parse ruleset: an entry of nftables: %w", err)
		}
		for kind, m := range one {
			str := func(key string) string { s, _ := m[key].(string); return s }
			t, part := Table{str("family"), str("table")}, kind+" "+str("name")
			switch kind {
			case "table":
				t.Name, part = str("name"), "table"
				disown(m)
			case "rule":
				part = "rules of chain " + str("chain")
			}
			raw, err := Canonical(m)
			if err != nil {
				return nil, err
			}
			if out[t] == nil {
				out[t] = Listing{}
			}
			out[t][part] = append(out[t][part], string(raw))
		}
	}
	return out, nil
}

func disown(table map[string]any) {
	flags, _ := table["flags"].([]any)
	flags = slices.DeleteFunc(flags, func(f any) bool { word, _ := f.(string); return ownership(word) })
	if len(flags) == 0 {
		delete(table, "flags")
	} else {
		table["flags"] = flags
	}
}

// Differs names the first part of a table that is not the same in the other; "" when
// all is.
func (l Listing) Differs(other Listing) string {
	var parts []string
	for part := range l {
		parts = append(parts, part)
	}
	for part := range other {
		if l[part] == nil {
			parts = append(parts, part)
		}
	}
	sort.Strings(parts)
	for _, part := range parts {
		if !slices.Equal(l[part], other[part]) {
			return strings.TrimSpace(part)
		}
	}
	return ""
}
