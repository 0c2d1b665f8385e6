package ruleset

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// Missed is the part of a table that no file brings back.
func (t Table) Missed() string { return "table " + t.String() }

// Unplaced lists the tables of a Linux host that are in no file that loads and are
// no gap, or in more than one. Documents of version 1 do not say.
func (d *Document) Unplaced() ([]string, error) {
	if d.Vendor != "linux" || d.Version == oldest {
		return nil, nil
	}
	all, err := d.Listings()
	if err != nil {
		return nil, err
	}
	places := map[string]int{}
	for t := range all {
		places[t.String()] = 0
	}
	for _, s := range d.Sections {
		if strings.HasSuffix(s.Name, Legacy) {
			for _, t := range legacyTables(s) {
				places[t.String()] = 0
			}
		}
	}
	for _, a := range d.Checked {
		for _, t := range a.Tables {
			places[t]++
		}
	}
	for _, m := range d.Missing {
		if t, ok := strings.CutPrefix(m.Part, "table "); ok {
			places[t]++
		}
	}
	var out []string
	for t, n := range places {
		switch {
		case n == 0:
			out = append(out, "table "+t+" is in no file that loads, and is not a gap")
		case n > 1:
			out = append(out, fmt.Sprintf("table %s is in %d places", t, n))
		}
	}
	sort.Strings(out)
	return out, nil
}

// Legacy ends the sections of iptables' own tables, which nftables does not see.
const Legacy = "-legacy"

func legacyTables(s Section) (out []Table) {
	for _, e := range s.Entries {
		var line string
		if json.Unmarshal(e, &line) == nil && strings.HasPrefix(line, "*") {
			out = append(out, Table{s.Name, line[1:]})
		}
	}
	return out
}
