package report

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// keyAge is how long the proof of a recovery key counts: people leave, sheets fade,
// safes are moved.
const keyAge = 180 * day

// KeyStatus says when a recovery key last opened a copy on a target.
type KeyStatus struct {
	Target    string    `json:"target"`
	Recipient string    `json:"recipient,omitempty"` // fingerprint; "": none ever did
	At        time.Time `json:"at,omitzero"`
}

// noteSealed remembers the newest sealed copy of each target.
func (b *builder) noteSealed(c ledger.Copy) {
	if len(c.SealedTo) == 0 {
		return
	}
	if b.sealed == nil {
		b.sealed = map[string]ledger.Copy{}
	}
	if have, ok := b.sealed[c.Target]; !ok || c.Created.After(have.Created) {
		b.sealed[c.Target] = c
	}
}

// keys judges whether somebody has lately opened something on each target whose
// copies this host cannot open. A proof counts for the recipients of the newest copy.
func (b *builder) keys(ctx context.Context) error {
	proofs, err := ledger.All[ledger.KeyProof](ctx, b.c.Store, ledger.Query{Kind: ledger.RowKey})
	if err != nil {
		return err
	}
	var never []string
	for _, target := range slices.Sorted(maps.Keys(b.sealed)) {
		st := KeyStatus{Target: target}
		for _, p := range proofs {
			if p.Target == target && slices.Contains(b.sealed[target].SealedTo, p.Recipient) && p.At.After(st.At) &&
				!p.At.After(b.j.now.Add(ahead)) {
				st.Recipient, st.At = p.Recipient, p.At
			}
		}
		b.out.Keys = append(b.out.Keys, st)
		switch {
		case st.At.IsZero():
			never = append(never, target)
		case b.j.now.Sub(st.At) > keyAge:
			b.need(ledger.Finding{Severity: ledger.DegradedRun, Target: target, Type: b.verb("recovery-key test", "--target "+target),
				Text: fmt.Sprintf("the recovery key was last tried on %s %s ago, demanded: every %s", target, age(b.j.now.Sub(st.At)), span(keyAge))})
		}
	}
	if len(never) == 0 {
		return nil
	}
	f := ledger.Finding{Severity: ledger.Failed, Type: b.verb("recovery-key test", ""),
		Text: fmt.Sprintf("no recovery key was ever tried on %s: nobody knows whether their sealed copies can be opened",
			strings.Join(never, ", "))}
	if len(never) == 1 {
		f.Target, f.Text = never[0], fmt.Sprintf("no recovery key was ever tried on %s: nobody knows whether its sealed copies can be opened",
			never[0])
		f.Type = b.verb("recovery-key test", "--target "+never[0])
	}
	b.need(f)
	return nil
}

// noteSet remembers who can open an artifact, where it says so.
func (it *item) noteSet(r ledger.Row) {
	if !bytes.Contains(r.Body, []byte(`"set":`)) {
		return
	}
	var a struct{ Declared struct{ Set string } }
	if json.Unmarshal(r.Body, &a) != nil || a.Declared.Set == "" {
		return
	}
	if it.sets == nil {
		it.sets = map[string]string{}
	}
	it.sets[r.ID] = a.Declared.Set
}

// superseded is what is said of a copy of secrets that were sealed to others since.
const superseded = ", superseded: keys were replaced since"

// newestSet is who can open the newest artifact of the same item; "": nobody says.
func newestSet(ctx context.Context, c ledger.Catalog, a *ledger.Artifact) (string, error) {
	if a == nil || a.Declared[ledger.DeclaredSet] == "" {
		return "", nil
	}
	all, err := c.Artifacts(ctx, ledger.Query{Item: a.Item})
	if err != nil {
		return "", err
	}
	var newest *ledger.Artifact
	for i := range all {
		if all[i].Kind == a.Kind && all[i].Asset == a.Asset && (newest == nil || !all[i].Created.Before(newest.Created)) {
			newest = &all[i]
		}
	}
	if newest == nil {
		return "", nil
	}
	return newest.Declared[ledger.DeclaredSet], nil
}

// superseded reports that the newest artifact is for other keys.
func (it *item) superseded(artifact string) bool {
	set := it.sets[artifact]
	return set != "" && it.newest != nil && it.sets[it.newest.ID] != "" && it.sets[it.newest.ID] != set
}
