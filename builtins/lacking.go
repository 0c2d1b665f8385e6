package builtins

import (
	"context"
	"slices"

	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

type lackingArgs struct {
	Target string `star:"target" doc:"target, such as a medium that was plugged in" names:"target"`
	Asset  string `star:"asset?" doc:"asset of the site; default: all that demand a copy there" names:"asset"`
	Most   int    `star:"most?" doc:"so many at most, the newest; default: all"`
}

func lackingDeclaration() runtime.Declaration {
	return runtime.Primitive[lackingArgs]{
		Name: "lacking", Kind: runtime.Read, Resume: runtime.Retry, Returns: "list of artifacts",
		Doc: "lacking: the artifacts that a target lacks and another one has, newest first: since its last visit, or from the beginning.\n\n" +
			"They are those of the assets that demand a copy there, or on a set of media that it belongs to; a copy there that is not proven as " +
			"demanded is none. Left out is what can be read nowhere any more without a recovery key: the source is gone, and every other copy is " +
			"sealed, or holds what an archive held and not its bytes (layout chunks).",
		Example: `lacking(target = "offline-a")`,
		Fake:    lacking, Run: lacking,
	}
}

func lacking(ctx context.Context, s *runtime.Step, a *lackingArgs) (runtime.Result, error) {
	w := systems.Of(s)
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return runtime.Result{}, err
	}
	if _, err := w.Site.Target(a.Target); err != nil {
		return runtime.Result{}, err
	}
	out := []ledger.Artifact{}
	lost := 0
	for _, row := range w.Site.Demands.Assets {
		at := slices.IndexFunc(row.On, func(on ledger.CopyDemand) bool { return on.Target == a.Target })
		if at < 0 || a.Asset != "" && row.Name != a.Asset {
			continue
		}
		list, gone, err := lackingOf(ctx, w, catalog, row.Name, row.On[at])
		if err != nil {
			return runtime.Result{}, err
		}
		out, lost = append(out, list...), lost+gone
	}
	if lost > 0 {
		s.Log("%d older artifacts that %s lacks can be read nowhere any more without a recovery key, or only as another archive of the same "+
			"guest", lost, a.Target)
	}
	slices.SortStableFunc(out, func(x, y ledger.Artifact) int { return y.Created.Compare(x.Created) })
	if a.Most > 0 && len(out) > a.Most {
		s.Log("%s lacks %d artifacts; the newest %d of them come first", a.Target, len(out), a.Most)
		out = out[:a.Most]
	}
	return runtime.Result{Value: out}, nil
}

// lackingOf are those of one asset, and how many more cannot be read.
func lackingOf(ctx context.Context, w *systems.Systems, c ledger.Catalog, asset string, on ledger.CopyDemand) (out []ledger.Artifact,
	lost int, err error) {
	copies, err := c.WholeCopies(ctx, ledger.Query{Asset: asset})
	if err != nil {
		return nil, 0, err
	}
	has, clear, known := map[string]bool{}, map[string]bool{}, map[string]bool{} // artifacts: there, readable here, anywhere
	for _, p := range copies {
		known[p.Artifact] = known[p.Artifact] || !p.Borrowed() // what adopt found is brought elsewhere by name alone
		has[p.Artifact] = has[p.Artifact] || p.Target == on.Target && p.Level >= on.Level
		clear[p.Artifact] = clear[p.Artifact] || p.Target != on.Target && len(p.SealedTo) == 0 && !p.Decoded() && p.Level >= ledger.Stored
	}
	arts, err := c.Artifacts(ctx, ledger.Query{Asset: asset})
	if err != nil {
		return nil, 0, err
	}
	for _, art := range arts {
		switch {
		case !known[art.ID] || has[art.ID]:
		case clear[art.ID] || w.HasSource(ctx, art):
			out = append(out, art)
		default:
			lost++
		}
	}
	return out, lost, nil
}
