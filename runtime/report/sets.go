package report

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// travels is what a demand on media that are taken away is judged by: those of a set, of
// which one is enough, or one that stands alone.
type travels struct {
	name       string // of the set, else of the medium
	targets    []string
	due, grace time.Duration
	set        bool
}

// unkept is a promise that is not kept.
type unkept struct {
	ledger.Finding
	late *lateness // it is the set that is late: said once for all items
}

// lateness is how late a set is for one item.
type lateness struct {
	set     string
	overdue bool          // else it never had a copy
	old     time.Duration // of the newest good copy
	words   string        // how often it is due
	grace   string        // said when it is over
}

// seenMedia is what is known of media, by target: how they were seen last, when the
// newest copy on each was taken, and who has them.
type seenMedia struct {
	last    map[string]ledger.Medium
	visited map[string]time.Time
	custody map[string]ledger.Custody
}

func mediaSeen(ctx context.Context, c ledger.Catalog, d ledger.Demands) (s seenMedia, err error) {
	s = seenMedia{map[string]ledger.Medium{}, map[string]time.Time{}, map[string]ledger.Custody{}}
	recorded, err := ledger.All[ledger.Medium](ctx, c.Store, ledger.Query{Kind: ledger.RowMedium})
	if err != nil {
		return s, err
	}
	for _, m := range recorded {
		s.last[m.Target] = m
	}
	for _, t := range d.Targets {
		if !t.Offline {
			continue
		}
		if err := c.Rows(ctx, ledger.Query{Kind: ledger.RowCopy, Target: t.Name}, func(r ledger.Row) error {
			if r.Time.After(s.visited[t.Name]) {
				s.visited[t.Name] = r.Time
			}
			return ctx.Err()
		}); err != nil {
			return s, err
		}
	}
	all, err := c.Custody(ctx, "")
	for _, h := range all {
		if !h.At.Before(s.custody[h.Target].At) {
			s.custody[h.Target] = h
		}
	}
	return s, err
}

// away reports whether a medium was seen to be gone, and since when.
func (s seenMedia) away(target string) (time.Time, bool) {
	m, ok := s.last[target]
	if since := m.Since; ok && m.State == "detached" {
		return cmp.Or(since, m.At), true
	}
	return time.Time{}, false
}

// visitedBefore is when the set was written last, where all its media have been away
// since before the item was: the next one that comes takes it. Zero: one could have.
func (s seenMedia) visitedBefore(w travels, first time.Time) (last time.Time) {
	for _, target := range w.targets {
		since, away := s.away(target)
		if !s.visited[target].IsZero() && (!away || !since.Before(first)) {
			return time.Time{}
		}
		if s.visited[target].After(last) {
			last = s.visited[target]
		}
	}
	return last
}

// promise judges one promise of an asset; nil means that it is kept.
func (j judge) promise(a ledger.AssetDemand, one []ledger.CopyDemand, it *item) *unkept {
	if one[0].Set == "" {
		if f := j.demand(a, one[0], it); f != nil {
			return &unkept{Finding: *f}
		}
		return nil
	}
	w := travels{name: one[0].Set, set: true}
	for _, d := range one {
		w.targets = append(w.targets, d.Target)
	}
	set, _ := j.d.Set(one[0].Target)
	w.due, w.grace = set.Every, set.Grace
	f := &ledger.Finding{Severity: ledger.Failed, Asset: a.Name, Item: it.name, Target: w.name}
	var believed []ledger.Proven
	for _, c := range it.copies {
		if slices.Contains(w.targets, c.Target) && !c.Taken.After(j.now.Add(ahead)) {
			believed = append(believed, c)
		}
	}
	return j.fetched(f, w, one[0], it, believed)
}

// bring says which media to attach: those that are not there.
func (j judge) bring(w travels) string {
	var absent []string
	for _, t := range w.targets {
		if !j.attached(t) {
			absent = append(absent, t)
		}
	}
	if len(absent) == 0 || len(absent) < len(w.targets) {
		return "" // one is there: the next run writes it
	}
	return "attach " + strings.Join(absent, " or ")
}

// fetched judges media that are fetched and written from time to time. Where none was
// ever written, there is as long, from the first backup on, as for one that was.
func (j judge) fetched(f *ledger.Finding, w travels, on ledger.CopyDemand, it *item, copies []ledger.Proven) *unkept {
	var good *ledger.Proven
	for i := range copies {
		if copies[i].Level >= on.Level {
			good = &copies[i]
			break
		}
	}
	f.Type = j.bring(w)
	since := it.first
	late := &lateness{set: w.name, words: span(w.due)}
	switch {
	case good != nil:
		since = good.Taken
		if late.old = j.now.Sub(since); late.old <= w.due {
			return nil
		}
		late.overdue = true
		f.Text = fmt.Sprintf("%s is overdue: %s on it is %s old, due every %s", w.name, it.name, age(late.old), span(w.due))
	case len(copies) > 0:
		on.Target = copies[0].Target
		f.Text, f.Target = lowText(it, on, copies[0]), copies[0].Target
		if !j.attached(f.Target) {
			f.Type = "attach " + f.Target
		}
		return &unkept{Finding: *f}
	default:
		f.Text = fmt.Sprintf("%s has no copy on %s, and never had one", it.name, w.name)
		if it.newest == nil {
			f.Type = "" // nothing was made that the medium could hold
		}
		if since.IsZero() {
			since = j.now
		}
		if last := j.media.visitedBefore(w, since); w.set && !last.IsZero() {
			if since = last; j.now.Sub(since) <= w.due {
				return nil
			}
		}
	}
	if j.now.Sub(since) <= w.due+w.grace {
		f.Severity = ledger.DegradedRun
	} else {
		late.grace = fmt.Sprintf(", and its grace of %s is over", spanOrNone(w.grace))
		f.Text += late.grace
	}
	if !w.set || it.newest == nil {
		late = nil
	}
	return &unkept{*f, late}
}

// onceForSets joins what is late for one reason: a set is due once, not for every item.
// What fails and what degrades stay apart.
func onceForSets(found []unkept) (out []ledger.Finding) {
	same := map[string][]unkept{}
	for _, u := range found {
		if u.late == nil {
			out = append(out, u.Finding)
			continue
		}
		key := fmt.Sprint(u.late.set, "\x00", u.late.overdue, u.Severity)
		same[key] = append(same[key], u)
	}
	for _, key := range slices.Sorted(maps.Keys(same)) {
		list := same[key]
		f, late := list[0].Finding, *list[0].late
		names := map[[2]string]bool{}
		for _, u := range list {
			names[[2]string{u.Asset, u.Item}] = true
			late.old = max(late.old, u.late.old)
		}
		if n := len(names); n > 1 {
			f.Asset, f.Item = "", ""
			f.Text = fmt.Sprintf("%d items have no copy on %s, and never had one", n, late.set)
			if late.overdue {
				f.Text = fmt.Sprintf("%s is overdue: %d items on it are up to %s old, due every %s", late.set, n, age(late.old), late.words)
			}
			f.Text += late.grace
		}
		out = append(out, f)
	}
	return out
}
