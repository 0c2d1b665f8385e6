package proxmox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// archivePattern is the name of a backup archive in a dir storage.
var archivePattern = regexp.MustCompile(`^vzdump-(qemu|lxc)-([1-9][0-9]{2,8})-(\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d)\.(vma|tar)(\.(?:zst|gz|lzo))?$`)

const archiveTime = "2006_01_02-15_04_05"

// archive is one backup volume.
type archive struct {
	volid     string
	base      string // file name
	path      string // on this machine
	kind      string
	vmid      int
	format    string // "vma.zst"
	ctime     time.Time
	size      int64
	notes     string
	protected bool
}

// storage finds a storage that can be used now, or says why not as PVE does.
func (c *Cluster) storage(s *state, id string) (*Storage, error) {
	st := s.Storages[id]
	if st == nil {
		return nil, failf("storage '%s' does not exist", id)
	}
	if c.storageFault(id, "disabled") || st.Disabled {
		return nil, failf("storage '%s' is disabled", id)
	}
	if c.storageFault(id, "unmounted") || st.Unmounted {
		return nil, failf("unable to activate storage '%s' - directory is expected to be a mount point but is not mounted: '%s'", id, st.Path)
	}
	return st, nil
}

func (st *Storage) holds(content string) bool {
	return strings.Contains(","+st.Content+",", ","+content+",")
}

// archives lists the backups of one storage as one node sees it, by name.
func (c *Cluster) archives(node, id string, st *Storage) ([]archive, error) {
	dir := c.node(c.home(node, st), filepath.Join(st.Path, "dump"))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []archive
	for _, e := range entries {
		a, ok := c.parseArchive(id, e.Name())
		if !ok {
			continue
		}
		if err := a.stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].base < out[j].base })
	return out, nil
}

// home is the node whose folder holds the files of a storage: the asked one,
// or the first for a shared storage.
func (c *Cluster) home(node string, st *Storage) string {
	if st.Shared {
		if s, err := c.state(); err == nil && len(s.Nodes) > 0 {
			return s.nodes()[0]
		}
	}
	return node
}

func (c *Cluster) parseArchive(storage, base string) (archive, bool) {
	m := archivePattern.FindStringSubmatch(base)
	if m == nil {
		return archive{}, false
	}
	at, err := time.ParseInLocation(archiveTime, m[3], c.zone)
	id, err2 := strconv.Atoi(m[2])
	if err != nil || err2 != nil {
		return archive{}, false
	}
	return archive{
		volid: storage + ":backup/" + base, base: base, kind: m[1], vmid: id,
		format: m[4] + m[5], ctime: at,
	}, true
}

func (a *archive) stat(dir string) error {
	a.path = filepath.Join(dir, a.base)
	info, err := os.Stat(a.path)
	if err != nil {
		return err
	}
	a.size = info.Size()
	notes, err := os.ReadFile(a.path + ".notes")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	a.notes = string(notes)
	a.protected = exists(a.path + ".protected")
	return nil
}

// archive finds one backup volume. A missing file gives fs.ErrNotExist.
func (c *Cluster) archive(s *state, node, volid string) (archive, error) {
	m := volumePattern.FindStringSubmatch(volid)
	if m == nil {
		return archive{}, failf("unable to parse volume ID '%s'", volid)
	}
	st, err := c.storage(s, m[1])
	if err != nil {
		return archive{}, err
	}
	base, ok := strings.CutPrefix(m[2], "backup/")
	a, known := c.parseArchive(m[1], base)
	if !ok || !known {
		return archive{}, failf("unable to parse directory volume name '%s'", m[2])
	}
	return a, a.stat(c.node(c.home(node, st), filepath.Join(st.Path, "dump")))
}

// remove deletes an archive with its side files. What is gone already is fine.
func (a archive) remove() error {
	for _, path := range []string{a.path, a.path + ".notes", strings.TrimSuffix(a.path, "."+a.format) + ".log"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// image returns where the content of a guest's volume lies: a raw file for a
// VM, a folder for a container.
func (c *Cluster) image(s *state, node, kind, volid string) (string, error) {
	m := volumePattern.FindStringSubmatch(volid)
	if m == nil {
		return "", fmt.Errorf("find volume %q: not a volume id", volid)
	}
	st := s.Storages[m[1]]
	if st == nil {
		return "", failf("storage '%s' does not exist", m[1])
	}
	if kind == "lxc" {
		return filepath.Join(c.dir, "trees", node, m[1], filepath.FromSlash(m[2])), nil
	}
	return c.imageFile(node, st, m[2]), nil
}

// imageFile is the file that a node shows for a volume. For a container it is
// an empty sparse file; the tree is beside the node's own files.
func (c *Cluster) imageFile(node string, st *Storage, name string) string {
	return c.node(c.home(node, st), filepath.Join(st.Path, "images", filepath.FromSlash(name)))
}
