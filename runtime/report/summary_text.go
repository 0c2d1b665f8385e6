package report

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// Summary writes what exec shows at the end: the verdict, each fault once with what to
// type, and how the run ended. With More there is a row for each item, too: the size of
// its artifact, what is proven on each target, and the time that it took.
func (r *Run) Summary(w io.Writer, o TextOptions) error {
	p := newPrinter(w, o, r.Header.Lab)
	if r.Outcome != nil {
		r.verdict(p)
		if f := r.Outcome.Failure; f != nil && r.Result != ledger.OK {
			p.failure("  ", *f, f.Position)
		}
		p.judged(r.Findings)
		if r.Next != "" && r.Result != ledger.OK {
			r.next(p)
		}
	}
	if rows := r.rows(); len(rows) > 1 && o.More {
		p.table("", rows)
	}
	result := p.paint(r.Result)
	if r.Outcome != nil {
		result += " after " + took(time.Duration(r.Outcome.Nanos))
	}
	p.line("run %s: %s", clean(r.Header.ID), result)
	return p.flush()
}

// verdict says of how many items the run left copies that were read back; a run that is
// about none has no verdict.
func (r *Run) verdict(p *printer) {
	bad := map[string]bool{}
	for _, f := range r.Findings {
		if f.Severity == ledger.Failed && f.Item != "" {
			bad[f.Item] = true
		}
	}
	var not []string
	n := 0
	for _, it := range r.Items {
		n++
		if !it.safe() || bad[it.Item] {
			not = append(not, it.Item)
		}
		delete(bad, it.Item)
	}
	for item := range bad { // nothing was made of it
		n++
		not = append(not, item)
	}
	if n == 0 || r.Outcome == nil {
		return
	}
	slices.Sort(not)
	not = slices.Compact(not)
	word := map[string]string{ledger.Failed: "FAILED", ledger.DegradedRun: "DEGRADED"}[r.Result]
	if word == "" {
		word = r.Result
	}
	text := fmt.Sprintf("%s %s: %d of %d items safe", clean(r.policy()), word, n-len(not), n)
	switch len(not) {
	case 0:
	case 1:
		text += ", " + not[0] + " is not"
		if on := r.heldOn(not[0]); len(on) > 0 {
			text += " (read back on " + strings.Join(on, ", ") + " alone)"
		}
	default:
		text += ", these are not: " + p.few(not)
	}
	p.verdict(text, word, r.Result)
}

// heldOn are the targets that hold a copy of the item that was read back: what fell
// short of the demand may still be there to restore from.
func (r *Run) heldOn(item string) []string {
	var on []string
	for _, it := range r.Items {
		for _, c := range it.Copies {
			if it.Item == item && c.readBack() {
				on = append(on, c.Target)
			}
		}
	}
	slices.Sort(on)
	return slices.Compact(on)
}

// policy is the name of the policy's file.
func (r *Run) policy() string {
	return strings.TrimSuffix(path.Base(strings.ReplaceAll(r.Header.Policy, ":", "/")), ".star")
}

// safe reports that a copy of the item was read back.
func (it ItemLine) safe() bool {
	return slices.ContainsFunc(it.Copies, CopyLine.readBack)
}

func (c CopyLine) readBack() bool {
	level, known := ledger.ParseLevel(c.Level)
	return known && level >= ledger.Read && !c.Gone
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
