// Package ruleset is the form in which runner keeps what filters and routes
// packets: one document for every vendor, of sections with entries. An entry is
// what the vendor's interface answered, as JSON, without what changes by itself
// (positions, digests, handles, counters), so that two exports of one state are
// equal to the byte, and a difference is a change that somebody made.
//
// The document is for comparing, for checking references, and for the calls that
// bring a state back. What a vendor's own tool loads (an nftables file, an
// iptables-save text) lies beside it.
package ruleset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"unicode"

	"github.com/neosofia/runner/builtins/internal/format/strictjson"
)

// Version of the document. In version 2 each table of a Linux host says which file
// it is loaded from.
const (
	Version = 2
	oldest  = 1
)

// Limits of what is read.
const (
	maxDocument = 256 << 20 // bytes
	maxSections = 200_000
)

// Document is one system's state.
type Document struct {
	Version  int        `json:"version"`
	System   string     `json:"system"` // as the site names it
	Vendor   string     `json:"vendor"` // "proxmox", "linux", "cloudflare", "unifi"
	Sections []Section  `json:"sections"`
	Missing  []Missing  `json:"missing,omitempty"`
	Checked  []Accepted `json:"checked,omitempty"`
}

// Section is one list or object of the vendor's interface.
type Section struct {
	Name    string            `json:"name"`              // "cluster/rules"
	Ordered bool              `json:"ordered,omitempty"` // the order of entries means something
	Entries []json.RawMessage `json:"entries"`           // compact, keys sorted
}

// Missing is a part that could not be read.
type Missing struct {
	Part string `json:"part"`
	Why  string `json:"why"`
}

// Accepted says what the system's own tool made of a file.
type Accepted struct {
	File   string   `json:"file"`
	SHA256 string   `json:"sha256"`
	By     string   `json:"by"`               // "nft -f, nftables v1.0.6"
	Tables []string `json:"tables,omitempty"` // of a Linux host: what is loaded from it
	Equal  bool     `json:"equal,omitempty"`  // it was loaded elsewhere, and listed again as it was here
}

// Add adds a section. Values are encoded as JSON without the keys in drop, at any
// depth.
func Add[T any](d *Document, name string, ordered bool, entries []T, drop ...string) error {
	s := Section{Name: name, Ordered: ordered, Entries: []json.RawMessage{}}
	for _, e := range entries {
		raw, err := Canonical(e, drop...)
		if err != nil {
			return fmt.Errorf("encode %s: %w", name, err)
		}
		s.Entries = append(s.Entries, raw)
	}
	d.Sections = append(d.Sections, s)
	return nil
}

// Canonical encodes a value with sorted keys and without those in drop.
func Canonical(v any, drop ...string) (json.RawMessage, error) {
	raw, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	without(tree, drop)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(tree); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

func without(tree any, drop []string) {
	switch t := tree.(type) {
	case map[string]any:
		for _, k := range drop {
			delete(t, k)
		}
		for _, v := range t {
			without(v, drop)
		}
	case []any:
		for _, v := range t {
			without(v, drop)
		}
	}
}

// Section returns the section of that name; nil when there is none.
func (d *Document) Section(name string) *Section {
	for i := range d.Sections {
		if d.Sections[i].Name == name {
			return &d.Sections[i]
		}
	}
	return nil
}

// Miss records a part that could not be read.
func (d *Document) Miss(part, why string) { d.Missing = append(d.Missing, Missing{part, why}) }

// clean makes the names and reasons such as can be shown: they come from systems
// that others administer, and are printed.
func (d *Document) clean() {
	for i := range d.Sections {
		d.Sections[i].Name = shown(d.Sections[i].Name)
	}
	for i := range d.Missing {
		d.Missing[i].Part, d.Missing[i].Why = shown(d.Missing[i].Part), shown(d.Missing[i].Why)
	}
}

func shown(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Encode writes the document, one entry a line, in a fixed order.
func (d *Document) Encode() ([]byte, error) {
	d.Version = Version
	d.clean()
	d.sort()
	var b bytes.Buffer
	head, err := json.Marshal(struct {
		Version int    `json:"version"`
		System  string `json:"system"`
		Vendor  string `json:"vendor"`
	}{d.Version, d.System, d.Vendor})
	if err != nil {
		return nil, err
	}
	b.Write(head[:len(head)-1])
	b.WriteString(",\n\"sections\":[")
	for i, s := range d.Sections {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(s.Name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "\n{\"name\":%s,", name)
		if s.Ordered {
			b.WriteString(`"ordered":true,`)
		}
		b.WriteString(`"entries":[`)
		for j, e := range s.Entries {
			if j > 0 {
				b.WriteByte(',')
			}
			b.WriteString("\n ")
			b.Write(e)
		}
		b.WriteString("]}")
	}
	b.WriteString("]")
	if err := tail(&b, "missing", d.Missing); err != nil {
		return nil, err
	}
	if err := tail(&b, "checked", d.Checked); err != nil {
		return nil, err
	}
	b.WriteString("}\n")
	if _, err := Parse(b.Bytes()); err != nil {
		return nil, fmt.Errorf("encode ruleset: it could not be read again: %w", err)
	}
	return b.Bytes(), nil
}

func tail[T any](b *bytes.Buffer, key string, list []T) error {
	if len(list) == 0 {
		return nil
	}
	raw, err := json.Marshal(list)
	if err == nil {
		fmt.Fprintf(b, ",\n%q:%s", key, raw)
	}
	return err
}

func (d *Document) sort() {
	sort.SliceStable(d.Sections, func(i, j int) bool { return d.Sections[i].Name < d.Sections[j].Name })
	for _, s := range d.Sections {
		if !s.Ordered {
			sort.SliceStable(s.Entries, func(i, j int) bool { return bytes.Compare(s.Entries[i], s.Entries[j]) < 0 })
		}
	}
	sort.SliceStable(d.Missing, func(i, j int) bool { return d.Missing[i].Part < d.Missing[j].Part })
	sort.SliceStable(d.Checked, func(i, j int) bool { return d.Checked[i].File < d.Checked[j].File })
}

// Parse reads a document and believes nothing in it.
func Parse(b []byte) (*Document, error) {
	d := &Document{}
	if err := strictjson.Decode(b, maxDocument, d); err != nil {
		return nil, fmt.Errorf("parse ruleset: %w", err)
	}
	if d.Version < oldest || d.Version > Version {
		return nil, fmt.Errorf("parse ruleset: version %d is not known; this program knows versions %d to %d", d.Version, oldest, Version)
	}
	switch d.Vendor {
	case "proxmox", "linux", "cloudflare", "unifi":
	default:
		return nil, fmt.Errorf("parse ruleset: vendor %q is not known", d.Vendor)
	}
	if len(d.Sections) == 0 || len(d.Sections) > maxSections {
		return nil, fmt.Errorf("parse ruleset: %d sections", len(d.Sections))
	}
	for _, m := range d.Missing {
		if !printable(m.Part) || !printable(m.Why) {
			return nil, fmt.Errorf("parse ruleset: what is missing (%.80q) has characters that cannot be shown", m.Part)
		}
	}
	for i, s := range d.Sections {
		if s.Name == "" || !printable(s.Name) || i > 0 && d.Sections[i-1].Name >= s.Name {
			return nil, fmt.Errorf("parse ruleset: section %q is out of order, there twice, or without a name", s.Name)
		}
		for _, e := range s.Entries {
			if c, err := Canonical(e); err != nil || !bytes.Equal(c, e) {
				return nil, fmt.Errorf("parse ruleset: an entry of %s is not in its canonical form", s.Name)
			}
		}
	}
	return d, nil
}
