package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/words"
)

// Text writes the record for an operator: the verdict, why the run is not ok and what to
// type, steps that failed, what there is of each item, who and when. With More also every
// step, digests, and what each artifact holds and lacks.
func (r *Run) Text(w io.Writer, o TextOptions) error {
	p := newPrinter(w, o, r.Header.Lab)
	r.verdict(p)
	r.why(p)
	r.head(p)
	r.steps(p)
	if len(r.Items) > 0 {
		p.line("")
		if o.More {
			p.line("artifacts, copies and proofs")
			for _, it := range r.Items {
				it.text(p, o.Zone)
			}
		} else {
			p.table("", r.rows())
			for _, it := range r.Items {
				for _, e := range it.Erases { // nobody must learn of it afterwards
					p.wrap("  ", e.text(it.Item, o.Zone))
				}
			}
		}
	}
	if len(r.Damaged) > 0 {
		p.line("")
		p.wrap("copies found damaged: ", strings.Join(r.Damaged, ", "))
	}
	if len(r.Removals) > 0 {
		p.line("")
		p.line("removed")
		for _, x := range r.Removals {
			p.wrap("  ", x.What)
		}
	}
	if !o.More {
		p.line("")
		p.line("more: %s", p.command(fmt.Sprintf("runner %s %s -v", r.verb("show"), clean(r.Header.ID))))
	}
	return p.flush()
}

// steps lists them, or of them those that failed; a run that is about no item has
// nothing else to show.
func (r *Run) steps(p *printer) {
	title, all := "steps", p.o.More || len(r.Items) == 0
	if !all {
		title = "steps that failed"
	}
	for _, s := range r.Steps {
		if s.Failure == nil && !all {
			continue
		}
		if title != "" {
			p.line("")
			p.line("%s", title)
			title = ""
		}
		s.text(p)
	}
}

func (r *Run) head(p *printer) {
	h := r.Header
	p.line("run %s  %s  %s", clean(h.ID), p.path(clean(h.Path), p.o.Width-len(p.mark)-len(h.ID)-len(r.Result)-8), p.paint(r.Result))
	line := func(name, text string) {
		if text != "" {
			p.wrap(fmt.Sprintf("  %-9s", name), text)
		}
	}
	began := when(h.Began, p.o.Zone)
	if r.Outcome != nil {
		began += ", ended " + when(r.Outcome.Ended, p.o.Zone) + ", running time " + took(time.Duration(r.Outcome.Nanos))
	}
	line("began", began)
	if r.Resumed > 0 {
		line("resumed", fmt.Sprintf("%d times", r.Resumed))
	}
	if h.RetryOf != "" {
		line("retry of", h.RetryOf)
	}
	by := h.Operator.User
	if by == "" {
		by = fmt.Sprintf("uid %d", h.Operator.UID)
	}
	if h.Operator.Sudo != "" {
		by += " (sudo by " + h.Operator.Sudo + ")"
	}
	if h.Operator.Unit != "" {
		by += ", unit " + h.Operator.Unit
	}
	line("by", by+" on "+h.Host+prefixed(", runner ", h.Version)+prefixed(", binary ", short(h.Binary)))
	if !p.o.More {
		return
	}
	for _, pol := range h.Policies {
		line("policy", strings.TrimSpace(pol.Label+prefixed(", ", pol.SOP)+prefixed(", ", pol.Section)+prefixed(", version ", pol.Version)))
	}
	line("code", short(h.Code))
	line("site", strings.TrimSpace(h.SitePath+" "+short(h.Site)))
	var args []string
	for k, v := range h.Args {
		args = append(args, k+"="+v)
	}
	slices.Sort(args)
	line("args", strings.Join(args, " "))
}

func prefixed(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

// short is a digest as people compare it.
func short(digest string) string {
	if len(digest) > 16 {
		return digest[:16] + "…"
	}
	return digest
}

func (s StepLine) text(p *printer) {
	notes := took(time.Duration(s.Nanos))
	if s.Attempts > 1 {
		notes += fmt.Sprintf(", %d attempts", s.Attempts)
	}
	if s.Reused != "" {
		notes = "still stands from run " + s.Reused
	}
	name := s.Primitive
	if name == "" {
		name = "(unknown)"
	}
	p.wrap(fmt.Sprintf("  %-10s %s%s", clean(s.ID), p.paint(s.Result), strings.Repeat(" ", max(1, 8-len(s.Result)))),
		name+"("+arguments(s.Args)+"), "+notes)
	if s.Failure != nil {
		at := s.Failure.Position
		if at == "" {
			at = s.Position
		}
		p.failure("             ", *s.Failure, at)
	}
}

func (p *printer) failure(indent string, f ledger.Failure, position string) {
	if head := strings.TrimSpace(clean(f.Code) + prefixed(" at ", position)); head != "" {
		p.wrap(indent, head)
	}
	for _, l := range strings.Split(strings.TrimSpace(f.Message), "\n") {
		p.wrap(indent, l)
	}
	if f.Hint != "" {
		p.wrap(indent+"hint: ", f.Hint)
	}
}

// arguments says recorded arguments as a policy writes them, cut where long.
func arguments(raw json.RawMessage) string {
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil {
		return ""
	}
	var out []string
	for k, v := range m {
		text, err := json.Marshal(v)
		if v == nil || err != nil {
			continue
		}
		s := string(text)
		if d, ok := v.(string); ok && words.Argument(d) != d {
			s = words.Argument(d)
		}
		if r := []rune(s); len(r) > 40 {
			s = string(r[:40]) + "…"
		}
		out = append(out, k+"="+s)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (it ItemLine) text(p *printer, zone *time.Location) {
	if it.Artifact == nil {
		p.line("  %s  no artifact in this run", clean(it.Item))
	} else {
		a := it.Artifact
		line := fmt.Sprintf("%s, %s, %s, of %s", a.Kind, a.ID, size(a.Bytes), when(a.Created, zone))
		line += prefixed(", ", a.Consistency)
		if it.Reused {
			line += ", made by run " + a.Run
		}
		p.wrap("  "+clean(it.Item)+"  ", line)
		declared(p, a)
		for _, e := range it.Erases {
			p.wrap("    ", e.text(it.Item, zone))
		}
	}
	var rows [][]string
	for _, c := range it.Copies {
		how := c.Proof
		if c.Nanos > 0 && !c.Gone {
			how += " in " + took(time.Duration(c.Nanos))
		}
		sealed := ""
		if c.Sealed {
			sealed = "sealed"
		}
		rows = append(rows, []string{c.Target, size(c.Bytes), how, sealed, c.Device})
	}
	p.table("    ", rows)
	for _, g := range it.Gaps {
		p.wrap("    gap: ", g.What+" is left out ("+g.Why+")")
	}
}

func (r *Run) why(p *printer) {
	if r.Outcome == nil {
		p.line("it has not ended: if it is not running any more, type: %s",
			p.command(fmt.Sprintf("runner %s %s", r.verb("resume"), clean(r.Header.ID))))
		return
	}
	if r.Result == ledger.OK {
		return
	}
	if f := r.Outcome.Failure; f != nil {
		p.failure("  ", *f, f.Position)
	}
	p.judged(r.Findings)
	if r.Next != "" {
		r.next(p)
	}
}

// next says what to do, and what to type.
func (r *Run) next(p *printer) {
	if r.Correct != "" {
		p.line("correct %s, then type: %s", r.Correct, p.command(r.Next))
		return
	}
	p.line("to do what is missing, type: %s", p.command(r.Next))
}

func (r *Run) verb(verb string) string {
	if r.Header.Lab {
		return verb + " --lab"
	}
	return verb
}
