package report

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// Summary writes what exec shows at the end: a row for each item with the size
// of its artifact, what is proven on each target, and the time that it took;
// then the result and its reasons.
func (r *Run) Summary(w io.Writer, o TextOptions) error {
	p := newPrinter(w, o, r.Header.Lab)
	if rows := r.rows(); len(rows) > 1 {
		p.table("", rows)
	}
	result := p.paint(r.Result)
	if r.Outcome != nil {
		result += " after " + took(time.Duration(r.Outcome.Nanos))
	}
	p.line("run %s: %s", clean(r.Header.ID), result)
	if r.Outcome == nil || r.Result == ledger.OK {
		return p.flush()
	}
	if f := r.Outcome.Failure; f != nil {
		p.failure("  ", *f, f.Position)
	}
	p.findings(r.Findings)
	if r.Next != "" {
		p.line("to do what is missing, type: %s", r.Next)
	}
	return p.flush()
}

// rows tells of each item how far its copies are proven: the targets that reached
// the same level stand together.
func (r *Run) rows() [][]string {
	rows := [][]string{{"asset", "item", "size", "time", "copies"}}
	last := ""
	for _, it := range r.Items {
		row := []string{it.Asset, it.Item, "-", took(time.Duration(it.Nanos)), copiesText(it.Copies)}
		if it.Asset == last {
			row[0] = ""
		}
		last = it.Asset
		if it.Artifact != nil {
			row[2] = size(it.Artifact.Bytes)
		}
		rows = append(rows, row)
	}
	return rows
}

// copiesText is "opened on node; read, opened before sealing on offline-a, offsite".
func copiesText(copies []CopyLine) string {
	on := map[string][]string{}
	var levels []string
	for _, c := range copies {
		if !slices.Contains(levels, c.Proof) {
			levels = append(levels, c.Proof)
		}
		if !slices.Contains(on[c.Proof], c.Target) {
			on[c.Proof] = append(on[c.Proof], c.Target)
		}
	}
	var out []string
	for _, l := range levels {
		slices.Sort(on[l])
		out = append(out, l+" on "+strings.Join(on[l], ", "))
	}
	slices.Sort(out)
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, "; ")
}
