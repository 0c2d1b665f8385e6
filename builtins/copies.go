package builtins

import (
	"context"
	"slices"
	"time"

	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

type copiesArgs struct {
	Asset     string         `star:"asset?" doc:"asset of the site; default: all" names:"asset"`
	Item      string         `star:"item?" doc:"one item only"`
	Target    string         `star:"target?" doc:"one target only" names:"target"`
	Due       bool           `star:"due?" doc:"only those that have to be read again for asset(reread = …), as many as the night's read budgets leave room for"`
	UnreadFor *time.Duration `star:"unread_for?" doc:"only those without a proof of at least read that is younger than this"`
	Most      int            `star:"most?" doc:"so many at most, those that were not read for longest first; default 20, and all of those that are due"`
}

func copiesDeclaration() runtime.Declaration {
	return runtime.Primitive[copiesArgs]{
		Name: "copies", Kind: runtime.Read, Resume: runtime.Retry, Returns: "list of copies",
		Doc: "copies: existing copies, those that were not read back for longest first.\n\n" +
			"For verify: media rot, and a ledger that was rebuilt from manifests has no proofs. Some each night, the oldest proof first, read " +
			"every byte again in a known time.\n\n" +
			"A copy is due that has to be read when it is written and never was; and, a day before its proof becomes older than its asset's " +
			"reread; on a target with a read_budget from half of that time on, so that the reading is spread over the nights. " +
			"Media that travel are left out, unless target names one.",
		Example: `copies(target = "offsite", due = True)`,
		Fake:    existingCopies, Run: existingCopies,
	}
}

func existingCopies(ctx context.Context, s *runtime.Step, a *copiesArgs) (runtime.Result, error) {
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return runtime.Result{}, err
	}
	all, err := catalog.Copies(ctx, ledger.Query{Asset: a.Asset, Item: a.Item, Target: a.Target})
	if err != nil {
		return runtime.Result{}, err
	}
	read, err := catalog.LastRead(ctx, ledger.Query{Asset: a.Asset, Item: a.Item, Target: a.Target})
	if err != nil {
		return runtime.Result{}, err
	}
	slices.SortStableFunc(all, func(a, b ledger.Copy) int { return read[a.ID].Compare(read[b.ID]) })
	most := a.Most
	switch {
	case most <= 0 && a.Due:
		most = len(all)
	case most <= 0:
		most = 20
	}
	due := dueCopies{w: systems.Of(s), named: a.Target, left: map[string]int64{}}
	out := []ledger.Copy{}
	for _, c := range all {
		if len(out) == most {
			break
		}
		if a.UnreadFor != nil && s.Now().Sub(read[c.ID]) < *a.UnreadFor {
			continue
		}
		if a.Due {
			if ok, err := due.has(ctx, s, c, read[c.ID]); err != nil {
				return runtime.Result{}, err
			} else if !ok {
				continue
			}
		}
		out = append(out, c)
	}
	return runtime.Result{Value: out}, nil
}

// dueCopies chooses what is to be read again in this night.
type dueCopies struct {
	w     *systems.Systems
	named string           // the target that the policy names
	left  map[string]int64 // of the night's read budgets
}

// has is asked with the longest unread first: the last that a budget has room for may be
// read in part. What has to be read when it is written and never was is due, whatever its
// asset says of reading again: a night broke off, or a ledger was rebuilt.
func (d dueCopies) has(ctx context.Context, s *runtime.Step, c ledger.Copy, read time.Time) (bool, error) {
	row, _ := d.w.Site.Demands.Asset(c.Asset)
	demanded := func(on ledger.CopyDemand) bool { return on.Target == c.Target && on.Level >= ledger.Read }
	open := read.IsZero() && slices.ContainsFunc(row.On, demanded)
	switch {
	case c.Offline && d.named != c.Target, row.Reread == 0 && !open:
		return false, nil
	case read.IsZero() && c.Borrowed(): // adopt has judged it
		return false, nil
	case read.IsZero():
		read = c.Created
	}
	spec, err := d.w.Site.Target(c.Target)
	if err != nil {
		return false, nil // the site has it no more
	}
	age := s.Now().Sub(read)
	if spec.ReadBudget == 0 {
		return open || age >= max(row.Reread-24*time.Hour, row.Reread/2), nil
	}
	if !open && age < row.Reread/2 {
		return false, nil
	}
	left, known := d.left[c.Target]
	if !known {
		budget, err := d.w.ReadBudget(ctx, s, c.Target)
		if err != nil {
			return false, err
		}
		left = budget.Left()
	}
	d.left[c.Target] = left - c.Bytes
	return left >= min(c.Bytes, spec.PartSize), nil
}
