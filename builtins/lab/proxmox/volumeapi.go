package proxmox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

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
	if rerr := c.needVolume(r.user, store, a); rerr != nil {
		return a, rerr
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
	// The size is what qemu-img says: in whole sectors.
	root := c.node(c.home(r.node(), r.s.Storages[strings.SplitN(a.volid, ":", 2)[0]]), "")
	e := map[string]any{"format": "raw", "path": strings.TrimPrefix(a.path, root), "protected": flag(a.protected),
		"size": (a.size + 511) / 512 * 512, "used": used(info)}
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
	gone := errors.Is(err, fs.ErrNotExist) // PVE calls that a success, too
	if err != nil && !gone {
		return err
	}
	if a.protected {
		store, name, _ := strings.Cut(a.volid, ":")
		return fmt.Errorf("cannot remove protected volume '%s' on '%s'", name, store)
	}
	if gone {
		if err := t.log("disk image '%s' does not exist", strings.TrimPrefix(a.path, c.node(t.rec.Node, ""))); err != nil {
			return err
		}
	}
	return errors.Join(a.remove(), t.log("Removed volume '%s'", a.volid))
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
