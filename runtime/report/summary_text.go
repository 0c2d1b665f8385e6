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
	return p.flush()
}

func (r *Run) rows() [][]string {
	var targets []string
	for _, it := range r.Items {
		for _, c := range it.Copies {
			targets = append(targets, c.Target)
		}
	}
	slices.Sort(targets)
	targets = slices.Compact(targets)
	rows := [][]string{append(append([]string{"item", "size"}, targets...), "time")}
	for _, it := range r.Items {
		row := []string{it.Item, "-"}
		if it.Artifact != nil {
			row[1] = size(it.Artifact.Bytes)
		}
		for _, t := range targets {
			var cell []string
			for _, c := range it.Copies {
				if c.Target == t {
					cell = append(cell, c.Proof)
				}
			}
			if len(cell) == 0 {
				cell = []string{"-"}
			}
			row = append(row, strings.Join(cell, "; "))
		}
		rows = append(rows, append(row, took(time.Duration(it.Nanos))))
	}
	return rows
}
