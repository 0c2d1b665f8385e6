package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/words"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// smallest is how many bytes a transfer has that is worth a bar.
const smallest = 8 << 20

// progress is what is known of the items of a run so far.
type progress struct {
	expected map[string]bool            // asset/item
	made     map[string]made            // by artifact
	done     map[string]bool            // asset/item with a proven copy
	failed   int                        // steps
	short    map[string]map[string]bool // asset/item -> targets that it was not copied to
	said     map[string]bool            // lines that were printed: what many steps say is said once
	bar      *mpb.Bar
}

// made is an artifact, and how long it has taken since.
type made struct {
	key, item string
	bytes     int64
	began     time.Time
}

// count shows below all bars how many items are done.
func (s *screen) count() {
	began := time.Now()
	text := s.items.tally()
	s.tally.Store(&text)
	s.items.bar = s.bars.New(1, mpb.NopStyle(), mpb.BarPriority(-1), mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
		// Not under the lock: whoever prints a line holds it, and waits until this was drawn.
		return s.lab + *s.tally.Load() + "   " + words.Clock(time.Since(began))
	})))
}

// tally says how many items are done.
func (p *progress) tally() string {
	text := fmt.Sprintf("%d of %d items done", len(p.done), max(len(p.expected), len(p.done)))
	if n := p.failed + len(p.short); n > 0 {
		text += fmt.Sprintf(", %d FAILED", n)
	}
	return text
}

// lacking keeps in mind which targets an item was to be copied to and was not.
func (p *progress) lacking(f *ledger.Facts) {
	for _, c := range f.Copies {
		key := c.Asset + "/" + c.Item
		delete(p.short[key], c.Target)
		if len(p.short[key]) == 0 {
			delete(p.short, key)
		}
	}
	for _, x := range f.Findings {
		if x.Severity == ledger.Failed && x.Item != "" && x.Target != "" {
			targets := p.short[x.Asset+"/"+x.Item]
			put(&targets, x.Target, true)
			put(&p.short, x.Asset+"/"+x.Item, targets)
		}
	}
}

// call is a call with the names of the items in place of the ids of their artifacts.
func (p *progress) call(e runtime.Event) string {
	text := callText(e.Primitive, e.Args)
	for id, m := range p.made {
		text = strings.ReplaceAll(text, id, m.item)
	}
	return text
}

// told prints a line of a primitive, once if many steps say the same.
func (s *screen) reported(e runtime.Event) {
	text := e.Primitive + ": " + e.Text
	if e.Detail || s.items.said[text] {
		return
	}
	put(&s.items.said, text, true)
	s.line("%s         %s", clock(e.Time), text)
}

// brief says of an item that is proven, and of what fails.
func (s *screen) brief(e runtime.Event) {
	p := &s.items
	if e.Failure != nil && !e.Again {
		p.failed++
		s.line("%s %s  %s", clock(e.Time), s.paint("31", "FAILED"), p.call(e))
		s.line("     %s", e.Failure.Message)
		if e.Failure.Hint != "" {
			s.line("     hint: %s", e.Failure.Hint)
		}
	}
	if e.Facts == nil {
		return
	}
	if !e.Again {
		p.lacking(e.Facts)
	}
	for _, it := range e.Facts.Expected {
		put(&p.expected, it.Asset+"/"+it.Name, true)
	}
	for _, a := range e.Facts.Artifacts {
		put(&p.made, a.ID, made{a.Asset + "/" + a.Item, a.Item, a.Bytes, e.Time.Add(-e.Elapsed)})
		put(&p.expected, a.Asset+"/"+a.Item, true)
	}
	if e.Replayed {
		return
	}
	var order []string
	proven := map[string][]ledger.Proof{}
	for _, proof := range e.Facts.Proofs {
		if proven[proof.Artifact] == nil {
			order = append(order, proof.Artifact)
		}
		proven[proof.Artifact] = append(proven[proof.Artifact], proof)
	}
	for _, id := range order {
		m, known := p.made[id]
		if !known { // a copy of an earlier run
			first := proven[id][0]
			m = made{first.Asset + "/" + first.Item, first.Item, first.Bytes, e.Time.Add(-e.Elapsed)}
		}
		state, where := s.paint("32", "ok")+"    ", levels(proven[id]) // as wide as FAILED
		if not := slices.Sorted(maps.Keys(p.short[m.key])); len(not) > 0 {
			state, where = s.paint("31", "FAILED"), where+"; NOT on "+strings.Join(not, ", ")
		} else {
			put(&p.done, m.key, true)
		}
		s.line("%s %s  %-14s %9s in %-7s %s", clock(e.Time), state, m.item, words.Size(m.bytes), lasted(e.Time.Sub(m.began)), where)
	}
}

// lasted is how long an item took: what took minutes is reported in whole ones.
func lasted(d time.Duration) string {
	if d < time.Minute {
		return words.Took(d)
	}
	return words.Roughly(d)
}

func put[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}

// levels is "node opened; offline-a, offsite read".
func levels(proofs []ledger.Proof) string {
	by := map[int][]string{}
	for _, p := range proofs {
		by[p.Level] = append(by[p.Level], p.Target)
	}
	var parts []string
	for level := ledger.Opened; level >= ledger.Stored; level-- {
		if on := by[level]; len(on) > 0 {
			slices.Sort(on)
			parts = append(parts, strings.Join(on, ", ")+" "+ledger.LevelName(level))
		}
	}
	return strings.Join(parts, "; ")
}

// clock is the local time of an event.
func clock(t time.Time) string {
	if t.IsZero() {
		t = time.Now()
	}
	return t.Local().Format("15:04:05")
}
