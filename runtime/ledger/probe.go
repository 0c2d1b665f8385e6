package ledger

import (
	"context"
	"strings"
	"time"
)

// What a site says of a target whose files cannot be changed.
const (
	Immutable  = "immutable"   // nobody changes or removes them
	AppendOnly = "append-only" // who logs in as runner adds files, and changes or removes none
)

// How old the last probe that held may be: a copy asks for a new one, and status counts
// what the site says as not kept.
const (
	ProbeEvery = 30 * 24 * time.Hour
	ProbeMost  = 45 * 24 * time.Hour
)

// Probe is a trial to change files of a target, with the credential that runner writes
// with. Of a target the newest counts.
type Probe struct {
	Target string    `json:"target"`
	URL    string    `json:"url"`  // that the site gave it then
	What   string    `json:"what"` // Immutable or AppendOnly
	At     time.Time `json:"at"`
	Could  []string  `json:"could,omitempty"` // what was possible: "overwrite", "replace", "rename", "delete"; none: it holds
	Held   time.Time `json:"held,omitzero"`   // of the last probe of the same place that held: At, where this one did
}

// Holds reports that nothing could be changed.
func (p Probe) Holds() bool { return len(p.Could) == 0 && !p.At.IsZero() }

// Proves reports that the probe stands for a place of a URL, at a time, when it may be so
// old. One of the future proves nothing.
func (p Probe) Proves(url string, at time.Time, most time.Duration) bool {
	return p.Holds() && p.URL == url && !p.At.After(at.Add(time.Hour)) && at.Sub(p.At) <= most
}

// Tried words what could be done.
func (p Probe) Tried() string { return strings.Join(p.Could, ", ") }

// Probe returns the newest probe of a target.
func (c Catalog) Probe(ctx context.Context, target string) (Probe, bool, error) {
	var p Probe
	ok, err := One(ctx, c.Store, Query{Kind: RowProbe, ID: target}, &p)
	return p, ok, err
}

// After makes the record of a probe, behind the one before it.
func (p Probe) After(last Probe) Probe {
	if p.Held = p.At; !p.Holds() {
		p.Held = time.Time{}
		if last.URL == p.URL {
			p.Held = last.Held
		}
	}
	return p
}
