package copying

import (
	"context"
	"maps"
	"slices"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// Stands tells a retry whether every copy that is wanted is recorded and was not
// found damaged: then the source need not be read again. made are the copies that an
// earlier call returned.
func Stands(ctx context.Context, s *runtime.Step, art ledger.Artifact, to []string, made []ledger.Copy) (bool, error) {
	c, err := newJob(s, art, to)
	if err != nil {
		return false, err
	}
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return false, err
	}
	stands := map[string]bool{}
	for _, m := range made {
		cp, found, err := catalog.Copy(ctx, m.ID)
		if err != nil {
			return false, err
		}
		if !found {
			return false, nil
		}
		bad, err := catalog.Damaged(ctx, cp.ID)
		if err != nil || bad {
			return false, err
		}
		stands[cp.Target] = true
	}
	for _, name := range c.names {
		others := []string{name}
		if set, travels := c.w.Site.Demands.Set(name); travels && !c.asked {
			others = set.Names // one of them is enough
		}
		if !slices.ContainsFunc(others, func(name string) bool { return stands[name] }) {
			return false, nil
		}
	}
	list, err := catalog.Needs(ctx, c.art, slices.Sorted(maps.Keys(stands)))
	return len(list) == 0, err
}
