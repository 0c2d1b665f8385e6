package proxmox

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// volume is one mount point of a container that goes into the archive.
type volume struct {
	disk
	tree string // where its files lie
}

// runCT backs up a container. A dir storage has no snapshots, so snapshot mode
// falls back to suspend mode.
func (d *dump) runCT(ctx context.Context, s *state) error {
	mode := d.mode()
	volumes, names, err := d.ctVolumes(s)
	if err != nil {
		return err
	}
	var head []string
	if mode == "snapshot" {
		head = append(head, names...)
		head = append(head, "mode failure - some volumes do not support snapshots", "trying 'suspend' mode instead")
		mode = "suspend"
	}
	head = append(head, "backup mode: "+mode)
	if bw := d.bwlimit(); bw != "" && bw != "0" {
		head = append(head, "bandwidth limit: "+bw+" KiB/s")
	}
	head = append(head, "ionice priority: 7")
	head = append(head, names...)
	if err := d.infos(head...); err != nil {
		return err
	}
	if mode == "suspend" {
		if err := d.ctSync(ctx, volumes); err != nil {
			return err
		}
		d.synced = true
	} else if d.g.st.Running {
		if err := d.infos("stopping virtual guest"); err != nil {
			return err
		}
	}
	if err := d.infos("creating vzdump archive '" + d.shown() + "'"); err != nil {
		return err
	}
	if err := d.ctBody(ctx, s, volumes); err != nil {
		return err
	}
	if mode == "stop" && d.g.st.Running {
		d.after = []string{"restarting vm", "guest is online again after 1 seconds"}
	}
	return nil
}

// ctVolumes lists what goes into the archive, and the log lines about that and
// the rest.
func (d *dump) ctVolumes(s *state) (volumes []volume, lines []string, err error) {
	lines = []string{"CT Name: " + d.g.name()}
	for _, v := range d.g.conf.disks() {
		if !v.backup() {
			kind, why := "volume", "disabled"
			if v.bind() {
				kind, why = "bind", "not a volume"
			}
			lines = append(lines, fmt.Sprintf("excluding %s mount point %s ('%s') from backup (%s)", kind, v.key, v.mount(), why))
			continue
		}
		tree, err := d.c.image(s, d.g.node, "lxc", v.volid)
		if err != nil {
			return nil, nil, err
		}
		if !exists(tree) {
			return nil, nil, fmt.Errorf("volume '%s' does not exist", v.volid)
		}
		volumes = append(volumes, volume{v, tree})
		lines = append(lines, fmt.Sprintf("including mount point %s ('%s') in backup", v.key, v.mount()))
	}
	return volumes, lines, nil
}

// ctSync is the copying of suspend mode. The lab's guests write nothing
// meanwhile, so the copy is not made; its time and its lines are.
func (d *dump) ctSync(ctx context.Context, volumes []volume) error {
	var size int64
	for _, v := range volumes {
		err := walk(v.tree, func(_ string, info fs.FileInfo) error {
			if info.Mode().IsRegular() {
				size += info.Size()
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	root := fmt.Sprintf("/proc/%d/root/", 900+d.g.id)
	to := strings.TrimSuffix(d.shown(), d.extension()) + ".tmp"
	if tmp := d.conf["tmpdir"]; tmp != "" {
		to = fmt.Sprintf("%s/vzdumptmp%d_%d/", tmp, d.t.rec.PID, d.g.id)
	}
	if err := d.infos("starting first sync " + root + " to " + to); err != nil {
		return err
	}
	d.syncing = true
	if err := d.progress(ctx, 1, 2); err != nil {
		return err
	}
	d.syncing = false
	return d.infos(
		fmt.Sprintf("first sync finished - transferred %s bytes in %ds", rsyncSize(size), int(d.c.cfg.Now().Sub(d.job.Began).Seconds())),
		"suspending guest",
		"starting final sync "+root+" to "+to,
		"final sync finished - transferred 0 bytes in 0s",
		"resuming guest",
		"guest is online again after <1 seconds")
}

func rsyncSize(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprint(n)
	case n < 1000*1000:
		return fmt.Sprintf("%.2fK", float64(n)/1000)
	}
	return fmt.Sprintf("%.2fM", float64(n)/1000/1000)
}

// ctBody writes the archive and its line.
func (d *dump) ctBody(ctx context.Context, s *state, volumes []volume) error {
	began := d.c.cfg.Now()
	count := &counter{}
	err := d.writeArchive(func(w io.Writer) error {
		count.w = w
		return d.writeTar(ctx, s, count, volumes)
	})
	if err != nil {
		return err
	}
	took := max(d.c.cfg.Now().Sub(began).Seconds(), 0.01)
	return d.infos(fmt.Sprintf("Total bytes written: %d (%s, %s/s)", count.n, tarSize(count.n), tarSize(int64(float64(count.n)/took))))
}

func tarSize(n int64) string {
	return strings.ReplaceAll(renderBytes(n, 1), " ", "")
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// tarDump is one tar stream being written as GNU tar does for a container.
type tarDump struct {
	d     *dump
	out   io.Writer
	tw    *tar.Writer
	links map[uint64]string // inode -> name in the archive
	files int64
	total int64
	again bool // the tree holds vzdump's own files, too: suspend mode copied it beside them

	patterns []string // of exclude-path
}

// writeTar writes the configuration first, then the trees, and pads the end to
// 10 KiB as GNU tar does.
func (d *dump) writeTar(ctx context.Context, s *state, out *counter, volumes []volume) error {
	t := &tarDump{d: d, out: out, tw: tar.NewWriter(out), links: map[uint64]string{}, again: d.synced, patterns: d.excludePaths()}
	cf := d.g.conf.clone()
	delete(cf.keys, "lock")
	delete(cf.keys, "parent")
	if err := t.meta("./etc/vzdump/pct.conf", []byte(cf.text())); err != nil {
		return err
	}
	fw, err := os.ReadFile(d.c.firewallPath(s, d.g.id)) // an empty one where there is none
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := t.meta("./etc/vzdump/pct.fw", fw); err != nil {
		return err
	}
	for _, v := range volumes {
		if err := walk(v.tree, func(string, fs.FileInfo) error { t.total++; return nil }); err != nil {
			return err
		}
	}
	for _, v := range volumes {
		owners, err := readOwners(v.tree)
		if err != nil {
			return err
		}
		t.again = t.again && v.key == "rootfs"
		err = walk(v.tree, func(rel string, info fs.FileInfo) error { return t.add(ctx, v, rel, info, owners) })
		if err != nil {
			return err
		}
	}
	if err := t.tw.Close(); err != nil {
		return err
	}
	if rest := out.n % 10240; rest != 0 {
		_, err = out.Write(make([]byte, 10240-rest))
	}
	return err
}

// meta adds one of vzdump's own files.
func (t *tarDump) meta(name string, data []byte) error {
	owner := t.metaOwner()
	h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Uid: owner, Gid: owner, ModTime: t.d.job.Began.Truncate(time.Second),
		Format: tar.FormatPAX}
	h.AccessTime, h.ChangeTime = h.ModTime, h.ModTime
	if err := t.tw.WriteHeader(h); err != nil {
		return err
	}
	_, err := t.tw.Write(data)
	return err
}

// twice names vzdump's own files a second time, as tar does that meets them in the tree
// again: hard links to themselves.
func (t *tarDump) twice() error {
	at := t.d.job.Began.Truncate(time.Second)
	owner := t.metaOwner()
	dir := &tar.Header{Name: "./etc/vzdump/", Typeflag: tar.TypeDir, Mode: 0o755, Uid: owner, Gid: owner, ModTime: at, Format: tar.FormatPAX}
	if err := t.tw.WriteHeader(dir); err != nil {
		return err
	}
	for _, name := range []string{"./etc/vzdump/pct.fw", "./etc/vzdump/pct.conf"} {
		h := &tar.Header{Name: name, Linkname: name, Typeflag: tar.TypeLink, Mode: 0o644, Uid: owner, Gid: owner, ModTime: at,
			Format: tar.FormatPAX}
		if err := t.tw.WriteHeader(h); err != nil {
			return err
		}
	}
	return nil
}

// metaOwner owns vzdump's own files: in an unprivileged container they belong to nobody.
func (t *tarDump) metaOwner() int {
	if t.d.g.conf.keys["unprivileged"] == "1" {
		return 65534
	}
	return 0
}

// excludePaths are the patterns of the request, or else those of the node.
func (d *dump) excludePaths() []string {
	if list := d.opts["exclude-path"]; len(list) > 0 {
		return list
	}
	return strings.FieldsFunc(d.conf["exclude-path"], func(r rune) bool { return r == ',' })
}

// leftOut says whether a pattern of exclude-path means a name: with a slash in front
// from the root on, else anywhere.
func (t *tarDump) leftOut(name string) bool {
	for _, p := range t.patterns {
		anchored, rooted := strings.CutPrefix(p, "/")
		at := name
		if !rooted {
			at = path.Base(name)
		}
		if ok, _ := path.Match(strings.TrimSuffix(anchored, "/"), at); ok {
			return true
		}
	}
	return false
}

// excluded are vzdump's standard excludes.
func excluded(name string) bool {
	for _, pattern := range []string{"tmp/*", "var/tmp/*", "var/run/*.pid"} {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return path.Base(name) == "lost+found"
}

func (t *tarDump) add(ctx context.Context, v volume, rel string, info fs.FileInfo, owners map[string][2]int) error {
	t.files++
	if err := t.d.progress(ctx, t.files, max(t.total, 1)); err != nil {
		return err
	}
	name := path.Join(strings.TrimPrefix(v.mount(), "/"), filepath.ToSlash(rel))
	if excluded(name) || t.leftOut(name) {
		if info.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	link := ""
	full := filepath.Join(v.tree, rel)
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if link, err = os.Readlink(full); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	owner := owners[filepath.ToSlash(rel)]
	h.Name, h.Uid, h.Gid, h.Uname, h.Gname = "./"+name, owner[0], owner[1], "", ""
	if name == "." || name == "" {
		h.Name = "./"
	} else if info.IsDir() {
		h.Name += "/"
	}
	h.Format = tar.FormatPAX // with atime and ctime, as GNU tar writes them with attributes
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Nlink > 1 && info.Mode().IsRegular() {
		if first := t.links[st.Ino]; first != "" {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			return t.tw.WriteHeader(h)
		}
		t.links[st.Ino] = h.Name
	}
	if !info.Mode().IsRegular() {
		if err := t.tw.WriteHeader(h); err != nil || !t.again || name != "etc" {
			return err
		}
		return t.twice()
	}
	return t.file(h, full, ok && st.Blocks*512 < info.Size())
}

// file adds a regular file; one with holes as GNU tar's --sparse does.
func (t *tarDump) file(h *tar.Header, full string, holes bool) error {
	f, err := os.Open(full)
	if err != nil {
		return err
	}
	defer f.Close()
	if holes {
		return t.sparse(h, f)
	}
	if err := t.tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t.tw, f)
	return err
}

// walk visits a tree in the order of its names, the root itself first. Special
// files are visited too.
func walk(root string, visit func(rel string, info fs.FileInfo) error) error {
	return filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		return visit(rel, info)
	})
}
