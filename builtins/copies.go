package builtins

import (
	"context"
	"slices"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

type copiesArgs struct {
	Asset     string         `star:"asset?" doc:"asset of the site; default: all" names:"asset"`
	Item      string         `star:"item?" doc:"one item only"`
	Target    string         `star:"target?" doc:"one target only" names:"target"`
	UnreadFor *time.Duration `star:"unread_for?" doc:"only those without a proof of at least read that is younger than this"`
	Most      int            `star:"most?" doc:"so many at most, those that were not read for longest first; default 20"`
}

func copiesDeclaration() runtime.Declaration {
	return runtime.Primitive[copiesArgs]{
		Name: "copies", Kind: runtime.Read, Resume: runtime.Retry, Returns: "list of copies",
		Doc: "copies: existing copies, those that were not read back for longest first.\n\n" +
			"For verify: media rot, and a ledger that was rebuilt from manifests has no proofs. A few each night, the oldest proof first, read " +
			"every byte again in a known time.",
		Example: `copies(target = "offsite", unread_for = "30d", most = 10)`,
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
	proofs, err := catalog.Proofs(ctx, ledger.Query{Asset: a.Asset, Item: a.Item, Target: a.Target})
	if err != nil {
		return runtime.Result{}, err
	}
	read := map[string]time.Time{}
	for _, p := range proofs {
		if p.Level >= ledger.Read && p.At.After(read[p.Copy]) {
			read[p.Copy] = p.At
		}
	}
	slices.SortStableFunc(all, func(a, b ledger.Copy) int { return read[a.ID].Compare(read[b.ID]) })
	most := a.Most
	if most <= 0 {
		most = 20
	}
	out := []ledger.Copy{}
	for _, c := range all {
		if a.UnreadFor != nil && s.Now().Sub(read[c.ID]) < *a.UnreadFor {
			continue
		}
		if len(out) == most {
			break
		}
		out = append(out, c)
	}
	return runtime.Result{Value: out}, nil
}
