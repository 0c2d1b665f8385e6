package report

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// MediumStatus is an offline target as it was last seen.
type MediumStatus struct {
	Target  string          `json:"target"`
	Set     string          `json:"set,omitempty"` // that it travels in
	State   string          `json:"state"`         // "attached", "detached" or "unknown"
	At      time.Time       `json:"seen,omitzero"` // of that observation
	Since   time.Time       `json:"since,omitzero"`
	Keeper  string          `json:"keeper,omitempty"`
	Custody *ledger.Custody `json:"custody,omitempty"` // what somebody did with it last
	Written time.Time       `json:"written,omitzero"`  // when the newest copy on it was taken
	Due     time.Time       `json:"due,omitzero"`      // when it is to be written again
	Late    bool            `json:"late,omitempty"`
}

// media merges what is seen now with what was recorded.
func (b *builder) media(ctx context.Context) error {
	var err error
	if b.j.media, err = mediaSeen(ctx, b.c, b.j.d); err != nil {
		return err
	}
	for target, state := range b.live.Media {
		if state == "" {
			continue
		}
		m, err := b.c.Observe(ctx, target, state, ledger.Device{}, b.j.now)
		if err != nil {
			return err
		}
		b.j.media.last[target] = m
	}
	for _, t := range b.j.d.Targets {
		if t.Offline {
			b.medium(t)
		}
	}
	return nil
}

// medium says where a medium is, and when it is due.
func (b *builder) medium(t ledger.TargetFacts) {
	set, _ := b.j.d.Set(t.Name)
	m := MediumStatus{Target: t.Name, Set: set.Name, Keeper: set.Keeper, State: "unknown", Written: b.j.media.visited[t.Name]}
	if s, ok := b.j.media.last[t.Name]; ok {
		m.State, m.At, m.Since = s.State, s.At, cmp.Or(s.Since, s.At)
	}
	if h, ok := b.j.media.custody[t.Name]; ok {
		m.Custody = &h
	}
	if !m.Written.IsZero() {
		m.Due = m.Written.Add(t.Due)
		m.Late = b.j.now.After(m.Due)
	}
	b.out.Media = append(b.out.Media, m)
	turns := time.Duration(len(set.Names)) * set.Every
	if m.State == "detached" && m.Late && b.j.now.After(m.Written.Add(turns+set.Grace)) {
		b.need(ledger.Finding{Severity: ledger.DegradedRun, Target: t.Name,
			Text: fmt.Sprintf("%s was to be back by %s: %s", t.Name, dayOf(m.Due, b.j.now), m.words(b.j.now)),
			Type: "ask for it; if it is lost, in site.star: another medium in names of media(set = \"" + set.Name + "\"), and erase what is found"})
	}
}

// words say where the medium is, and when it is due: "away since 3 Nov with its keeper,
// due 10 Nov".
func (m MediumStatus) words(now time.Time) string {
	text := m.State
	if m.State == "detached" {
		text = "away since " + dayOf(m.Since, now) + m.with()
	}
	switch {
	case m.Due.IsZero():
	case m.Late:
		text += ", was due " + dayOf(m.Due, now)
	default:
		text += ", due " + dayOf(m.Due, now)
	}
	return text
}

// with is who has a medium that is away, as far as somebody said it.
func (m MediumStatus) with() string {
	h := m.Custody
	if h == nil {
		return ""
	}
	switch h.Act {
	case ledger.CheckedOut:
		who := " with " + h.To
		if h.To == m.Keeper {
			who = " with its keeper"
		}
		if h.Place != "" {
			who += ", " + h.Place
		}
		return who
	case ledger.CheckedIn:
		return ", checked in " + dayOf(h.At, m.At)
	case ledger.Ejected:
		return ", not checked out"
	}
	return ""
}

// dayOf is a date as people say it; the year stands where it is another one.
func dayOf(t, now time.Time) string {
	if t.UTC().Year() != now.UTC().Year() {
		return t.UTC().Format("2 Jan 2006")
	}
	return t.UTC().Format("2 Jan")
}
