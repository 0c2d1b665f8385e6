package proxmox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

func auditStorage(u *user, id string) bool {
	return u.has("/storage/"+id, "Datastore.Audit", "Datastore.AllocateSpace")
}

// entry is a storage as /storage shows it.
func (st *Storage) entry(id, digest string) map[string]any {
	e := map[string]any{"content": st.Content, "digest": digest, "path": st.Path, "storage": id, "type": st.Type}
	if st.Prune != "" {
		e["prune-backups"] = st.Prune
	}
	if st.Disabled {
		e["disable"] = 1
	}
	if st.Shared {
		e["shared"] = 1
	}
	return e
}

func (s *state) storageDigest() string {
	cf := &conf{keys: map[string]string{}}
	for id, st := range s.Storages {
		cf.keys[id] = fmt.Sprint(*st)
	}
	return cf.digest()
}

func (c *Cluster) getStorages(r *request) (any, error) {
	out := []any{}
	for _, id := range sortedKeys(r.s.Storages) {
		st := r.s.Storages[id]
		if auditStorage(r.user, id) && (r.get("type") == "" || r.get("type") == st.Type) {
			out = append(out, st.entry(id, r.s.storageDigest()))
		}
	}
	return out, nil
}

func (c *Cluster) getStorage(r *request) (any, error) {
	st := r.s.Storages[r.get("storage")]
	if st == nil {
		return nil, failf("storage '%s' does not exist", r.get("storage"))
	}
	return st.entry(r.get("storage"), r.s.storageDigest()), nil
}

func (c *Cluster) getNodeStorages(r *request) (any, error) {
	out := []any{}
	for _, id := range sortedKeys(r.s.Storages) {
		st := r.s.Storages[id]
		if !auditStorage(r.user, id) || (r.get("storage") != "" && r.get("storage") != id) || !holdsAny(st, r.get("content")) {
			continue
		}
		e := c.storageStatus(r.s, r.node(), id)
		if r.bool("enabled") && e["enabled"] == 0 {
			continue
		}
		e["storage"] = id
		if e["active"] == 1 {
			e["used_fraction"] = float64(e["used"].(int64)) / float64(e["total"].(int64))
		}
		out = append(out, e)
	}
	return out, nil
}

func holdsAny(st *Storage, content string) bool {
	list := splitList(content)
	for _, one := range list {
		if st.holds(one) {
			return true
		}
	}
	return len(list) == 0
}

// storageStatus has the true figures of the file system that holds the world.
func (c *Cluster) storageStatus(s *state, node, id string) map[string]any {
	st := s.Storages[id]
	e := map[string]any{"active": 0, "avail": int64(0), "content": st.Content, "enabled": flag(!st.Disabled), "shared": flag(st.Shared),
		"total": int64(0), "type": st.Type, "used": int64(0)}
	if c.storageFault(id, "disabled") {
		e["enabled"] = 0
	}
	if _, err := c.storage(s, id); err != nil {
		return e
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(c.node(c.home(node, st), ""), &fs); err != nil {
		return e
	}
	total, free := int64(fs.Blocks)*fs.Bsize, int64(fs.Bavail)*fs.Bsize
	if c.storageFault(id, "full") {
		free = 0
	}
	e["active"], e["total"], e["avail"], e["used"] = 1, total, free, total-free
	return e
}

func (c *Cluster) getStorageStatus(r *request) (any, error) {
	id := r.get("storage")
	if r.s.Storages[id] == nil {
		return nil, badParam("storage", "No such storage.")
	}
	return c.storageStatus(r.s, r.node(), id), nil
}

func (c *Cluster) getContent(r *request) (any, error) {
	id := r.get("storage")
	st, err := c.storage(r.s, id)
	if err != nil {
		return nil, err
	}
	out := []any{}
	want := r.get("content")
	if st.holds("backup") && (want == "" || want == "backup") {
		list, err := c.archives(r.node(), id, st)
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			if c.mayRead(r.user, id, a) && (r.get("vmid") == "" || a.vmid == r.vmid()) {
				out = append(out, a.entry())
			}
		}
	}
	images, err := c.imageEntries(r, id, st, want)
	return append(images, out...), err
}

// mayRead is the right to see one backup volume.
func (c *Cluster) mayRead(u *user, storage string, a archive) bool {
	return u.has("/storage/"+storage, "Datastore.Allocate") ||
		u.has("/storage/"+storage, "Datastore.AllocateSpace") && u.has("/vms/"+strconv.Itoa(a.vmid), "VM.Backup")
}

// needVolume is that right, refused in the words of PVE.
func (c *Cluster) needVolume(u *user, storage string, a archive) error {
	switch {
	case c.mayRead(u, storage, a):
		return nil
	case !u.has("/storage/"+storage, "Datastore.AllocateSpace"):
		return forbidden("/storage/"+storage, "Datastore.AllocateSpace")
	}
	return forbidden("/vms/"+strconv.Itoa(a.vmid), "VM.Backup")
}

// entry is an archive in a content list.
func (a archive) entry() map[string]any {
	e := map[string]any{"content": "backup", "ctime": a.ctime.Unix(), "format": a.format, "size": a.size, "subtype": a.kind, "vmid": a.vmid,
		"volid": a.volid}
	if a.notes != "" {
		e["notes"], _, _ = strings.Cut(a.notes, "\n")
	}
	if a.protected {
		e["protected"] = 1
	}
	return e
}

// imageEntries lists the disks of guests that lie on the storage.
func (c *Cluster) imageEntries(r *request, id string, st *Storage, want string) ([]any, error) {
	out := []any{}
	if !r.user.has("/storage/"+id, "Datastore.Audit", "Datastore.Allocate") {
		return out, nil
	}
	guests, err := c.guests(r.s)
	if err != nil {
		return nil, err
	}
	for _, g := range guests {
		content := map[string]string{"qemu": "images", "lxc": "rootdir"}[g.kind]
		if g.node != r.node() && !st.Shared || !st.holds(content) || (want != "" && want != content) ||
			(r.get("vmid") != "" && g.id != r.vmid()) {
			continue
		}
		for _, d := range g.conf.disks() {
			name, ok := strings.CutPrefix(d.volid, id+":")
			if !ok {
				continue
			}
			info, err := os.Stat(c.imageFile(g.node, st, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			out = append(out, map[string]any{"content": content, "ctime": info.ModTime().Unix(), "format": "raw", "parent": nil,
				"size": info.Size(), "used": used(info), "vmid": g.id, "volid": d.volid})
		}
	}
	return out, nil
}

func used(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}
