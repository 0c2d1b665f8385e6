package preflight

import (
	"context"
	"fmt"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/guests"
	"github.com/neosofia/runner/builtins/site"
)

// sorted looks for guests that belong to no asset, or to several.
func (n *night) sorted(ctx context.Context, list []proxmox.Guest) (err error) {
	pools := map[proxmox.Int]string{}
	if n.w.Site.UsesPools() {
		if pools, err = n.c.Pools(ctx); err != nil {
			return err
		}
	}
	for _, g := range list {
		if n.excused(g) {
			continue
		}
		matches := n.w.Site.Matches(site.Traits{Names: []string{g.Name, fmt.Sprint(g.VMID)}, Tags: g.TagList(), Pool: pools[g.VMID]})
		if text, hint := guests.Unsorted(n.sys, g.Name, n.w.Site.AssetOf(n.sys, matches), matches); text != "" {
			n.add(false, hint, "%s", text)
		}
	}
	return nil
}
