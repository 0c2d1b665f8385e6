package report

import (
	"cmp"
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

// verdict says of how many items the run left copies that were read back, all that were
// demanded of them; of what nothing is demanded it says that it was made. A run that is
// about none, and was ok, has no verdict.
func (r *Run) verdict(p *printer) {
	bad := map[[2]string]bool{} // asset and item
	for _, f := range r.Findings {
		if f.Severity == ledger.Failed && f.Item != "" {
			bad[[2]string{f.Asset, f.Item}] = true
		}
	}
	var not [][2]string
	n, free := 0, 0
	for _, it := range r.Items {
		key := [2]string{it.Asset, it.Item}
		if it.Free && len(it.Copies) == 0 && !bad[key] {
			free++
			continue
		}
		n++
		if !it.safe() || bad[key] {
			not = append(not, key)
		}
		delete(bad, key)
	}
	for key := range bad { // nothing was made of it
		n++
		not = append(not, key)
	}
	if r.Outcome == nil || n+free == 0 && r.Result != ledger.Failed {
		return
	}
	slices.SortFunc(not, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[1], b[1]), cmp.Compare(a[0], b[0])) })
	word := map[string]string{ledger.Failed: "FAILED", ledger.DegradedRun: "DEGRADED"}[r.Result]
	if word == "" {
		word = r.Result
	}
	text := clean(r.policy()) + " " + word + ": "
	switch {
	case n+free == 0:
		p.verdict(text+"a step failed, and no copy was made", word, r.Result)
		return
	case free == 0:
		text += fmt.Sprintf("%d of %d items safe", n-len(not), n)
	case n == 0:
		text += ofItems(free) + " made, no copy demanded"
	default:
		text += fmt.Sprintf("%d of %d items safe, %d more made, no copy demanded", n-len(not), n, free)
	}
	switch names := distinct(not); len(not) {
	case 0:
		if r.Result == ledger.Failed {
			text += ", but a step failed"
		}
	case 1:
		text += ", " + names[0] + " is not"
	default:
		text += ", these are not: " + p.few(names)
	}
	p.verdict(text+r.held(not), word, r.Result)
}

// held says where what is not safe is held all the same: what fell short of the demand may
// still be there to restore from.
func (r *Run) held(not [][2]string) string {
	places := map[string][]string{} // targets -> names
	var order []string
	names := distinct(not)
	for i, key := range not {
		on := strings.Join(r.heldOn(key), ", ")
		if places[on] == nil {
			order = append(order, on)
		}
		places[on] = append(places[on], names[i])
	}
	nowhere := len(places[""])
	switch {
	case nowhere == len(not):
		return ""
	case len(order) == 1 && len(not) == 1:
		return " (read back on " + order[0] + " alone)"
	case len(order) == 1:
		return " (all read back on " + order[0] + " alone)"
	case len(order) > 3:
		text := fmt.Sprintf(" (%d of these read back on fewer targets than demanded", len(not)-nowhere)
		if nowhere > 0 {
			return text + fmt.Sprintf(", %d on none)", nowhere)
		}
		return text + ")"
	}
	var parts []string
	for _, on := range order {
		who := strings.Join(places[on], ", ")
		if n := len(places[on]); n > 3 {
			who = fmt.Sprint(n)
		}
		where := " on " + on
		if on == "" {
			where = " nowhere"
		}
		parts = append(parts, who+where)
	}
	return " (read back: " + strings.Join(parts, "; ") + ")"
}

// heldOn are the targets that hold a copy of the item that was read back.
func (r *Run) heldOn(key [2]string) []string {
	var on []string
	for _, it := range r.Items {
		for _, c := range it.Copies {
			if it.Asset == key[0] && it.Item == key[1] && c.readBack() {
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

// rows says of each item how far its copies are proven: the targets that reached
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
