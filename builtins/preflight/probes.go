package preflight

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/ledger"
)

// Probe tries to change a file on each target of which the site says that nobody can, with
// the login that runner writes with. The probes that came to an end are for the record.
func Probe(ctx context.Context, w *systems.Systems, catalog ledger.Catalog, now time.Time) (trials []Trial, made []ledger.Probe) {
	for _, t := range w.Site.Targets {
		if t.Probed == "" {
			continue
		}
		system := "target " + t.Name
		p, err := probe(ctx, w, catalog, t.TargetFacts, now)
		if err != nil {
			f := FaultOf(system, err)
			f.Note, f.Untried = true, true
			trials = append(trials, NewTrial(system, t.Probed, f))
			continue
		}
		made = append(made, p)
		var faults []Fault
		if !p.Holds() {
			faults = append(faults, Fault{System: system, Text: fmt.Sprintf("it is declared %s, but runner's own login could change a file: %s",
				t.Probed, p.Tried()), Hint: hintOf(t.URL)})
		}
		trials = append(trials, NewTrial(system, t.Probed+": overwriting, replacing, renaming and deleting are refused", faults...))
	}
	return trials, made
}

func probe(ctx context.Context, w *systems.Systems, catalog ledger.Catalog, t ledger.TargetFacts, now time.Time) (p ledger.Probe, err error) {
	last, _, err := catalog.Probe(ctx, t.Name)
	if err != nil {
		return p, err
	}
	open, err := w.Target(ctx, t.Name)
	if err != nil {
		return p, err
	}
	defer open.Close()
	could, err := target.ProbeImmutable(ctx, open, "-doctor")
	return ledger.Probe{Target: t.Name, URL: t.URL, What: t.Probed, At: now.UTC(), Could: could}.After(last), err
}

// hintOf is how a place is made so, by its kind.
func hintOf(url string) string {
	scheme, _, _ := strings.Cut(url, ":")
	switch scheme {
	case "sftp":
		return "the account's key may add files and nothing else: runner builtins target shows the line of authorized_keys; or remove " +
			"append_only from site.star"
	case "file":
		return "whoever is root here can change what lies on a disk of this machine: remove immutable from site.star, and let a place that " +
			"others run be the one that is kept (append_only over SFTP)"
	}
	return "a login without the right to delete, at a store that refuses to overwrite; object lock alone keeps older versions, which only the " +
		"store's own tools bring back; or remove immutable from site.star"
}

// Record notes probes in the ledger.
func Record(ctx context.Context, l *ledger.Ledger, made []ledger.Probe) error {
	for _, p := range made {
		e, err := ledger.NewEntry(ledger.Imported, p.At, "", "", ledger.Import{Target: p.Target, Facts: ledger.Facts{Probes: []ledger.Probe{p}}})
		if err == nil {
			_, err = l.Record(ctx, e)
		}
		if err != nil {
			return fmt.Errorf("record the probe of %s: %w", p.Target, err)
		}
	}
	return nil
}
