package builtins

import (
	"slices"
	"testing"

	"github.com/neosofia/runner/builtins/capacity"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/ledger"
)

func TestEveryTargetTellsWhenItIsFull(t *testing.T) {
	t.Parallel()
	b := newNights(t, 3)
	ask := func() map[string]capacity.Fullness {
		out := map[string]capacity.Fullness{}
		for _, f := range capacity.DaysUntilFull(t.Context(), b.config(main("pass")).World.(*systems.Systems), ledger.New(b.store.Store),
			b.clock.Now()) {
			out[f.Target] = f
		}
		return out
	}
	all := ask()
	if len(all) != 6 {
		t.Errorf("got %d targets, want all 6: %+v", len(all), all)
	}
	for _, name := range []string{"node", "offline-a"} {
		if f := all[name]; f.Error != "" || f.Total <= 0 || f.PerDay <= 0 || f.Days <= 0 || !f.Known {
			t.Errorf("%s: got %+v, want its space and its growth", name, f)
		}
	}
	if f := all["second-disk"]; !slices.Equal(f.With, []string{"second-disk-sealed"}) || f.Known {
		t.Errorf("got %+v, want it beside second-disk-sealed, and without growth", f)
	}
	b.inject(lab.Fault{On: "storage backup", Do: "unmounted"})
	if f := ask()["node"]; f.Error == "" {
		t.Errorf("a storage that is not mounted: got %+v, want an error", f)
	}
}
