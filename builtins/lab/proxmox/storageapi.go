package proxmox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
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

// entry is an archive in a content list.
func (a archive) entry() map[string]any {
	e := map[string]any{"content": "backup", "ctime": a.ctime.Unix(), "format": a.format, "size": a.size, "subtype": a.kind, "vmid": a.vmid, "volid": a.volid}
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
		if g.node != r.node() && !st.Shared || !st.holds(content) || (want != "" && want != content) || (r.get("vmid") != "" && g.id != r.vmid()) {
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

// volumeOf finds the archive that a request names, and checks the right to it.
func (c *Cluster) volumeOf(r *request) (archive, error) {
	volid := r.vars["volume"]
	if !strings.Contains(volid, ":") {
		volid = r.get("storage") + ":" + volid
	}
	a, err := c.archive(r.s, r.node(), volid)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	store, _, _ := strings.Cut(volid, ":")
	if !c.mayRead(r.user, store, a) {
		return a, forbidden("/vms/"+strconv.Itoa(a.vmid), "VM.Backup")
	}
	return a, err
}

func (c *Cluster) getVolume(r *request) (any, error) {
	a, err := c.volumeOf(r)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, failf("volume_size_info on '%s' failed - no format", a.volid)
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(a.path)
	if err != nil {
		return nil, err
	}
	root := c.node(c.home(r.node(), r.s.Storages[strings.SplitN(a.volid, ":", 2)[0]]), "")
	e := map[string]any{"format": "raw", "path": strings.TrimPrefix(a.path, root), "protected": flag(a.protected), "size": a.size, "used": used(info)}
	if a.notes != "" {
		e["notes"] = a.notes
	}
	return e, nil
}

func (c *Cluster) putVolume(r *request) (any, error) {
	a, err := c.volumeOf(r)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, failf("volume '%s' does not exist", a.volid)
	}
	if err != nil {
		return nil, err
	}
	if _, ok := r.params["notes"]; ok {
		if err := setOrRemove(a.path+".notes", r.get("notes"), r.get("notes") != ""); err != nil {
			return nil, err
		}
	}
	if _, ok := r.params["protected"]; ok {
		if err := setOrRemove(a.path+".protected", "", r.bool("protected")); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func setOrRemove(path, text string, set bool) error {
	if set {
		return writeFile(path, []byte(text))
	}
	return removeFiles(path)
}

// removeFiles deletes files; those that are not there are fine.
func removeFiles(paths ...string) error {
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// deleteVolume starts the removal of an archive; with a delay it waits for it
// and then answers null.
func (c *Cluster) deleteVolume(r *request) (any, error) {
	a, err := c.volumeOf(r)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	store, _, _ := strings.Cut(a.volid, ":")
	r.params.Set("lab-volid", a.volid)
	upid, err := c.start(r.node(), "imgdel", fmt.Sprintf("%d@%s", a.vmid, store), r.user.name, r.params)
	if err != nil || r.int("delay", 0) == 0 {
		return upid, err
	}
	t, _ := c.findTask(upid)
	timer := time.NewTimer(time.Duration(r.int("delay", 0)) * time.Second)
	defer timer.Stop()
	select {
	case <-t.done:
		if exit := t.record().Exit; exit != "OK" {
			return nil, failf("%s", exit)
		}
		return nil, nil
	case <-timer.C:
		return upid, nil
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
}

// runRemove deletes one archive, or those that a retention rule marks.
func (c *Cluster) runRemove(ctx context.Context, t *task) error {
	s, err := c.state()
	if err != nil {
		return err
	}
	args := t.rec.Args
	if t.rec.Type == "prunebackups" {
		list, err := c.pruneList(s, t.rec.Node, args.Get("storage"), args.Get("prune-backups"), args.Get("vmid"), args.Get("type"))
		if err != nil {
			return err
		}
		for _, m := range list {
			if m.mark != "remove" {
				continue
			}
			if err := errors.Join(ctx.Err(), t.log("removing backup '%s'", m.volid), m.remove()); err != nil {
				return err
			}
		}
		return nil
	}
	a, err := c.archive(s, t.rec.Node, args.Get("lab-volid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // PVE calls that a success too
	}
	if err != nil {
		return err
	}
	if a.protected {
		store, name, _ := strings.Cut(a.volid, ":")
		return fmt.Errorf("cannot remove protected volume '%s' on '%s'", name, store)
	}
	return a.remove()
}

func (c *Cluster) pruneList(s *state, node, id, rule, vmid, kind string) ([]marked, error) {
	st, err := c.storage(s, id)
	if err != nil {
		return nil, err
	}
	if rule == "" {
		rule = st.Prune
	}
	keep, err := parseKeep(rule)
	if err != nil {
		return nil, err
	}
	list, err := c.archives(node, id, st)
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(vmid)
	return mark(list, keep, c.zone, n, kind), nil
}

func (c *Cluster) getPrune(r *request) (any, error) {
	list, err := c.pruneList(r.s, r.node(), r.get("storage"), r.get("prune-backups"), r.get("vmid"), r.get("type"))
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, m := range list {
		if c.mayRead(r.user, r.get("storage"), m.archive) {
			out = append(out, map[string]any{"ctime": m.ctime.Unix(), "mark": m.mark, "type": m.kind, "vmid": m.vmid, "volid": m.volid})
		}
	}
	return out, nil
}

func (c *Cluster) deletePrune(r *request) (any, error) {
	id := r.get("storage")
	if v := r.get("vmid"); v != "" {
		if err := r.user.need("/storage/"+id, "Datastore.AllocateSpace"); err != nil {
			return nil, err
		}
		if err := r.user.need("/vms/"+v, "VM.Backup"); err != nil {
			return nil, err
		}
	} else if err := r.user.need("/storage/"+id, "Datastore.Allocate"); err != nil {
		return nil, err
	}
	if _, err := c.storage(r.s, id); err != nil {
		return nil, err
	}
	who := id
	if v := r.get("vmid"); v != "" {
		who = v + "@" + id
	}
	return c.start(r.node(), "prunebackups", who, r.user.name, r.params)
}

// home-relative folder of archives, for callers that place files there.
func (c *Cluster) dumpDir(node string, st *Storage) string {
	return c.node(c.home(node, st), filepath.Join(st.Path, "dump"))
}
