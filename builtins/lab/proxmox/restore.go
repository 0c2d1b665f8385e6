package proxmox

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/internal/format/vma"
	"github.com/neosofia/runner/builtins/lab/fault"
)

// restore is one guest being brought back.
type restore struct {
	c       *Cluster
	t       *task
	s       *state
	args    url.Values
	id      int
	kind    string
	a       archive
	storage string // target of the disks
	st      *Storage
	due     []fault.Deed
	pace    *pace
	made    []string // volumes made so far
}

// options that steer a restore and are not configuration keys.
var restoreOptions = map[string]bool{
	"vmid": true, "node": true, "archive": true, "ostemplate": true, "restore": true, "storage": true, "force": true, "unique": true,
	"start": true, "pool": true, "bwlimit": true, "live-restore": true, "ignore-unpack-errors": true, "import-working-storage": true,
	"ha-managed": true,
}

// newRestore finds everything that the work of a restore task needs. The
// archive may be missing; its error is fs.ErrNotExist then.
func (c *Cluster) newRestore(t *task, kind, volid string) (*restore, error) {
	id, _ := strconv.Atoi(t.rec.ID)
	r := &restore{c: c, t: t, args: t.rec.Args, id: id, kind: kind, storage: t.rec.Args.Get("storage")}
	var err error
	if r.s, err = c.state(); err != nil {
		return nil, err
	}
	if r.storage == "" {
		r.storage = "local"
	}
	if r.st, err = c.storage(r.s, r.storage); err != nil {
		return nil, err
	}
	began := c.cfg.Now()
	var kept []fault.Deed
	if again, err := t.recall(&kept); err != nil {
		return nil, err
	} else if again {
		r.due = kept
		lines, err := t.lines()
		if err != nil {
			return nil, err
		}
		t.skip = len(lines)
	} else {
		if r.due, err = c.cfg.Faults.Due(event(t.rec.Type, id), workDeeds...); err != nil {
			return nil, err
		}
		if err := t.keep(r.due); err != nil {
			return nil, err
		}
	}
	if r.pace, err = c.newPace(r.due, began); err != nil {
		return nil, err
	}
	r.a, err = c.archive(r.s, t.rec.Node, volid)
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("volume '%s' does not exist", volid)
	}
	return r, err
}

// openArchive opens an archive through its compressor; read counts what was
// taken from the file.
func openArchive(a archive) (r io.Reader, read *counter, closing func(), err error) {
	f, err := os.Open(a.path)
	if err != nil {
		return nil, nil, nil, err
	}
	read = &counter{w: io.Discard}
	in := io.TeeReader(f, read)
	switch filepath.Ext(a.path) {
	case ".zst":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			f.Close()
			return nil, nil, nil, err
		}
		return z, read, func() { z.Close(); f.Close() }, nil
	case ".gz":
		z, err := gzip.NewReader(in)
		if err != nil {
			f.Close()
			return nil, nil, nil, fmt.Errorf("gzip: %s: not in gzip format", a.path)
		}
		return z, read, func() { f.Close() }, nil
	case ".lzo":
		f.Close()
		return nil, nil, nil, errors.New("the lab has no lzo")
	}
	return in, read, func() { f.Close() }, nil
}

// archiveConfig reads the guest's configuration from an archive.
func (c *Cluster) archiveConfig(a archive) (string, error) {
	if a.kind == "lxc" {
		text, _, err := tarConfig(a)
		return text, err
	}
	in, _, closing, err := openArchive(a)
	if err != nil {
		return "", err
	}
	defer closing()
	vr, err := vma.NewReader(in)
	if err != nil {
		return "", failf("Failed to extract config from VMA archive: zstd: %s: unknown header", a.base)
	}
	for _, cf := range vr.Header().Configs {
		if cf.Name == "qemu-server.conf" {
			return string(cf.Data), nil
		}
	}
	return "", failf("ERROR: archive contains no configuration file")
}

// newVolume makes the name and the folder of a further disk of the guest.
func (r *restore) newVolume() (volid, file string, err error) {
	for n := 0; ; n++ {
		name := fmt.Sprintf("%d/vm-%d-disk-%d.raw", r.id, r.id, n)
		file = r.c.imageFile(r.t.rec.Node, r.st, name)
		if exists(file) {
			continue
		}
		volid = r.storage + ":" + name
		r.made = append(r.made, volid)
		return volid, file, os.MkdirAll(filepath.Dir(file), 0o755)
	}
}

// shownFile is a file's path as the node knows it.
func (r *restore) shownFile(path string) string {
	for _, n := range r.s.nodes() {
		if rest, ok := strings.CutPrefix(path, r.c.node(n, "")); ok {
			return rest
		}
	}
	return path
}

// dropMade removes the volumes of a failed restore.
func (r *restore) dropMade() error {
	var errs []error
	for _, volid := range r.made {
		errs = append(errs, r.c.removeVolume(r.s, r.t.rec.Node, r.kind, volid))
	}
	return errors.Join(errs...)
}

// removeVolume deletes one disk of a guest.
func (c *Cluster) removeVolume(s *state, node, kind, volid string) error {
	path, err := c.image(s, node, kind, volid)
	if err != nil {
		return err
	}
	if kind == "lxc" {
		if err := removeTree(path); err != nil {
			return err
		}
		m := volumePattern.FindStringSubmatch(volid)
		path = c.imageFile(node, s.Storages[m[1]], m[2])
	}
	return removeFiles(path)
}

// removeDisks deletes all disks of a guest.
func (c *Cluster) removeDisks(s *state, g *guest) error {
	for _, d := range g.conf.disks() {
		if d.bind() || d.cdrom() || !strings.Contains(d.volid, ":") {
			continue
		}
		if err := c.removeVolume(s, g.node, g.kind, d.volid); err != nil {
			return err
		}
	}
	return nil
}

// clearLeftovers removes what an earlier process made of this restore: the
// disks of the guest that its configuration does not name.
func (r *restore) clearLeftovers(old *guest) error {
	named := map[string]bool{}
	if old != nil {
		for _, d := range old.conf.disks() {
			named[d.volid] = true
		}
	}
	for n := range 64 {
		volid := fmt.Sprintf("%s:%d/vm-%d-disk-%d.raw", r.storage, r.id, r.id, n)
		if !named[volid] {
			if err := r.c.removeVolume(r.s, r.t.rec.Node, r.kind, volid); err != nil {
				return err
			}
		}
	}
	return nil
}

// overrides are the configuration keys that came with the request.
func (r *restore) overrides(cf *conf) error {
	for _, k := range sortedKeys(r.args) {
		if restoreOptions[k] || mountKey.MatchString(k) {
			continue
		}
		if err := setKey(cf, r.kind, k, r.args.Get(k)); err != nil {
			return err
		}
	}
	return nil
}

func (r *restore) bool(name string) bool {
	v, _ := parseBool(r.args.Get(name))
	return v
}

// reserve takes the id with a configuration that is locked, as the first thing
// of a restore, so that nobody else takes it.
func (c *Cluster) reserve(node, kind string, id int, force bool) error {
	title := kindTitle(kind)
	return c.locked(func() error {
		s, err := c.state()
		if err != nil {
			return err
		}
		g, err := c.find(s, id)
		if err != nil {
			return err
		}
		if g != nil && (!force || g.kind != kind || g.node != node) {
			if kind == "lxc" {
				return failf("CT %d already exists on node '%s'", id, g.node)
			}
			return failf("unable to restore VM %d - %s %d already exists on node '%s'", id, title, id, g.node)
		}
		if g == nil {
			g = &guest{id: id, kind: kind, node: node, conf: &conf{keys: map[string]string{}}}
		}
		if kind == "lxc" && g.st.Running {
			return failf("can't overwrite running container")
		}
		if err := g.lockError(); err != nil {
			return failf("%s", err)
		}
		g.conf.keys["lock"] = "create"
		return c.saveConf(g)
	})
}

// restoreRights checks who may bring a guest back, and to where.
func (c *Cluster) restoreRights(r *request, a archive, volid string) error {
	for _, k := range []string{"pool", "live-restore", "ha-managed"} {
		if v := r.get(k); v != "" && v != "0" {
			return notServed("POST", r.path+" with "+k)
		}
	}
	vm := "/vms/" + strconv.Itoa(r.vmid())
	if !r.user.has(vm, "VM.Allocate") && !(r.bool("force") && r.user.has(vm, "VM.Backup")) {
		return &refusal{status: 403, message: "Permission check failed"}
	}
	store := r.get("storage")
	if store == "" {
		store = "local"
	}
	if err := r.user.need("/storage/"+store, "Datastore.AllocateSpace"); err != nil {
		return err
	}
	from, _, _ := strings.Cut(volid, ":")
	if !c.mayRead(r.user, from, a) {
		return forbidden("/vms/"+strconv.Itoa(a.vmid), "VM.Backup")
	}
	for k := range r.params {
		if restoreOptions[k] || mountKey.MatchString(k) {
			continue
		}
		priv := "VM.Config.Options"
		if strings.HasPrefix(k, "net") {
			priv = "VM.Config.Network"
			if b := parseProps(r.get(k)).get("bridge"); b != "" {
				if err := r.user.need("/sdn/zones/localnetwork/"+b, "SDN.Use"); err != nil {
					return err
				}
			}
		} else if k == "memory" || k == "swap" {
			priv = "VM.Config.Memory"
		} else if k == "cores" || k == "cpu" || k == "cpulimit" {
			priv = "VM.Config.CPU"
		}
		if err := r.user.need(vm, priv); err != nil {
			return err
		}
	}
	return nil
}

// startAfter starts the guest when the request asked for it.
func (r *restore) startAfter() error {
	if !r.bool("start") {
		return nil
	}
	prefix := map[string]string{"qemu": "qmstart", "lxc": "vzstart"}[r.kind]
	_, err := r.c.start(r.t.rec.Node, prefix, strconv.Itoa(r.id), r.t.rec.User, nil)
	return err
}

// begin does the deeds that come before the work.
func (r *restore) begin(ctx context.Context) error {
	if f, ok := deed(r.due, "fail"); ok {
		return errors.New(f.Args)
	}
	return ctx.Err()
}
