package preflight

import (
	"context"
	"fmt"
	"slices"

	"github.com/neosofia/runner/builtins/internal/guests"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/ledger"
)

// GuestNames lists what policies can call a guest: its name, its VMID, and the item that
// its copies are recorded under. ok is false where a cluster does not answer, or does not
// show all of its guests: then nobody knows which names are wrong.
func GuestNames(ctx context.Context, w *systems.Systems, catalog ledger.Catalog) (names []string, ok bool) {
	ctx, cancel := within(ctx)
	defer cancel()
	for _, sys := range w.Site.Proxmox {
		c, _, err := w.Proxmox(ctx, sys.Name)
		if err != nil {
			return nil, false
		}
		if all, err := c.SeesAllGuests(ctx); err != nil || !all {
			return nil, false
		}
		list, err := c.Guests(ctx)
		if err != nil {
			return nil, false
		}
		roster, err := guests.Foresee(ctx, w, catalog, c, sys, list)
		if err != nil {
			return nil, false
		}
		for _, g := range roster.Guests {
			names = append(names, g.Name, fmt.Sprint(g.VMID), g.Item)
		}
	}
	for _, kind := range []string{"vm", "ct"} {
		known, err := catalog.Artifacts(ctx, ledger.Query{Kind: kind})
		if err != nil {
			return nil, false
		}
		for _, a := range known {
			names = append(names, a.Item)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), true
}
