package proxmox

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// postCT restores a container from an archive. Making one from a template is
// not played.
func (c *Cluster) postCT(r *request) (any, error) {
	volid := r.get("ostemplate")
	if !r.bool("restore") {
		if g, err := c.find(r.s, r.vmid()); err == nil && g != nil {
			return nil, failf("CT %d already exists on node '%s'", g.id, g.node)
		}
		return nil, notServed("POST", r.path+" without restore")
	}
	a, err := c.archive(r.s, r.node(), volid)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := c.restoreRights(r, a, volid); err != nil {
		return nil, err
	}
	if err := c.reserve(r.node(), "lxc", r.vmid(), r.bool("force")); err != nil {
		return nil, err
	}
	return c.start(r.node(), "vzrestore", r.get("vmid"), r.user.name, r.params)
}

func (c *Cluster) runRestoreCT(ctx context.Context, t *task) error {
	r, err := c.newRestore(t, "lxc", t.rec.Args.Get("ostemplate"))
	if r == nil {
		return err
	}
	first := t.log("recovering backed-up configuration from '%s'", t.rec.Args.Get("ostemplate"))
	if err == nil {
		err = first
	}
	if err == nil {
		err = r.runCT(ctx)
	}
	if c.ctx.Err() != nil {
		return errAbandoned
	}
	if err == nil {
		return ending(r.due)
	}
	return errors.Join(r.undoCT(), fmt.Errorf("unable to restore CT %d - %w", r.id, err))
}

// undoCT removes the new configuration of a failed restore; one that was there
// before stays, unlocked.
func (r *restore) undoCT() error {
	g, err := r.c.at(r.s, r.t.rec.Node, "lxc", r.id)
	if err != nil {
		return err
	}
	if err := r.dropMade(); err != nil {
		return err
	}
	if len(g.conf.keys) > 1 {
		return r.c.dropLock(g, "create")
	}
	return removeFiles(r.c.confPath(g.node, "lxc", r.id))
}

func (r *restore) runCT(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	text, fw, err := tarConfig(r.a)
	if err != nil {
		if err := errors.Join(r.t.log("tar: This does not look like a tar archive"), r.t.log("zstd: /*stdin*\\: unsupported format "),
			r.t.log("tar: Child returned status 1"), r.t.log("tar: Error is not recoverable: exiting now")); err != nil {
			return err
		}
		return err
	}
	cf, err := parseConf(text)
	if err != nil {
		return err
	}
	if cf.keys["unprivileged"] != "1" && !r.rootUser() && !(&user{r.t.rec.User, r.s.Tokens[r.t.rec.User]}).has("/", "Sys.Modify") {
		return failf("403 Permission check failed (/, Sys.Modify)")
	}
	old, err := r.c.at(r.s, r.t.rec.Node, "lxc", r.id)
	if err != nil {
		return err
	}
	if err := r.clearLeftovers(old); err != nil {
		return err
	}
	mounts, err := r.makeDisks(cf)
	if err != nil {
		return err
	}
	total, err := r.unpack(ctx, mounts)
	if err != nil {
		return err
	}
	if err := errors.Join(
		r.t.log("Total bytes read: %d (%s, %s/s)", total, tarSize(total), tarSize(total*10)),
		r.t.log("merging backed-up and given configuration..")); err != nil {
		return err
	}
	return r.finishCT(old, cf, fw)
}

func (r *restore) rootUser() bool { return owner(r.t.rec.User) == "root@pam" }

// mount is a volume of the new container and where it belongs inside.
type mount struct {
	at   string // "/", "/data"
	tree string
}

// makeDisks makes the volumes of the new container: those of the backed-up
// configuration, or those that the request names ("rootfs=local:8").
func (r *restore) makeDisks(cf *conf) ([]mount, error) {
	given := false
	for k := range r.args {
		given = given || mountKey.MatchString(k)
	}
	if given {
		for _, d := range cf.disks() {
			delete(cf.keys, d.key)
		}
		for k := range r.args {
			if mountKey.MatchString(k) {
				cf.keys[k] = r.args.Get(k)
			}
		}
	}
	var mounts []mount
	for _, d := range cf.disks() {
		if d.bind() {
			if r.t.rec.User != "root@pam" {
				return nil, fmt.Errorf("restoring '%s' to bind mount is only possible for root", d.key)
			}
			continue
		}
		size, ok := parseSize(d.props.get("size"))
		if _, gib, found := strings.Cut(d.volid, ":"); given && found {
			size, ok = parseSize(gib + "G")
		}
		if !ok {
			return nil, fmt.Errorf("unable to detect disk size - please specify %s (size)", d.key)
		}
		tree, err := r.makeDisk(&d, size)
		if err != nil {
			return nil, err
		}
		cf.keys[d.key] = d.props.String()
		mounts = append(mounts, mount{d.mount(), tree})
	}
	if len(mounts) == 0 {
		return nil, errors.New("the archive's configuration has no rootfs")
	}
	return mounts, nil
}

func (r *restore) makeDisk(d *disk, size int64) (tree string, err error) {
	volid, file, err := r.newVolume()
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o640)
	if err != nil {
		return "", err
	}
	err = errors.Join(f.Truncate(size), f.Close())
	if err != nil {
		return "", err
	}
	if tree, err = r.c.image(r.s, r.t.rec.Node, "lxc", volid); err != nil {
		return "", err
	}
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return "", err
	}
	d.props.first = volid
	d.props.set("size", formatSize(size))
	return tree, errors.Join(
		r.t.log("Formatting '%s', fmt=raw size=%d preallocation=off", r.shownFile(file), size),
		r.t.log("Creating filesystem with %d 4k blocks and %d inodes", size/4096, size/16384),
		r.t.log("Filesystem UUID: %s", newUUID()),
		r.t.log("Superblock backups stored on blocks: "),
		r.t.log("\t32768, 98304, 163840, 229376"))
}

// unpack writes the archive's tree into the volumes.
func (r *restore) unpack(ctx context.Context, mounts []mount) (int64, error) {
	if err := errors.Join(r.t.log("restoring '%s' now..", r.a.volid), r.t.log("extracting archive '%s'", r.shownFile(r.a.path))); err != nil {
		return 0, err
	}
	in, read, closing, err := openArchive(r.a)
	if err != nil {
		return 0, err
	}
	defer closing()
	count := &counter{w: io.Discard}
	x := &untar{in: io.TeeReader(in, count), mounts: mounts, owners: map[string]map[string][2]int{}}
	step := func() error { return r.pace.at(ctx, read.n, r.a.size) }
	err = x.run(step)
	if err == nil {
		_, err = io.Copy(io.Discard, in) // as tar does: what is spoilt after the last file counts too
	}
	if err != nil {
		if ctx.Err() != nil {
			return 0, errors.New("interrupted by signal")
		}
		return 0, fmt.Errorf("command 'lxc-usernsexec -m u:0:100000:65536 -m g:0:100000:65536 -- tar xpf - --zstd --totals --one-file-system "+
			"-p --sparse --numeric-owner --acls --xattrs '--xattrs-include=user.*' '--xattrs-include=security.capability' "+
			"'--warning=no-file-ignored' '--warning=no-xattr-write' -C /var/lib/lxc/%d/rootfs --skip-old-files --anchored --exclude './dev/*'' "+
			"failed: exit code 2 (%w)", r.id, err)
	}
	if err := r.pace.at(ctx, 1, 1); err != nil {
		return 0, errors.New("interrupted by signal")
	}
	return count.n, nil
}

// finishCT writes configuration and firewall file.
func (r *restore) finishCT(old *guest, cf *conf, fw []byte) error {
	if err := r.c.removeDisks(r.s, old); err != nil {
		return err
	}
	delete(cf.keys, "lock")
	// "unique" prints the archive's cards again with new addresses, over
	// whatever the request gave.
	archived := cf.clone()
	if err := r.overrides(cf); err != nil {
		return err
	}
	if r.bool("unique") {
		for k, v := range archived.keys {
			if strings.HasPrefix(k, "net") {
				cf.keys[k] = newMAC("lxc", v)
			}
		}
	}
	if fw != nil {
		if err := writeFile(r.c.firewallPath(r.s, r.id), fw); err != nil {
			return err
		}
	}
	err := r.c.locked(func() error {
		return r.c.saveConf(&guest{id: r.id, kind: "lxc", node: r.t.rec.Node, conf: cf})
	})
	if err != nil {
		return err
	}
	return r.startAfter()
}

const maxMeta = 1 << 20

// tarConfig reads pct.conf and pct.fw from the start of an archive.
func tarConfig(a archive) (text string, fw []byte, err error) {
	none := failf("ERROR: archive contains no configuration file")
	in, _, closing, err := openArchive(a)
	if err != nil {
		return "", nil, none
	}
	defer closing()
	tr := tar.NewReader(in)
	for range 3 {
		h, err := tr.Next()
		if err != nil {
			break
		}
		name := filepath.ToSlash(filepath.Clean(h.Name))
		if name != "etc/vzdump/pct.conf" && name != "etc/vzdump/pct.fw" {
			break
		}
		data, err := io.ReadAll(io.LimitReader(tr, maxMeta))
		if err != nil {
			break
		}
		if strings.HasSuffix(name, ".conf") {
			text = string(data)
		} else {
			fw = data
		}
	}
	if text == "" {
		return "", nil, none
	}
	return text, fw, nil
}
