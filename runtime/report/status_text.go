package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// Text writes the status for an operator: the verdict, each fault once with what to
// type, then a line for each asset; with More a table for each asset and everything
// that the site leaves out.
func (s *Status) Text(w io.Writer, o TextOptions) error {
	p := newPrinter(w, o, s.Lab)
	found := slices.DeleteFunc(s.findings(), func(f ledger.Finding) bool {
		return s.Empty && f.Asset != "" && f.Item == "" // it was never backed up: the verdict says so of everything
	})
	s.verdict(p, len(found) > 0)
	p.judged(found)
	for _, n := range s.Notes {
		p.wrap("note: ", n)
	}
	p.line("")
	if !o.More {
		s.brief(p)
		return p.flush()
	}
	for i, a := range s.Assets {
		if i > 0 {
			p.line("")
		}
		a.text(p, s.At)
	}
	for i, pr := range s.Probes {
		if i == 0 {
			p.line("")
			p.line("targets whose files cannot be changed")
		}
		p.wrap("  ", pr.Target+": "+pr.words(s.At))
	}
	for i, k := range s.Keys {
		if i == 0 {
			p.line("")
			p.line("recovery keys")
		}
		if k.At.IsZero() {
			p.line("  %s  never tried", clean(k.Target))
		} else {
			p.line("  %s  opened a copy %s ago (%s)", clean(k.Target), age(s.At.Sub(k.At)), clean(k.Recipient))
		}
	}
	if len(s.Rounds) > 0 {
		p.line("")
		p.line("read back again and again")
		s.rounds(p, s.Rounds)
	}
	s.exceptions(p)
	p.line("")
	p.line("status at %s", when(s.At, o.Zone))
	return p.flush()
}

// verdict is the first line: is everything protected, and how did the last run end?
func (s *Status) verdict(p *printer, faults bool) {
	all, bad := s.items()
	text, word := "", "NOT PROTECTED"
	switch {
	case s.Empty && faults:
		text = word + ": this ledger knows of no run."
	case s.Empty:
		text = word + ": nothing has run yet. Type: " + p.command(s.verb("exec policies/nightly.star"))
	case len(bad) > 0:
		text = fmt.Sprintf("%s: %d of %d items.", word, len(bad), all)
	case s.Result == ledger.Failed:
		text = fmt.Sprintf("%s: %s copied, but a fault concerns them all.", word, ofItems(all))
	case s.Result == ledger.DegradedRun:
		word = "DEGRADED"
		text = fmt.Sprintf("%s: %s protected, %s.", word, ofItems(all), promises(len(fold(s.findings()))))
	default:
		word = "PROTECTED"
		text = fmt.Sprintf("%s: %s.", word, ofItems(all))
	}
	if l := s.Last; l != nil {
		result := map[string]string{"": "not ended", ledger.Failed: "FAILED"}[l.Result]
		if result == "" {
			result = l.Result
		}
		text += fmt.Sprintf("  Last run: %s %s, %s", clean(l.Policy), when(l.Began, p.o.Zone), result)
	}
	p.verdict(text, word, s.Result)
}

func ofItems(n int) string {
	if n == 1 {
		return "1 item"
	}
	return fmt.Sprintf("%d items", n)
}

func promises(n int) string {
	if n == 1 {
		return "1 promise open"
	}
	return fmt.Sprintf("%d promises open", n)
}

// items counts what is to be protected, and names what is not.
func (s *Status) items() (all int, bad map[[2]string]bool) {
	bad = map[[2]string]bool{}
	for _, a := range s.Assets {
		for _, it := range a.Items {
			if !it.Gone {
				all++
			}
		}
	}
	for _, n := range s.Missing {
		if n.Severity == ledger.Failed && (n.Item != "" || n.Asset != "") {
			bad[[2]string{n.Asset, n.Item}] = true
			if n.Item == "" { // nothing of it was ever backed up
				all++
			}
		}
	}
	return all, bad
}

func (s *Status) findings() (out []ledger.Finding) {
	for _, n := range s.Missing {
		out = append(out, n.Finding)
	}
	return out
}

// brief is a line for each asset.
func (s *Status) brief(p *printer) {
	_, bad := s.items()
	var rows [][]string
	for _, a := range s.Assets {
		n, safe, oldest := 0, 0, int64(-1)
		for _, it := range a.Items {
			if it.Gone {
				continue
			}
			n++
			if !bad[[2]string{a.Name, it.Name}] {
				safe++
			}
			if it.Newest != nil {
				oldest = max(oldest, it.Age)
			}
		}
		row := []string{a.Name, fmt.Sprintf("%d/%d", safe, n), "", ""}
		switch {
		case a.Free && oldest < 0:
			row[1], row[2] = "-", "no copies demanded"
		case n == 0 && len(a.Parts) > 0:
			row[1], row[2] = "-", "all of it is in "+strings.Join(a.Parts, ", ")
		case n == 0 && len(a.Items) == 0:
			row[1], row[2] = "-", "never backed up"
		case oldest >= 0:
			row[2] = "newest copies at most " + age(time.Duration(oldest)*time.Second) + " old"
		default:
			row[2] = "no copy was read back"
		}
		if a.RPO > 0 {
			row[3] = "RPO " + span(time.Duration(a.RPO)*time.Second)
		}
		rows = append(rows, row)
	}
	p.table("", rows)
	p.line("")
	travels := slices.DeleteFunc(slices.Clone(s.Media), func(m MediumStatus) bool { return m.Set == "" })
	for _, m := range travels {
		p.wrap("", m.Target+": "+m.words(s.At))
	}
	limited := slices.DeleteFunc(slices.Clone(s.Rounds), func(r ledger.Round) bool { return r.Budget == 0 })
	s.rounds(p, limited)
	for _, pr := range s.Probes {
		p.wrap("", pr.Target+": "+pr.words(s.At))
	}
	if len(travels)+len(limited)+len(s.Probes) > 0 {
		p.line("")
	}
	p.line("more: %s", p.command(strings.TrimSpace(s.verb("status -v"))))
}

func (s *Status) verb(rest string) string {
	verb, arg, _ := strings.Cut(rest, " ")
	if s.Lab {
		verb += " --lab"
	}
	return "runner " + verb + " " + arg
}

func (a AssetStatus) text(p *printer, now time.Time) {
	title := a.Name
	if a.Title != "" && a.Title != a.Name {
		title += "  " + a.Title
	}
	p.line("%s", clean(title))
	p.wrap("  ", "SOP: "+a.row())
	if a.Note != "" {
		p.wrap("  note: ", a.Note)
	}
	var rows [][]string
	for _, it := range a.Items {
		rows = append(rows, it.cells(a))
	}
	p.table("  ", rows)
	rows = rows[:0]
	for _, it := range a.Items {
		for _, c := range it.Copies {
			rows = append(rows, []string{it.Name, c.Target, age(now.Sub(c.Taken)), c.Proof, size(c.Bytes), c.Device})
		}
	}
	if len(rows) > 0 {
		p.line("  newest copies")
		p.table("    ", rows)
	}
	for _, it := range a.Items {
		for _, e := range it.Erases {
			p.wrap("  ", e.text(it.Name, p.o.Zone))
		}
	}
}

// row is the line of the SOP's table. Full copies stand where it says full and
// incremental, until there are incremental ones.
func (a AssetStatus) row() string {
	na := func(seconds int64) string {
		if seconds == 0 {
			return "N/A"
		}
		return span(time.Duration(seconds) * time.Second)
	}
	online := a.Online
	if online == "" {
		online = "N/A"
	}
	if a.Keep > 0 && !slices.ContainsFunc(a.Items, func(it ItemStatus) bool { return it.Incr > 0 }) {
		online = fmt.Sprintf("%s, kept as %d full", online, a.Keep)
	}
	return fmt.Sprintf("RPO %s, RTO %s, retention %s, online copies %s", na(a.RPO), na(a.RTO), na(a.Retention), online)
}

// lastCopy says what there is of an item that is not saved any more.
func lastCopy(it ItemStatus) string {
	if it.Newest == nil {
		return "; no copy of it was ever read back"
	}
	return fmt.Sprintf("; its newest copy is %s old, on %s", age(time.Duration(it.Age)*time.Second), it.Newest.Target)
}

func (it ItemStatus) cells(a AssetStatus) []string {
	if it.Gone {
		return []string{fmt.Sprintf("%s (no longer in the inventory%s)", it.Name, lastCopy(it))}
	}
	ago, restore := "never backed up", ""
	if it.Newest != nil {
		ago = age(time.Duration(it.Age)*time.Second) + " old"
		if it.Every > 0 {
			ago += ", usually every " + span(time.Duration(it.Every)*time.Second)
		}
	} else if len(it.Copies) > 0 {
		ago = "not read back"
	}
	if it.Restore > 0 {
		restore = "~" + roughly(time.Duration(it.Restore)*time.Second)
	}
	kept := fmt.Sprintf("%d full", it.Kept)
	switch {
	case it.Incr > 0 && a.Keep > 0:
		kept = fmt.Sprintf("%d/%d: %d full + %d incr.", it.Kept, a.Keep, it.Kept-it.Incr, it.Incr)
	case it.Incr > 0:
		kept = fmt.Sprintf("%d full + %d incr.", it.Kept-it.Incr, it.Incr)
	case a.Keep > 0:
		kept = fmt.Sprintf("%d/%d full", it.Kept, a.Keep)
	}
	name := it.Name
	if it.Label != "" {
		name += " (now named " + it.Label + ")"
	}
	return []string{name, it.Sum.Of(a.Demanded), ago, restore, kept}
}

// exceptions lists what the site leaves out on purpose.
func (s *Status) exceptions(p *printer) {
	section := func(title string, rows [][]string) {
		if len(rows) > 0 {
			p.line("")
			p.line("%s", title)
			p.table("  ", rows)
		}
	}
	var media, out, gaps, dev [][]string
	for _, m := range s.Media {
		seen := "never seen"
		if !m.At.IsZero() {
			seen = "seen " + when(m.At, p.o.Zone)
		}
		media = append(media, []string{m.Target, m.words(s.At), seen})
	}
	for _, x := range s.Unprotected {
		out = append(out, []string{x.Item, "until " + date(x.Until), x.Reason})
	}
	for _, x := range s.Accepted {
		what := x.What
		if what == "" {
			what = "every gap"
		}
		gaps = append(gaps, []string{x.Item, what, "until " + date(x.Until), x.Reason})
	}
	for _, v := range s.Deviations {
		dev = append(dev, []string{v.SOP + ", " + v.Step, "instead: " + v.Instead, "approved by " + v.ApprovedBy, "review " + date(v.Review)})
	}
	section("offline media", media)
	section("left out on purpose", out)
	section("accepted gaps", gaps)
	section("deviations from the SOP", dev)
}
