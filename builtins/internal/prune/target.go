package prune

import (
	"context"
	"slices"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
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
