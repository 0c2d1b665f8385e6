package restorevm

import (
	"context"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/systems"
)

// Place asks a system for a VMID that is free, and for the storages that take disks of
// guests there.
func Place(ctx context.Context, w *systems.Systems, system string) (vmid int64, storages []string, err error) {
	c, sys, err := w.Proxmox(ctx, system)
	if err != nil {
		return 0, nil, err
	}
	if vmid, err = c.NextID(ctx); err != nil {
		return 0, nil, proxmox.Explain(sys.Name, "ask for a free VMID", err)
	}
	nodes, err := c.Online(ctx)
	if err != nil {
		return 0, nil, proxmox.Explain(sys.Name, "list nodes", err)
	}
	for _, node := range nodes {
		list, err := c.Storages(ctx, node)
		if err != nil {
			return 0, nil, proxmox.Explain(sys.Name, "list storages of "+node, err)
		}
		for _, s := range list {
			content := strings.Split(s.Content, ",")
			if s.Active == 1 && slices.Contains(content, "images") && !slices.Contains(storages, s.Name) {
				storages = append(storages, s.Name)
			}
		}
	}
	return vmid, storages, nil
}
