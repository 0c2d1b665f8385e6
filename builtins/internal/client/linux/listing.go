package linux

import (
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// listing is a packet filter as the tools print it: here, or in a namespace.
type listing struct {
	nft    *ruleset.NFT
	tables map[ruleset.Table]ruleset.Listing
	text   map[ruleset.Table]string   // of nft, table by table
	saved  map[ruleset.Table][]string // of iptables-save and its siblings; nil when they were not asked
}

// newListing joins what nft -j and nft printed. nft 1.0 prints no whole JSON when a
// table has flags, and ends with 0: then there are no tables, and the text has to do.
func newListing(asJSON, text []byte) (*listing, error) {
	l := &listing{text: ruleset.Blocks(string(text))}
	n, err := ruleset.ParseNFT(asJSON)
	if err != nil && l.flagged() {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	return l, l.take(n, text)
}

func (l *listing) take(n *ruleset.NFT, text []byte) (err error) {
	n.SetFlags(text)
	doc := &ruleset.Document{}
	if err := doc.AddNFT(n); err != nil {
		return err
	}
	l.nft = n
	l.tables, err = doc.Listings()
	return err
}

func (l *listing) flagged() bool {
	for _, block := range l.text {
		if len(ruleset.TableFlags(block)) > 0 {
			return true
		}
	}
	return false
}

// differs says in what a table that was loaded elsewhere is not this one; "" when it
// is. What nft -j calls equal is not: of matches of iptables it prints the name alone,
// so all that is printed is compared.
func (l *listing) differs(t ruleset.Table, loaded *listing) string {
	if loaded.text[t] == "" && loaded.tables[t] == nil && loaded.saved[t] == nil {
		return "the table is not there"
	}
	if loaded.tables != nil {
		if part := l.tables[t].Differs(loaded.tables[t]); part != "" {
			return part
		}
	}
	if !slices.Equal(parts(l.text[t]), parts(loaded.text[t])) {
		return "the text of nft"
	}
	if was, is := ordered(l.trimmed(t)), ordered(loaded.trimmed(t)); loaded.saved != nil && !slices.Equal(was, is) {
		return "what is saved again: " + firstOther(was, is)
	}
	return ""
}

func firstOther(a, b []string) string {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return a[i]
		}
	}
	return "more lines"
}

func owned(block string) bool { return slices.Contains(ruleset.TableFlags(block), "owner") }

var elements = regexp.MustCompile(`(?s)\t\telements = \{.*?\}\n`)

// parts are the sets and chains of a table's text, in an order that does not depend
// on when they were made, without what packets put in.
func parts(block string) []string {
	lines := strings.Split(strings.TrimSuffix(ruleset.Unowned(block), "\n"), "\n")
	var out []string
	var part strings.Builder
	for _, line := range lines {
		if line == "" {
			continue
		}
		part.WriteString(line + "\n")
		if !strings.HasPrefix(line, "\t") || line == "\t}" || !strings.HasPrefix(line, "\t\t") && !strings.HasSuffix(line, "{") {
			out = append(out, part.String())
			part.Reset()
		}
	}
	out = append(out, part.String())
	for i, p := range out {
		if strings.Contains(p, "\t\tflags dynamic") || strings.Contains(p, ",dynamic") {
			out[i] = elements.ReplaceAllString(p, "")
		}
	}
	sort.Strings(out)
	return out
}

var counters = regexp.MustCompile(`\[\d+:\d+\]$`)

// saved is the output of iptables-save and ipset save without dates and counters.
func saved(out []byte) []string {
	var lines []string
	for _, line := range strings.Split(string(out), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, ":") {
			line = counters.ReplaceAllString(line, "[0:0]")
		}
		lines = append(lines, line)
	}
	return lines
}

// bySection takes what iptables-save printed apart by table.
func bySection(family string, lines []string) map[ruleset.Table][]string {
	out := map[ruleset.Table][]string{}
	var t ruleset.Table
	for _, line := range lines {
		if strings.HasPrefix(line, "*") {
			t = ruleset.Table{Family: family, Name: line[1:]}
		}
		out[t] = append(out[t], line)
	}
	delete(out, ruleset.Table{})
	return out
}

// trimmed is what iptables-save printed of a table without the chains that it names
// and that are not there: loading them would make them.
func (l *listing) trimmed(t ruleset.Table) []string {
	listed, nft := l.tables[t]
	return slices.DeleteFunc(slices.Clone(l.saved[t]), func(line string) bool {
		name, _, _ := strings.Cut(line, " ")
		return nft && strings.HasPrefix(line, ":") && listed["chain "+name[1:]] == nil
	})
}

// ordered are the lines of one table with its chains by name; the rules of each stay
// in their order.
func ordered(lines []string) []string {
	out := slices.Clone(lines)
	key := func(line string) string {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "-A" {
			return "A " + f[1]
		}
		return line
	}
	sort.SliceStable(out, func(i, j int) bool { return key(out[i]) < key(out[j]) })
	return out
}
