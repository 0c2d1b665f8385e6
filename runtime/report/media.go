package report

import (
	"cmp"
	"context"
	"fmt"
	"io"
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

// MediaList is every offline target, with what was done with it.
type MediaList struct {
	At      time.Time        `json:"at"`
	Lab     bool             `json:"lab,omitempty"`
	Media   []MediumStatus   `json:"media"`
	Custody []ledger.Custody `json:"custody,omitempty"` // oldest first
}

// Media says where the media are, as of now. Live is what is seen of them: "attached",
// "detached", or "" when it cannot be known.
func Media(ctx context.Context, c ledger.Catalog, d ledger.Demands, now time.Time, live map[string]string) (*MediaList, error) {
	seen, err := seenNow(ctx, c, d, now, live)
	if err != nil {
		return nil, err
	}
	l := &MediaList{At: now.UTC(), Media: []MediumStatus{}}
	for _, t := range d.Targets {
		if t.Offline {
			l.Media = append(l.Media, medium(seen, d, t, now))
		}
	}
	l.Custody, err = c.Custody(ctx, "")
	return l, err
}

// seenNow merges what is seen now with what was recorded.
func seenNow(ctx context.Context, c ledger.Catalog, d ledger.Demands, now time.Time, live map[string]string) (seenMedia, error) {
	seen, err := mediaSeen(ctx, c, d)
	if err != nil {
		return seen, err
	}
	for target, state := range live {
		if state == "" {
			continue
		}
		if seen.last[target], err = c.Observe(ctx, target, state, ledger.Device{}, now); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

// media says of each medium where it is, and reports those that did not come back.
func (b *builder) media(ctx context.Context) (err error) {
	if b.j.media, err = seenNow(ctx, b.c, b.j.d, b.j.now, b.live.Media); err != nil {
		return err
	}
	for _, t := range b.j.d.Targets {
		if !t.Offline {
			continue
		}
		m := medium(b.j.media, b.j.d, t, b.j.now)
		b.out.Media = append(b.out.Media, m)
		set, _ := b.j.d.Set(t.Name)
		turns := time.Duration(len(set.Names)) * set.Every
		if m.State == "detached" && m.Late && len(set.Names) > 1 && b.j.now.After(m.Written.Add(turns+set.Grace)) {
			b.need(ledger.Finding{Severity: ledger.DegradedRun, Target: t.Name,
				Text: fmt.Sprintf("%s was to be back by %s: %s", t.Name, dayOf(m.Due, b.j.now), m.words(b.j.now)),
				Type: "ask for it; if it is lost, in site.star: another medium in names of media(set = \"" + set.Name + "\"), and erase what is found"})
		}
	}
	return nil
}

// medium says where a medium is, and when it is due.
func medium(seen seenMedia, d ledger.Demands, t ledger.TargetFacts, now time.Time) MediumStatus {
	set, _ := d.Set(t.Name)
	m := MediumStatus{Target: t.Name, Set: set.Name, Keeper: set.Keeper, State: "unknown", Written: seen.visited[t.Name]}
	if s, ok := seen.last[t.Name]; ok {
		m.State, m.At, m.Since = s.State, s.At, cmp.Or(s.Since, s.At)
	}
	if h, ok := seen.custody[t.Name]; ok {
		m.Custody = &h
	}
	if !m.Written.IsZero() {
		m.Due = m.Written.Add(t.Due)
		m.Late = now.After(m.Due)
	}
	return m
}

// JSON writes the list for programs.
func (l *MediaList) JSON(w io.Writer) error { return writeJSON(w, l) }

// Text writes a line for each medium; with More, what was done with each.
func (l *MediaList) Text(w io.Writer, o TextOptions) error {
	p := newPrinter(w, o, l.Lab)
	if len(l.Media) == 0 {
		p.line("the site has no media that travel")
	}
	for _, m := range l.Media {
		p.wrap("", m.Target+": "+m.words(l.At))
	}
	if len(l.Custody) > 0 && o.More {
		rows := [][]string{{"when", "medium", "what", "whom", "where", "by"}}
		for _, h := range l.Custody {
			rows = append(rows, []string{when(h.At, o.Zone), h.Target, h.Act, h.To, h.Place, cmp.Or(h.By.Sudo, h.By.User)})
		}
		p.line("")
		p.table("", rows)
	}
	return p.flush()
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
