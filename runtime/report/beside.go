package report

import (
	"context"
	"fmt"

	"github.com/neosofia/runner/runtime/ledger"
)

// beside judges what a run backed up though nothing says that it is to: its policy does
// not protect the asset, or no inventory lists the item. What is missing then degrades,
// and fails nothing. What a retry took over counts as backed up by it: the promise is
// the same. Done holds what was judged.
func (j judge) beside(ctx context.Context, c ledger.Catalog, done map[[2]string]bool, gaps map[string]bool) ([]unkept, error) {
	made, err := c.Artifacts(ctx, ledger.Query{Run: j.run})
	if err != nil {
		return nil, err
	}
	taken, err := takenOver(ctx, c, j.run)
	if err != nil {
		return nil, fmt.Errorf("read what run %s took over: %w", j.run, err)
	}
	var out []unkept
	for _, art := range append(made, taken...) {
		a, ok := j.d.Asset(art.Asset)
		key := [2]string{art.Asset, art.Item}
		if !ok || done[key] || art.Foreign || art.Lost { // found, not made
			continue
		}
		done[key] = true
		known, err := items(ctx, c, art.Asset)
		if err != nil {
			return nil, err
		}
		if it := known[art.Item]; it != nil {
			out = append(out, j.item(a, it)...)
			out = append(out, plainly(j.gaps(a, it, gaps))...)
		}
	}
	for i := range out {
		out[i].Severity = ledger.DegradedRun
	}
	return out, nil
}

// takenOver lists the artifacts of earlier runs that steps of a retry returned.
func takenOver(ctx context.Context, c ledger.Catalog, run string) (out []ledger.Artifact, err error) {
	var head ledger.Run
	if _, err := ledger.One(ctx, c.Store, ledger.Query{Kind: ledger.RowRun, ID: run}, &head); err != nil || head.RetryOf == "" {
		return nil, err
	}
	err = ends(ctx, c, run, func(end ledger.End) {
		out = append(out, reusedArtifacts(end)...)
	})
	return out, err
}

func ends(ctx context.Context, c ledger.Catalog, run string, fn func(ledger.End)) error {
	return c.Entries(ctx, ledger.Filter{Run: run, Type: ledger.StepEnd}, func(e ledger.Entry) error {
		var end ledger.End
		if err := e.Decode(&end); err != nil {
			return err
		}
		fn(end)
		return ctx.Err()
	})
}

// unlisted is reported an asset that neither the site nor an inventory lists. A
// call that failed to ask is named in place of the advice to ask.
func (j judge) unlisted(ctx context.Context, c ledger.Catalog, asset string) ([]ledger.Finding, error) {
	failed, err := inventoryFailed(ctx, c, j.run)
	return j.unlistedAfter(asset, failed), err
}

func (j judge) unlistedAfter(asset, failed string) []ledger.Finding {
	f := ledger.Finding{Severity: ledger.DegradedRun, Asset: asset, Text: fmt.Sprintf("nobody listed what %s holds: nothing of it was judged",
		asset)}
	if failed != "" {
		f.Text += "; " + failed
	} else {
		f.Type = fmt.Sprintf("in site.star: asset(name = %q, items = […]), or call an inventory such as guests() in the policy", asset)
	}
	return []ledger.Finding{f}
}

// inventoryFailed says which call that asks failed first in a run; "": none did.
func inventoryFailed(ctx context.Context, c ledger.Catalog, run string) (failed string, err error) {
	err = ends(ctx, c, run, func(end ledger.End) {
		if end.Call != nil && end.Failure != nil && !end.Retried && failed == "" { // a Read: it asks
			failed = fmt.Sprintf("%s at %s failed", end.Call.Primitive, end.Call.Position)
		}
	})
	return failed, err
}
