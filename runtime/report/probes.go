package report

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// ProbeStatus is a target whose files the site says cannot be changed, and what the newest
// trial to change one came to.
type ProbeStatus struct {
	Target string    `json:"target"`
	What   string    `json:"what"`            // "immutable" or "append-only"
	At     time.Time `json:"at,omitzero"`     // of the newest probe; zero: there was none
	Held   time.Time `json:"held,omitzero"`   // of the last one that held
	Could  []string  `json:"could,omitempty"` // what the newest could do
	Late   bool      `json:"late,omitempty"`  // it is longer ago than is believed
}

// probes judges what the site says of targets by the probes on record. Where no copy is,
// nothing is promised yet.
func (b *builder) probes(ctx context.Context) error {
	for _, t := range b.j.d.Targets {
		if t.Probed == "" {
			continue
		}
		p, found, err := b.c.Probe(ctx, t.Name)
		if err != nil {
			return err
		}
		st := ProbeStatus{Target: t.Name, What: t.Probed}
		if found && p.URL == t.URL {
			st.At, st.Held, st.Could = p.At, p.Held, p.Could
			st.Late = p.Holds() && !p.Proves(t.URL, b.j.now, ledger.ProbeMost)
		}
		b.out.Probes = append(b.out.Probes, st)
		copies, err := b.c.Copies(ctx, ledger.Query{Target: t.Name})
		if err != nil {
			return err
		}
		if len(copies) > 0 && (st.At.IsZero() || st.Late || len(st.Could) > 0) {
			b.need(ledger.Finding{Severity: ledger.DegradedRun, Target: t.Name, Text: t.Name + " is not proven to keep what is on it: " +
				st.words(b.j.now), Type: b.verb("doctor", "")})
		}
	}
	return nil
}

// words is "immutable: probed 3 Nov".
func (p ProbeStatus) words(now time.Time) string {
	switch {
	case p.At.IsZero():
		return p.What + ": never probed"
	case len(p.Could) > 0:
		text := fmt.Sprintf("%s: it was not so on %s, when runner's own login could %s a file", p.What, dayOf(p.At, now),
			strings.Join(p.Could, ", "))
		if !p.Held.IsZero() {
			text += "; it was on " + dayOf(p.Held, now)
		}
		return text
	case p.Late:
		return fmt.Sprintf("%s: probed %s, which is too long ago (demanded: every %s)", p.What, dayOf(p.At, now), span(ledger.ProbeEvery))
	}
	return p.What + ": probed " + dayOf(p.At, now)
}
