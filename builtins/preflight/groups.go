package preflight

import (
	"fmt"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/guests"
)

// sorted looks for guests that belong to no asset, or to several.
func (n *night) sorted(list []guests.Guest) {
	for _, g := range list {
		if n.excused(g.Guest) {
			continue
		}
		if text, hint := g.Unsorted(n.sys); text != "" {
			n.add(false, hint, "%s", text)
		}
	}
}

// excused reports whether the site leaves a guest out, under any of its names.
func (n *night) excused(g proxmox.Guest) bool {
	for _, name := range []string{g.Name, fmt.Sprint(g.VMID), fmt.Sprintf("%s-%d", g.Name, g.VMID), n.items[g.VMID]} {
		if _, ok := n.w.Site.Demands.Excused(name, now()); ok {
			return true
		}
	}
	return false
}
