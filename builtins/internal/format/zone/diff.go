package zone

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Change is a record that stayed itself and has other traits.
type Change struct {
	Before Record   `json:"before"`
	After  Record   `json:"after"`
	What   []string `json:"what"` // "ttl auto -> 300"
}

// Difference says what became of a set of records. It can be written as JSON.
type Difference struct {
	Added   []Record `json:"added"`
	Removed []Record `json:"removed"`
	Changed []Change `json:"changed"`
}

// Empty reports that nothing changed.
func (d Difference) Empty() bool { return len(d.Added)+len(d.Removed)+len(d.Changed) == 0 }

// Lines tells the difference to people: one line a record, in a stable order.
func (d Difference) Lines() []string {
	var out []string
	for _, r := range d.Added {
		out = append(out, "+ "+r.String()+r.extras())
	}
	for _, r := range d.Removed {
		out = append(out, "- "+r.String()+r.extras())
	}
	for _, c := range d.Changed {
		out = append(out, fmt.Sprintf("~ %s %s: %s", c.After.Name, c.After.Type, strings.Join(c.What, ", ")))
	}
	return out
}

func (r Record) extras() string {
	var s string
	if r.Proxied {
		s += " proxied"
	}
	if r.Comment != "" {
		s += fmt.Sprintf(" ; %q", r.Comment)
	}
	return s
}

// Compare tells the difference of two states, with everything that is known of a
// record. Sets are multisets: a record that is there twice counts twice.
func Compare(before, after []Record) Difference {
	return compare(before, after, Record.whole)
}

// Served tells the difference of what DNS servers would answer: name, type, data
// and TTL. It is right where one side comes from BIND text.
func Served(before, after []Record) Difference { return compare(before, after, Record.key) }

func (r Record) whole() Record { return r }

func compare(before, after []Record, view func(Record) Record) Difference {
	count := make(map[Record]int, len(before))
	for _, r := range before {
		count[view(r)]++
	}
	var added, removed []Record
	for _, r := range after {
		if v := view(r); count[v] > 0 {
			count[v]--
		} else {
			added = append(added, v)
		}
	}
	for r, n := range count {
		for range n {
			removed = append(removed, r)
		}
	}
	slices.SortFunc(added, order)
	slices.SortFunc(removed, order)
	var d Difference
	// First what kept its data, then what kept its place.
	d.pair(&removed, &added, func(r Record) string { return r.Name + " " + r.Type + " " + r.Data })
	d.pair(&removed, &added, func(r Record) string { return r.Name + " " + r.Type })
	d.Added, d.Removed = added, removed
	slices.SortFunc(d.Changed, func(a, b Change) int { return order(a.After, b.After) })
	return d
}

// pair moves records of both sides that have the same identity to Changed.
func (d *Difference) pair(removed, added *[]Record, identity func(Record) string) {
	left := map[string][]Record{}
	for _, r := range *removed {
		left[identity(r)] = append(left[identity(r)], r)
	}
	var stay []Record
	for _, r := range *added {
		id := identity(r)
		if len(left[id]) == 0 {
			stay = append(stay, r)
			continue
		}
		was := left[id][0]
		left[id] = left[id][1:]
		d.Changed = append(d.Changed, Change{Before: was, After: r, What: traits(was, r)})
	}
	var gone []Record
	for _, r := range *removed {
		if id := identity(r); len(left[id]) > 0 {
			gone, left[id] = append(gone, left[id][0]), left[id][1:]
		}
	}
	*added, *removed = stay, gone
}

func traits(a, b Record) []string {
	var out []string
	report := func(what, was, is string) {
		if was != is {
			out = append(out, fmt.Sprintf("%s %s -> %s", what, was, is))
		}
	}
	report("data", a.Data, b.Data)
	report("ttl", ttlText(a.TTL), ttlText(b.TTL))
	report("proxied", fmt.Sprint(a.Proxied), fmt.Sprint(b.Proxied))
	report("comment", fmt.Sprintf("%q", a.Comment), fmt.Sprintf("%q", b.Comment))
	report("tags", fmt.Sprintf("%q", a.Tags), fmt.Sprintf("%q", b.Tags))
	report("settings", orNone(a.Settings), orNone(b.Settings))
	return out
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func order(a, b Record) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Data, b.Data), cmp.Compare(a.TTL, b.TTL),
		cmp.Compare(a.Settings, b.Settings), cmp.Compare(a.Comment, b.Comment), cmp.Compare(a.Tags, b.Tags),
		cmp.Compare(fmt.Sprint(a.Proxied), fmt.Sprint(b.Proxied)))
}

// Missing compares Cloudflare's JSON records with its BIND text, which holds
// beside them the SOA and the NS records of the zone that Cloudflare itself
// serves: those count as present. The difference is from text to JSON: what is
// added is missing in the text.
//
// A record that cannot be read is compared with nothing, and nor is one line of its
// name and type in the text. gaps names records that the text lacks for that reason,
// by their Part: who wrote it may have read less than this reader.
func Missing(text, records []Record, zone string, gaps ...string) Difference {
	apex := strings.ToLower(dns.Fqdn(zone))
	stated, unstated, allowed := make(map[Record]bool, len(records)), map[string]int{}, map[string]int{}
	for _, g := range gaps {
		allowed[g]++
	}
	read := slices.DeleteFunc(slices.Clone(records), func(r Record) bool { return r.Unread != "" })
	for _, r := range records {
		if r.Unread != "" {
			unstated[r.Part()]++
			allowed[r.Part()]--
		}
	}
	for _, r := range read {
		stated[r.key()] = true
	}
	var rest []Record
	for _, r := range text {
		switch own := r.Name == apex && (r.Type == "SOA" || r.Type == "NS" && !stated[r.key()]); {
		case own:
		case len(unstated) > 0 && !stated[r.key()] && unstated[r.Part()] > 0:
			unstated[r.Part()]--
		default:
			rest = append(rest, r)
		}
	}
	if len(gaps) > 0 {
		read = lackingIn(rest, read, allowed)
	}
	return Served(rest, read)
}

// lackingIn is records without those that the text lacks and may lack.
func lackingIn(text, records []Record, allowed map[string]int) []Record {
	there := make(map[Record]bool, len(text))
	for _, r := range text {
		there[r.key()] = true
	}
	return slices.DeleteFunc(records, func(r Record) bool {
		gone := !there[r.key()] && allowed[r.Part()] > 0
		if gone {
			allowed[r.Part()]--
		}
		return gone
	})
}
