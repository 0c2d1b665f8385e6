package report

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// Erased is a guest that a recovery of a host erases, and the copy from which it
// comes back: the newest one on another disk that was read back.
type Erased struct {
	Guest  string    `json:"guest"`            // "100 (erp)"
	Target string    `json:"target,omitempty"` // empty: no such copy is recorded
	Taken  time.Time `json:"taken,omitzero"`
	Proof  string    `json:"proof,omitempty"`
	Given  string    `json:"given_up,omitempty"` // why the site says that nobody needs it back
}

// maxErased bounds how many guests are looked up.
const maxErased = 1000

// erased lists the guests that a recovery with an image erases, as things are at a
// time.
func erased(ctx context.Context, c ledger.Catalog, d ledger.Demands, at time.Time, a *ledger.Artifact) ([]Erased, error) {
	if a == nil {
		return nil, nil
	}
	own := a.Serials()
	var out []Erased
	for _, guest := range a.Erases() {
		if len(out) == maxErased {
			break
		}
		e := Erased{Guest: guest}
		for _, item := range e.names() {
			if x, given := d.Excused(item, at); given {
				e.Given = x.Reason
			}
			copies, err := c.WholeCopies(ctx, ledger.Query{Item: item})
			if err != nil {
				return nil, fmt.Errorf("find the copies of guest %s: %w", guest, err)
			}
			i := slices.IndexFunc(copies, func(p ledger.Proven) bool {
				return p.Kind != a.Kind && p.Level >= ledger.Read && !p.InPlace && (p.Device.Serial == "" || !slices.Contains(own, p.Device.Serial))
			})
			if i >= 0 && copies[i].Taken.After(e.Taken) {
				e.Target, e.Taken, e.Proof = copies[i].Target, copies[i].Taken, proofWords(copies[i])
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// names are the items that the guest may be recorded as: its name, its number.
func (e Erased) names() []string {
	id, name, named := strings.Cut(e.Guest, " (")
	if !named {
		return []string{id}
	}
	return []string{strings.TrimSuffix(name, ")"), id}
}

// text says what is erased, and from where it comes back.
func (e Erased) text(host string, zone *time.Location) string {
	switch {
	case e.Target == "" && e.Given != "":
		return fmt.Sprintf("a recovery of %s erases guest %s, which the site does not protect: %s", host, e.Guest, e.Given)
	case e.Target == "":
		return fmt.Sprintf("a recovery of %s erases guest %s, and no copy of it on another disk is proven", host, e.Guest)
	}
	return fmt.Sprintf("a recovery of %s erases guest %s; it comes back from %s, of %s (%s)", host, e.Guest, e.Target, when(e.Taken, zone),
		e.Proof)
}

// erased is what the newest image of an item erases; a guest that would be lost is
// missing something.
func (b *builder) erased(ctx context.Context, a ledger.AssetDemand, it *item, gone bool) ([]Erased, error) {
	if gone {
		return nil, nil
	}
	list, err := erased(ctx, b.c, b.j.d, b.j.now, it.newest)
	for _, e := range list {
		if e.Target == "" && e.Given == "" {
			b.need(ledger.Finding{Severity: ledger.DegradedRun, Asset: a.Name, Item: it.name, Text: e.text(it.name, nil),
				Type: fmt.Sprintf("in a policy: verify(copies = copy(artifact = snapshot_vm(guest = %q)), level = \"read\"), to a target that is "+
					"not on that disk", e.names()[0])})
		}
	}
	return list, err
}

// declared says what the source told of the content, where an operator needs it before a
// recovery.
func declared(p *printer, a *ledger.Artifact) {
	for _, l := range a.Shown() {
		p.wrap("    "+clean(l.Label)+": ", strings.Join(l.Words, ", "))
	}
	if changes := a.Declared[ledger.DeclaredChanges]; changes != "" {
		since, rest, _ := strings.Cut(changes, "\n")
		p.wrap("    changes ", since)
		for _, l := range strings.Split(rest, "\n") {
			if l != "" {
				p.wrap("      ", l)
			}
		}
	}
}
