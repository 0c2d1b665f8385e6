package host

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// unshare runs the one script that runner has for a network namespace: a program loads
// a text, and what is there then is listed. As on a true host, a table of nft.txt comes
// back from its text, one with matches of iptables from what iptables-save printed of
// it, and from nothing else. Faults of "unshare", besides those of every program (exit
// 1 is what a container says that may make none):
//
//	lose TABLE   one rule of the table (its name) is not there after loading
func unshare(_ context.Context, c *Call) int {
	at := slices.Index(c.Args, "--")
	const script = "mark=$1 sets=$2 save=$3; shift 3\n"
	if at < 9 || strings.Join(c.Args[1:4], " ") != "-n sh -c" || !strings.HasPrefix(c.Args[4], script) {
		return c.Fail(2, "the lab knows no such script")
	}
	mark, save, load := c.Args[6], c.Args[8], strings.Join(c.Args[at+1:], " ")
	text, err := io.ReadAll(io.LimitReader(c.Stdin, 16<<20))
	if err != nil {
		return c.Fail(1, "%v", err)
	}
	fmt.Fprintln(c.Stdout, mark)
	below := *c
	below.Args = c.Args[at+1:]
	n := &namespace{all: c.state()}
	switch load {
	case "nft -f -":
		if code := below.refused(); code != 0 {
			return code
		}
		n.fromText(string(text))
	case "iptables-restore", "ip6tables-restore":
		n.fromSaved(map[string]string{"iptables-restore": "ip", "ip6tables-restore": "ip6"}[load], string(text))
	default:
		return below.Fail(1, "line 1: unknown command")
	}
	if n.said != "" {
		return below.Fail(1, "/dev/stdin:1:1-1: Error: %s", n.said)
	}
	deeds, err := c.Due("lose")
	if err != nil {
		return c.Fail(1, "%v", err)
	}
	for _, d := range deeds {
		n.lose(d.Args)
	}
	return n.list(c, mark, save)
}

// state is what the lab's host has, by table.
func (c *Call) state() hostState {
	read := func(name string) string {
		raw, err := os.ReadFile(filepath.Join(c.Root, "run/lab", name))
		if err != nil {
			return ""
		}
		return string(raw)
	}
	s := hostState{text: ruleset.Blocks(read("nft.txt")), json: map[ruleset.Table][]map[string]map[string]any{},
		saved: map[string]string{"ip": read("iptables-save"), "ip6": read("ip6tables-save")}}
	var all struct{ Nftables []map[string]map[string]any }
	if json.Unmarshal([]byte(read("nft.json")), &all) != nil {
		return s
	}
	for _, e := range all.Nftables {
		for kind, m := range e {
			name, _ := m["table"].(string)
			if kind == "table" {
				name, _ = m["name"].(string)
			}
			family, _ := m["family"].(string)
			t := ruleset.Table{Family: family, Name: name}
			s.json[t] = append(s.json[t], e)
		}
	}
	return s
}

type hostState struct {
	text  map[ruleset.Table]string
	json  map[ruleset.Table][]map[string]map[string]any
	saved map[string]string // by family
}

// namespace is what was loaded.
type namespace struct {
	all    hostState
	tables []ruleset.Table
	saved  string
	said   string
}

// fromText loads nft's text: a table that the lab's host does not print is unknown.
func (n *namespace) fromText(text string) {
	for t, block := range ruleset.Blocks(text) {
		if ruleset.Unowned(n.all.text[t]) != block {
			n.said = "syntax error, unexpected table " + t.String()
			return
		}
		n.tables = append(n.tables, t)
	}
}

// fromSaved loads what iptables-save printed.
func (n *namespace) fromSaved(family, text string) {
	for _, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "*"):
			n.tables = append(n.tables, ruleset.Table{Family: family, Name: line[1:]})
		case strings.HasPrefix(line, "-A") && !strings.Contains(n.all.saved[family], line):
			n.said = "unknown rule " + line
		}
	}
	n.saved = text
}

// lose takes the last rule of a table out.
func (n *namespace) lose(table string) {
	for t, entries := range n.all.json {
		for i := len(entries) - 1; i >= 0; i-- {
			if t.Name == table && entries[i]["rule"] != nil {
				n.all.json[t] = slices.Delete(slices.Clone(entries), i, i+1)
				break
			}
		}
	}
}

func (n *namespace) list(c *Call, mark, save string) int {
	list := slices.Clone(n.all.json[ruleset.Table{}]) // what nft says of itself
	for _, t := range n.tables {
		list = append(list, n.all.json[t]...)
	}
	raw, err := json.Marshal(map[string]any{"nftables": list})
	if err != nil {
		return c.Fail(1, "%v", err)
	}
	fmt.Fprintf(c.Stdout, "%s\n\n%s\n", raw, mark)
	for _, t := range n.tables {
		fmt.Fprint(c.Stdout, n.all.text[t])
	}
	fmt.Fprintf(c.Stdout, "\n%s\n", mark)
	if save != "" {
		fmt.Fprint(c.Stdout, n.saved)
	}
	return 0
}
