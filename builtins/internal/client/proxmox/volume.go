package proxmox

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Volume is an archive on a storage.
type Volume struct {
	VolID     string `json:"volid"`
	Size      int64  `json:"size"`
	CTime     Int    `json:"ctime"`
	VMID      Int    `json:"vmid"`
	Subtype   string `json:"subtype"`
	Format    string `json:"format"`
	Notes     string `json:"notes"` // the first line only, in lists
	Protected Int    `json:"protected"`
	Path      string `json:"path"` // of one volume only
}

func storagePath(node, storage string) string {
	return "/nodes/" + url.PathEscape(node) + "/storage/" + url.PathEscape(storage)
}

// Archives lists the archives of a guest (0: of all) on a storage of a node.
func (c *Client) Archives(ctx context.Context, node, storage string, vmid Int) ([]Volume, error) {
	q := "?content=backup"
	if vmid > 0 {
		q += fmt.Sprintf("&vmid=%d", vmid)
	}
	var out []Volume
	return out, c.Get(ctx, storagePath(node, storage)+"/content"+q, &out)
}

// Archive returns one archive, with its path and full notes. Its size is that of the
// list: asked for one volume, Proxmox has qemu-img round it up. Gone says of one that
// is not there.
func (c *Client) Archive(ctx context.Context, node, volid string) (Volume, error) {
	storage, _, ok := strings.Cut(volid, ":")
	if !ok {
		return Volume{}, fmt.Errorf("bad volume id %q", volid)
	}
	list, err := c.Archives(ctx, node, storage, VMIDIn(volid))
	if err != nil {
		return Volume{}, err
	}
	at := slices.IndexFunc(list, func(v Volume) bool { return v.VolID == volid })
	var one Volume
	err = c.Get(ctx, storagePath(node, storage)+"/content/"+url.PathEscape(volid), &one)
	var api *Error
	switch {
	case at < 0 && errors.As(err, &api) && api.Status == 500:
		return Volume{}, &GoneError{VolID: volid, Said: api.Error()}
	case err != nil:
		return Volume{}, err // a right that is missing leaves it out of the list, too
	case at < 0:
		return Volume{}, fmt.Errorf("%s is there, and the list of its storage does not show it", volid)
	}
	v := list[at]
	v.Notes, v.Path, v.Protected = one.Notes, one.Path, one.Protected
	return v, nil
}

var archiveVMID = pattern(`:backup/vzdump-(?:qemu|lxc)-(\d+)-`)

// VMIDIn is the VMID in an archive's name; 0 when it has none.
func VMIDIn(volid string) Int {
	if m := archiveVMID().FindStringSubmatch(volid); m != nil {
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err == nil {
			return Int(n)
		}
	}
	return 0
}

// GoneError says that a volume is not there.
type GoneError struct{ VolID, Said string }

func (e *GoneError) Error() string { return fmt.Sprintf("there is no %s: %s", e.VolID, e.Said) }

// Gone reports that a volume is not there. A storage that is not there, or not mounted,
// says nothing of its volumes.
func Gone(err error) bool { return errors.As(err, new(*GoneError)) }

// RemoveArchive starts the removal of an archive. An empty UPID means that it is
// done. Removing one that is not there ends well, too.
func (c *Client) RemoveArchive(ctx context.Context, node, volid string) (UPID, error) {
	storage, _, _ := strings.Cut(volid, ":")
	var id *string
	if err := c.Delete(ctx, storagePath(node, storage)+"/content/"+url.PathEscape(volid), &id); err != nil || id == nil {
		return "", err
	}
	return asUPID(*id)
}

// Storage is the state of a storage on a node.
type Storage struct {
	Name    string `json:"storage"`
	Type    string `json:"type"`
	Content string `json:"content"`
	Active  Int    `json:"active"`
	Enabled Int    `json:"enabled"`
	Shared  Int    `json:"shared"`
	Avail   int64  `json:"avail"`
	Total   int64  `json:"total"`
}

// Storages lists the storages that a node shows to the token.
func (c *Client) Storages(ctx context.Context, node string) ([]Storage, error) {
	var list []Storage
	return list, c.Get(ctx, "/nodes/"+url.PathEscape(node)+"/storage", &list)
}

// StorageOf returns the state of a storage on a node.
func (c *Client) StorageOf(ctx context.Context, node, storage string) (Storage, error) {
	list, err := c.Storages(ctx, node)
	if err != nil {
		return Storage{}, err
	}
	for _, s := range list {
		if s.Name == storage {
			return s, nil
		}
	}
	return Storage{}, fmt.Errorf("node %s shows no storage %s: it does not exist there, or the token lacks Datastore.Audit on /storage/%s",
		node, storage, storage)
}

// PruneOf returns what a storage keeps by its own rule: "keep-all=1", "keep-last=3".
func (c *Client) PruneOf(ctx context.Context, node, storage string) (string, error) {
	var d struct {
		Prune string `json:"prune-backups"`
	}
	return d.Prune, c.Get(ctx, "/nodes/"+url.PathEscape(node)+"/vzdump/defaults?storage="+url.QueryEscape(storage), &d)
}

// Job is one of the cluster's own backup jobs.
type Job struct {
	ID      string            `json:"id"`
	Storage string            `json:"storage"`
	Enabled *Int              `json:"enabled"`
	Prune   map[string]string `json:"prune-backups"`
}

// Off reports that a job is switched off.
func (j Job) Off() bool { return j.Enabled != nil && *j.Enabled == 0 }

// Jobs lists the cluster's own backup jobs.
func (c *Client) Jobs(ctx context.Context) ([]Job, error) {
	var list []Job
	return list, c.Get(ctx, "/cluster/backup", &list)
}

// StorageFolder returns the folder of a storage that is one. The list shows it to
// who may audit the storage; the single entry would need Datastore.Allocate.
func (c *Client) StorageFolder(ctx context.Context, storage string) (string, error) {
	var list []struct {
		Storage string `json:"storage"`
		Path    string `json:"path"`
	}
	if err := c.Get(ctx, "/storage", &list); err != nil {
		return "", err
	}
	for _, s := range list {
		if s.Storage == storage && s.Path != "" {
			return s.Path, nil
		}
	}
	return "", fmt.Errorf("storage %s is not a folder that the token may see: archives cannot be put there", storage)
}

// ArchiveConfig returns the guest's configuration inside an archive.
func (c *Client) ArchiveConfig(ctx context.Context, node, volid string) (string, error) {
	var text string
	return text, c.Get(ctx, "/nodes/"+url.PathEscape(node)+"/vzdump/extractconfig?volume="+url.QueryEscape(volid), &text)
}

// VolumeOf returns the volume id of an archive's path on a storage.
func VolumeOf(storage, archive string) string { return storage + ":backup/" + path.Base(archive) }
