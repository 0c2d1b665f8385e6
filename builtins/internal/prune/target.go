package prune

import (
	"context"
	"slices"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/words"
)

// pruneTarget prunes every asset that demands a copy on a target.
func pruneTarget(ctx context.Context, s *runtime.Step, a *Request, remove remover) (runtime.Result, error) {
	all, rows := runtime.Result{}, []goes{}
	for _, row := range systems.Of(s).Site.Demands.Assets {
		if !slices.ContainsFunc(row.On, func(on ledger.CopyDemand) bool { return on.Target == a.Target }) {
			continue
		}
		one := *a
		one.Asset = row.Name
		res, err := pruneWith(ctx, s, &one, nil, remove)
		all.Facts.Add(res.Facts)
		if some, ok := res.Value.([]goes); ok {
			rows = append(rows, some...)
		}
		if all.Value = rows; err != nil {
			return all, err
		}
	}
	all.Value = rows
	return all, nil
}

// sentAgain says what a mirror sends beside what is new, when the space of what is removed is given back.
func sentAgain(ctx context.Context, s *runtime.Step, rows []goes) {
	w := systems.Of(s)
	for _, m := range w.Site.Targets {
		if m.MirrorOf == "" || !slices.ContainsFunc(rows, func(g goes) bool { return g.Target == m.MirrorOf }) {
			continue
		}
		most, err := movable(ctx, w, m.MirrorOf)
		if err != nil {
			s.Log("how much of %s is sealed and sent again to %s afterwards is not known: %s", m.MirrorOf, m.Name, failure.OneLine(err))
			continue
		}
		s.Log("of %s, at most %s are sealed and sent again to %s afterwards: packs that are not full are written anew", m.MirrorOf,
			words.Size(most), m.Name)
	}
}

func movable(ctx context.Context, w *systems.Systems, name string) (int64, error) {
	t, err := w.Target(ctx, name)
	if err != nil {
		return 0, err
	}
	defer t.Close()
	return t.Movable(ctx)
}

// maintain gives the space of what was removed back, where removing alone does not.
func maintain(ctx context.Context, s *runtime.Step, name string) error {
	t, err := systems.Of(s).OpenTarget(ctx, s, name)
	if err != nil {
		return err
	}
	defer t.Close()
	names := []string{"target:" + name}
	if t.Mirrors() {
		names = append(names, "target:"+t.Spec().MirrorOf)
	}
	release, err := s.Hold(ctx, names...)
	if err != nil {
		return err
	}
	defer release()
	_, err = t.Maintain(ctx)
	if failure.Is(err, target.CodeBusy, target.CodeWindow) || t.Mirrors() && failure.Is(err, target.CodeMediaAbsent) {
		s.Log("the space of what was removed on %s is given back later: %v", name, err)
		return nil
	}
	return err
}
