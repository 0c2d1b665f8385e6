package report

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
)

// Complete judges a run by the demands: every promise that it leaves unkept is a
// finding, one for each item and target, sorted by asset, item and target; that a set of
// media is due is one for them all, at the end. None means that everything expected has
// its proof.
func Complete(ctx context.Context, c ledger.Catalog, d ledger.Demands, r ledger.Judged) ([]ledger.Finding, error) {
	media, err := mediaSeen(ctx, c, d)
	if err != nil {
		return nil, err
	}
	j := judge{d: d, run: r.Run, since: r.Since, now: r.Now, media: media}
	var out []unkept
	gaps := map[string]bool{}
	judged := map[[2]string]bool{} // asset and item
	for _, name := range slices.Compact(slices.Sorted(slices.Values(r.Protects))) {
		found, err := j.asset(ctx, c, name, gaps, judged)
		if err != nil {
			return nil, fmt.Errorf("judge %s: %w", name, err)
		}
		out = append(out, found...)
	}
	beside, err := j.beside(ctx, c, judged, gaps)
	if err != nil {
		return nil, err
	}
	out = append(out, beside...)
	if len(r.Protects) > 0 {
		out = append(out, plainly(j.expired(r.Protects, gaps))...)
	}
	return onceForSets(out), nil
}

// plainly are findings of which each is of one thing.
func plainly(found []ledger.Finding) (out []unkept) {
	for _, f := range found {
		out = append(out, unkept{Finding: f})
	}
	return out
}

// asset judges one asset; gaps collects the accepted ones that were met with, judged
// what was looked at.
func (j judge) asset(ctx context.Context, c ledger.Catalog, name string, gaps map[string]bool,
	judged map[[2]string]bool) ([]unkept, error) {
	a, ok := j.d.Asset(name)
	if !ok {
		return plainly([]ledger.Finding{{Severity: ledger.Failed, Asset: name,
			Text: fmt.Sprintf("the policy protects %s, the site states nothing of it", name),
			Type: fmt.Sprintf("in site.star: asset(name = %q, …)", name)}}), nil
	}
	names, err := expected(ctx, c, j.run, a)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 && len(a.In) > 0 {
		if failed, err := inventoryFailed(ctx, c, j.run); err != nil || failed != "" {
			return plainly(j.unlistedAfter(name, failed)), err
		}
		return plainly([]ledger.Finding{{Severity: ledger.DegradedRun, Asset: name,
			Text: fmt.Sprintf("nothing belongs to %s: what it chooses is not there", name),
			Type: fmt.Sprintf("correct guests = … of asset(name = %q) in site.star, or the tags and pools that it names; or remove it",
				name)}}), nil
	}
	if len(names) == 0 && len(j.d.Parts(name)) > 1 {
		return nil, nil // its parts hold everything
	}
	if len(names) == 0 {
		found, err := j.unlisted(ctx, c, name)
		return plainly(found), err
	}
	known, err := items(ctx, c, name)
	if err != nil {
		return nil, err
	}
	var out []unkept
	for _, n := range names {
		judged[[2]string{name, n}] = true
		if _, excused := j.d.Excused(n, j.now); excused {
			continue
		}
		it := known[n]
		if it == nil {
			it = &item{name: n}
		}
		out = append(out, j.item(a, it)...)
		out = append(out, plainly(j.gaps(a, it, gaps))...)
	}
	return out, nil
}

// expected lists the items of an asset as the site and this run's inventory say.
func expected(ctx context.Context, c ledger.Catalog, run string, a ledger.AssetDemand) ([]string, error) {
	names := slices.Clone(a.Items)
	err := c.Rows(ctx, ledger.Query{Kind: ledger.RowItem, Run: run, Asset: a.Name}, func(r ledger.Row) error {
		names = append(names, r.Item)
		return nil
	})
	sort.Strings(names)
	return slices.Compact(names), err
}

// item judges every copy that is demanded of an item. Where none is, there must
// be the artifact at least.
func (j judge) item(a ledger.AssetDemand, it *item) []unkept {
	var out []unkept
	for _, one := range a.Promises() {
		if u := j.promise(a, one, it); u != nil {
			out = append(out, *u)
		}
	}
	out = append(out, plainly(j.onSource(a, it))...)
	if len(a.On) == 0 && (it.newest == nil || it.newest.Created.Before(j.since.Add(-behind))) {
		text := it.name + " was not backed up by this run"
		if it.newest != nil {
			text += fmt.Sprintf("; the newest artifact is %s old", age(j.now.Sub(it.newest.Created)))
		}
		out = append(out, unkept{Finding: ledger.Finding{Severity: ledger.Failed, Asset: a.Name, Item: it.name, Text: text}})
	}
	return out
}

// gaps finds what the newest artifact leaves out without the site's consent.
func (j judge) gaps(a ledger.AssetDemand, it *item, met map[string]bool) []ledger.Finding {
	if it.newest == nil {
		return nil
	}
	var out []ledger.Finding
	var mend []ledger.Gap
	for _, g := range it.newest.Gaps {
		if g.Item == "" {
			g.Item = it.name
		}
		for i, x := range j.d.Accepted {
			if x.Item == g.Item && (x.What == g.What || x.What == "") {
				met[acceptKey(i)] = true
			}
		}
		if _, ok := j.d.Accepts(g, j.now); ok {
			continue
		}
		text := fmt.Sprintf("%s: %s is left out (%s)", g.Item, g.What, g.Why)
		for _, x := range j.d.Accepted {
			if x.Item == g.Item && (x.What == g.What || x.What == "") {
				text += "; that was accepted until " + date(x.Until)
			}
		}
		if g.Mend != "" {
			mend = append(mend, g)
			continue
		}
		out = append(out, ledger.Finding{Severity: ledger.DegradedRun, Asset: a.Name, Item: g.Item, Text: text,
			Type: fmt.Sprintf("include it in the backup, or in site.star: accept_gap(item = %q, gap = %q, reason = \"…\", until = %q)", g.Item,
				g.What, date(j.now.AddDate(0, 6, 0)))})
	}
	return append(out, unmeant(a.Name, mend)...)
}

// unmeant says of what is missing though nobody meant it to be: once for all that one
// command mends.
func unmeant(asset string, gaps []ledger.Gap) (out []ledger.Finding) {
	at := map[string]int{}
	parts := map[string][]string{}
	for _, g := range gaps {
		key := g.Item + "\x00" + g.Mend
		parts[key] = append(parts[key], g.What)
		if _, ok := at[key]; !ok {
			at[key] = len(out)
			out = append(out, ledger.Finding{Severity: ledger.Failed, Asset: asset, Item: g.Item, Text: g.Why, Type: g.Mend})
		}
	}
	for key, i := range at {
		verb := "is"
		if len(parts[key]) > 1 {
			verb = "are"
		}
		out[i].Text = fmt.Sprintf("%s: %s %s left out (%s)", out[i].Item, strings.Join(parts[key], ", "), verb, out[i].Text)
	}
	return out
}

func acceptKey(i int) string { return fmt.Sprint("accept ", i) }

// expired finds exceptions that ended and deviations whose review is due. An
// acceptance whose gap is still there was reported with the gap.
func (j judge) expired(protects []string, met map[string]bool) []ledger.Finding {
	var out []ledger.Finding
	add := func(item, text, hint string) {
		out = append(out, ledger.Finding{Severity: ledger.DegradedRun, Item: item, Text: text, Type: hint})
	}
	over := func(x ledger.Exception) bool {
		return !j.now.Before(x.Until) && (x.Asset == "" || slices.Contains(protects, x.Asset))
	}
	for _, x := range j.d.Unprotected {
		if over(x) {
			add(x.Item, fmt.Sprintf("%s was left out until %s (%s): that is over", x.Item, date(x.Until), x.Reason),
				fmt.Sprintf("in site.star: remove unprotected(guest = %q, …), or give it a new date", x.Item))
		}
	}
	for i, x := range j.d.Accepted {
		if over(x) && !met[acceptKey(i)] {
			add(x.Item, fmt.Sprintf("a gap of %s was accepted until %s (%s): that is over", x.Item, date(x.Until), x.Reason),
				fmt.Sprintf("in site.star: remove accept_gap(item = %q, …), or give it a new date", x.Item))
		}
	}
	for _, v := range j.d.Deviations {
		if !v.Review.IsZero() && !j.now.Before(v.Review) {
			add("", fmt.Sprintf("the deviation from %s, %s, was to be reviewed by %s", v.SOP, v.Step, date(v.Review)),
				fmt.Sprintf("review it with %s, then give it a new date in site.star", v.ApprovedBy))
		}
	}
	return out
}

func decode[T any](r ledger.Row) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(r.Body, v); err != nil {
		return nil, fmt.Errorf("decode %s %s: %w", r.Kind, r.ID, err)
	}
	return v, nil
}
