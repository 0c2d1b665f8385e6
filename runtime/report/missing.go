package report

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// recentRuns is how many runs are looked at for the one to retry.
const recentRuns = 64

// takeAway is how a medium gets offline.
func (b *builder) takeAway(target string) string {
	return b.verb("media eject", target) + ", and take it away"
}

// runs loads the newest runs and how they ended.
func (b *builder) runs(ctx context.Context) error {
	rows, err := last(ctx, b.c, ledger.RowRun, recentRuns)
	if err != nil {
		return err
	}
	b.out.Empty = len(rows) == 0
	b.ended = map[string]string{}
	for _, r := range slices.Backward(rows) {
		h, err := decode[ledger.Run](r)
		if err != nil {
			return err
		}
		b.recent = append(b.recent, *h)
		var end ledger.RunOutcome
		if _, err := ledger.One(ctx, b.c.Store, ledger.Query{Kind: ledger.RowRunEnd, ID: h.ID}, &end); err != nil {
			return err
		}
		b.ended[h.ID] = end.Result
	}
	if len(b.recent) > 0 {
		h := b.recent[0]
		b.out.Last = &LastRun{ID: h.ID, Policy: strings.TrimSuffix(filepath.Base(h.Path), ".star"), Began: h.Began, Result: b.ended[h.ID]}
	}
	return nil
}

// last returns the newest n rows of a kind, oldest first.
func last(ctx context.Context, c ledger.Catalog, kind string, n int) ([]ledger.Row, error) {
	var rows []ledger.Row
	err := c.Rows(ctx, ledger.Query{Kind: kind}, func(r ledger.Row) error {
		if rows = append(rows, r); len(rows) > 2*n {
			rows = append(rows[:0], rows[len(rows)-n:]...)
		}
		return ctx.Err()
	})
	return rows[max(0, len(rows)-n):], err
}

// verb is a command line of runner, against the site that the status is of.
func (b *builder) verb(verb, arg string) string {
	if b.live.Lab {
		verb += " --lab"
	}
	return strings.TrimSpace("runner " + verb + " " + arg)
}

// command is what to type to have an asset backed up.
func (b *builder) command(asset string) string {
	for _, h := range b.recent {
		protects := func(p ledger.Policy) bool {
			return slices.ContainsFunc(p.Protects, func(name string) bool { return name == asset || slices.Contains(b.j.d.Parts(name), asset) })
		}
		if !slices.ContainsFunc(h.Policies, protects) {
			continue
		}
		switch b.ended[h.ID] {
		case "":
			if b.live.Alive != nil && b.live.Alive(h.ID) {
				return "wait: run " + h.ID + " is under way"
			}
			return b.verb("resume", h.ID)
		case ledger.Failed, ledger.DegradedRun:
			return b.verb("retry", h.ID)
		}
		return b.verb("exec", h.Path)
	}
	return b.verb("exec", "POLICY.star") + ", with a policy that protects " + asset
}

// interrupted finds runs that died and wait to be resumed, where no item says so.
func (b *builder) interrupted() {
	for _, h := range b.recent {
		if b.ended[h.ID] != "" || b.live.Alive != nil && b.live.Alive(h.ID) {
			continue
		}
		f := ledger.Finding{Severity: ledger.DegradedRun, Text: fmt.Sprintf("run %s of %s was interrupted", h.ID, filepath.Base(h.Path)),
			Type: b.verb("resume", h.ID)}
		if !slices.ContainsFunc(b.out.Missing, func(n Need) bool { return n.Type == f.Type }) {
			b.need(f)
		}
	}
}

// missing lists what an item lacks. What a proof would mend is reported first, and
// alone: the sum is short for that very reason.
func (b *builder) missing(a ledger.AssetDemand, it *item, s ItemStatus, c counted, met map[string]bool) {
	for _, u := range c.unmet {
		f := &u.Finding
		if f.Type == "" {
			f.Type = b.command(a.Name)
		} else if t, ok := b.j.d.Target(f.Target); ok && t.Due > 0 {
			f.Type += ", then: " + b.command(a.Name)
		}
		if u.late != nil {
			b.lateSets = append(b.lateSets, u)
			continue
		}
		b.need(*f)
	}
	for _, f := range b.j.onSource(a, it) {
		b.need(f)
	}
	f := ledger.Finding{Severity: ledger.DegradedRun, Asset: a.Name, Item: it.name}
	add := func(text, hint string) {
		f.Text, f.Type = it.name+" "+text, hint
		b.need(f)
	}
	if s.Newest == nil || a.Copies > 0 && c.sum.Copies == 0 {
		f.Severity = ledger.Failed // no data is safe tonight
	}
	if len(c.unmet) == 0 {
		b.short(a, c, add)
		if old, every := time.Duration(s.Age)*time.Second, time.Duration(s.Every)*time.Second; every > 0 && old >= 2*every+every/slack {
			add(fmt.Sprintf("was last backed up %s ago, and is usually every %s (RPO N/A)", age(old), span(every)), b.command(a.Name))
		}
		if age := time.Duration(s.Age) * time.Second; a.RPO > 0 && (s.Newest == nil || age > a.RPO) {
			b.late(a, s, add)
		}
	}
	if rto := int64(a.RTO / time.Second); rto > 0 && s.Restore > rto {
		add(fmt.Sprintf("takes about %s to read back (estimate: at %s/s), RTO %s", took(time.Duration(s.Restore)*time.Second), size(s.Rate),
			span(a.RTO)),
			"a faster target, or in site.star: deviation(...)")
	}
	for _, g := range b.j.gaps(a, it, met) {
		b.need(g)
	}
}

func (b *builder) late(a ledger.AssetDemand, s ItemStatus, add func(text, hint string)) {
	if s.Newest == nil {
		add("has no copy that was read back", b.command(a.Name))
		return
	}
	add(fmt.Sprintf("was last backed up %s ago, RPO %s", age(time.Duration(s.Age)*time.Second), span(a.RPO)), b.command(a.Name))
}

// short says which part of 3-2-1-1 is not reached though every proof is there.
func (b *builder) short(a ledger.AssetDemand, c counted, add func(text, hint string)) {
	declare := func(what string) string {
		return fmt.Sprintf("in site.star: a target(...) %s, named in on of asset(name = %q)", what, a.Name)
	}
	if c.sum.Copies+c.onSource+c.waits < a.Copies { // the others were reported
		text := fmt.Sprintf("has %d of %d copies", c.sum.Copies, a.Copies)
		var shared []string
		for device, targets := range c.shared {
			if len(targets) > 1 {
				slices.Sort(targets)
				shared = append(shared, fmt.Sprintf("%s are one device (%s)", strings.Join(targets, " and "), device))
			}
		}
		sort.Strings(shared)
		for _, s := range shared {
			text += ": " + s
		}
		add(text, declare("on another device"))
	}
	if c.sum.Media+c.waits < a.Media {
		add(fmt.Sprintf("is on %d of %d media", c.sum.Media, a.Media), declare("on another medium"))
	}
	if c.sum.Offsite < a.Offsite {
		add(fmt.Sprintf("has %d of %d offsite copies", c.sum.Offsite, a.Offsite), declare("with offsite = True"))
	}
	if c.sum.Offline+c.waits < a.Offline {
		text := fmt.Sprintf("has %d of %d offline copies", c.sum.Offline, a.Offline)
		if len(c.attached) == 0 {
			add(text, declare("with offline = True"))
			return
		}
		slices.Sort(c.attached)
		for _, target := range c.attached {
			state := "it is not known whether " + target + " was taken away since it was written"
			if m, ok := b.j.media.last[target]; ok && m.State == "attached" {
				state = target + " is still attached"
			}
			add(text+": "+state, b.takeAway(target))
		}
	}
}
