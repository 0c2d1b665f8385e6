package lab

import (
	"context"
	"errors"

	"github.com/neosofia/runner/builtins/lab/cloudflare"
	"github.com/neosofia/runner/builtins/lab/proxmox"
)

// Guest is one VM or container of the lab, as tests see and change it.
type Guest = proxmox.Guest

// Storage is one storage of the lab's Proxmox VE.
type Storage = proxmox.Storage

// Token is one API token and its privileges by path.
type Token = proxmox.Token

// Cloudflare is the account at Cloudflare, as tests see and change it.
func (w *World) Cloudflare() *cloudflare.Server { return w.cloudflare }

// Guests lists all guests, by id.
func (w *World) Guests() ([]Guest, error) { return w.cluster.Guests() }

// SetGuest changes one guest: node, run state, agent, lock, configuration.
func (w *World) SetGuest(id int, edit func(*Guest)) error { return w.cluster.SetGuest(id, edit) }

// AddGuest makes a guest with empty disks.
func (w *World) AddGuest(g Guest) error { return w.cluster.AddGuest(g) }

// RemoveGuest destroys a guest with its disks.
func (w *World) RemoveGuest(id int) error { return w.cluster.RemoveGuest(id) }

// MoveGuest moves a guest to another node.
func (w *World) MoveGuest(id int, node string) error { return w.cluster.MoveGuest(id, node) }

// AddNode adds a node to the site, which becomes a cluster by it.
func (w *World) AddNode(name string) error { return w.cluster.AddNode(name) }

// SetStorage changes a storage, or makes a new one.
func (w *World) SetStorage(id string, edit func(*Storage)) error {
	return w.cluster.SetStorage(id, edit)
}

// SetToken makes or changes an API token; nil removes it.
func (w *World) SetToken(name string, t *Token) error { return w.cluster.SetToken(name, t) }

// Disk returns where the content of a guest's disk lies: a raw file for a VM
// (keys such as "scsi0"), a folder for a container ("rootfs").
func (w *World) Disk(vmid int, key string) (string, error) { return w.cluster.Disk(vmid, key) }

// Archives returns the files of all backups on a storage of node pve1.
func (w *World) Archives(storage string) ([]string, error) {
	return w.cluster.Archives("pve1", storage)
}

// BackUp runs a backup job of the cluster's own for guests of node pve1, to its end.
func (w *World) BackUp(ctx context.Context, storage string, ids ...int) error {
	if w.lock == nil {
		return errors.New("run a backup job: another process serves this world")
	}
	return w.cluster.BackUp(ctx, "pve1", storage, ids...)
}

// WaitTask returns when a task of the Proxmox VE that runs in this process has
// ended, with its exit status.
func (w *World) WaitTask(ctx context.Context, upid string) (string, error) {
	return w.cluster.Wait(ctx, upid)
}
