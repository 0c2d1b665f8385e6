package proxmox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/format/vma"
)

// postVM restores a VM from an archive. Making one from nothing is not played.
func (c *Cluster) postVM(r *request) (any, error) {
	volid := r.get("archive")
	if volid == "" {
		g, err := c.find(r.s, r.vmid())
		if err == nil && g != nil {
			return nil, failf("unable to create VM %d - %s already exists on node '%s'", g.id, g.title(), g.node)
		}
		return nil, notServed("POST", r.path+" without archive")
	}
	for k := range r.params {
		if diskKey.MatchString(k) {
			return nil, badParam(k, "option conflicts with option 'archive'")
		}
	}
	a, err := c.archive(r.s, r.node(), volid)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := c.restoreRights(r, a, volid); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, failf("volume '%s' does not exist", volid)
	}
	if err := c.reserve(r.node(), "qemu", r.vmid(), r.bool("force")); err != nil {
		return nil, err
	}
	return c.start(r.node(), "qmrestore", r.get("vmid"), r.user.name, r.params)
}

func (c *Cluster) runRestoreVM(ctx context.Context, t *task) error {
	r, err := c.newRestore(t, "qemu", t.rec.Args.Get("archive"))
	if r != nil && err == nil {
		err = r.runVM(ctx)
	}
	if c.ctx.Err() != nil {
		return errAbandoned
	}
	if r == nil {
		return err
	}
	if err == nil {
		return ending(r.due)
	}
	var e *exitError
	if errors.As(err, &e) {
		return err
	}
	g := &guest{id: r.id, kind: "qemu", node: t.rec.Node}
	if err := errors.Join(r.dropMade(), c.dropLock(g, "create"),
		t.log("error before or during data restore, some or all disks were not completely restored. VM %d state is NOT cleaned up.",
			r.id)); err != nil {
		return err
	}
	return err
}

// vmaCommand is how PVE names its pipe in log and error.
func (r *restore) vmaCommand() string {
	tmp := fmt.Sprintf("/var/tmp/vzdumptmp%d", r.t.rec.PID)
	file := r.shownFile(r.a.path)
	unpack := map[string]string{".zst": "zstd -q -d -c " + file + " | ", ".vma.gz": "zcat " + file + " | "}
	for ext, cmd := range unpack {
		if strings.HasSuffix(file, ext) {
			return fmt.Sprintf("%svma extract -v -r %s.fifo - %s", cmd, tmp, tmp)
		}
	}
	return fmt.Sprintf("vma extract -v -r %s.fifo %s %s", tmp, file, tmp)
}

func (r *restore) runVM(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	old, err := r.c.at(r.s, r.t.rec.Node, "qemu", r.id)
	if err != nil {
		return err
	}
	if old.st.Running {
		return fmt.Errorf("unable to restore VM %d - vm is running", r.id)
	}
	if err := r.clearLeftovers(old); err != nil {
		return err
	}
	in, read, closing, err := openArchive(r.a)
	if err != nil {
		return err
	}
	defer closing()
	vr, err := vma.NewReader(in)
	if err != nil {
		file := r.shownFile(r.a.path)
		if err := errors.Join(
			r.t.log("Could not extract backed up config: Failed to extract config from VMA archive: zstd: %s: unknown header ", file),
			r.t.log(""), r.t.log(""), r.t.log("Skipping early checks!"),
			r.t.log("restore vma archive: %s", r.vmaCommand())); err != nil {
			return err
		}
		return fmt.Errorf("command 'set -o pipefail && %s' failed: got timeout reading VMA header - corrupted?", r.vmaCommand())
	}
	volumes, err := r.extract(ctx, vr, read)
	if err != nil {
		return err
	}
	if err := r.finishVM(old, vr.Header(), volumes); err != nil {
		return err
	}
	return r.startAfter()
}

// extract writes all disks and returns their volume ids by device name.
func (r *restore) extract(ctx context.Context, vr *vma.Reader, read *counter) (map[string]string, error) {
	h := vr.Header()
	lines := []string{"restore vma archive: " + r.vmaCommand()}
	for _, cf := range h.Configs {
		lines = append(lines, fmt.Sprintf("CFG: size: %d name: %s", len(cf.Data), cf.Name))
	}
	total := int64(0)
	for _, d := range h.Devices {
		lines = append(lines, fmt.Sprintf("DEV: dev_id=%d size: %d devname: %s", d.ID, d.Size, d.Name))
		total += d.Size
	}
	lines = append(lines, "CTIME: "+h.Created.In(r.c.zone).Format(time.ANSIC))
	volumes, files := map[string]string{}, map[int]*sink{}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	var maps []string
	p := &restoreProgress{r: r, ctx: ctx, read: read, total: total}
	for _, d := range h.Devices {
		volid, path, err := r.newVolume()
		if err != nil {
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o640)
		if err != nil {
			return nil, err
		}
		files[d.ID] = &sink{File: f, p: p}
		if err := f.Truncate(d.Size); err != nil {
			return nil, err
		}
		volumes[d.Name] = volid
		lines = append(lines, fmt.Sprintf("Formatting '%s', fmt=raw size=%d preallocation=off", r.shownFile(path), d.Size),
			fmt.Sprintf("new volume ID is '%s'", volid))
		maps = append(maps, fmt.Sprintf("map '%s' to '%s' (write zeros = 0)", d.Name, r.shownFile(path)))
	}
	for _, line := range append(lines, maps...) {
		if err := r.t.log("%s", line); err != nil {
			return nil, err
		}
	}
	err := vr.Extract(ctx, func(d vma.Device) (io.WriterAt, error) { return files[d.ID], nil })
	if err != nil && ctx.Err() != nil {
		return nil, errors.New("interrupted by signal")
	}
	if err != nil {
		return nil, fmt.Errorf("command 'set -o pipefail && %s' failed: ** (process:%d): ERROR: restore failed - %w", r.vmaCommand(),
			r.t.rec.PID+2, err)
	}
	return volumes, p.end()
}

// sink is one disk being written.
type sink struct {
	*os.File
	p *restoreProgress
}

func (s *sink) WriteAt(b []byte, off int64) (int, error) {
	n, err := s.File.WriteAt(b, off)
	s.p.written += int64(n)
	if err == nil {
		err = s.p.step()
	}
	return n, err
}

// restoreProgress logs each percent, as vma -v does.
type restoreProgress struct {
	r       *restore
	ctx     context.Context
	read    *counter
	total   int64
	written int64
	percent int64
}

func (p *restoreProgress) step() error {
	now := p.read.n * 100 / max(p.r.a.size, 1)
	return p.upTo(min(now, 99))
}

func (p *restoreProgress) upTo(now int64) error {
	for p.percent < now {
		p.percent++
		if err := p.r.pace.at(p.ctx, p.percent, 100); err != nil {
			return err
		}
		if err := p.r.t.log("progress %d%% (read %d bytes, duration 0 sec)", p.percent, p.total*p.percent/100); err != nil {
			return err
		}
	}
	return nil
}

func (p *restoreProgress) end() error {
	if err := p.upTo(100); err != nil {
		return errors.New("interrupted by signal")
	}
	sparse := p.total - p.written
	if p.total == 0 {
		return p.r.t.log("vma archive contains no image data")
	}
	return errors.Join(
		p.r.t.log("total bytes read %d, sparse bytes %d (%.3g%%)", p.total, sparse, float64(sparse)*100/float64(max(p.total, 1))),
		p.r.t.log("space reduction due to 4K zero blocks 0%%"))
}

// finishVM writes the configuration, after the old disks are gone.
func (r *restore) finishVM(old *guest, h vma.Header, volumes map[string]string) error {
	if err := r.c.removeDisks(r.s, old); err != nil {
		return err
	}
	cf := &conf{keys: map[string]string{}}
	for _, file := range h.Configs {
		switch file.Name {
		case "qemu-server.conf":
			var err error
			if cf, err = r.mergeVM(string(file.Data), volumes); err != nil {
				return err
			}
		case "qemu-server.fw":
			if err := writeFile(r.c.firewallPath(r.s, r.id), file.Data); err != nil {
				return err
			}
		}
	}
	if err := r.overrides(cf); err != nil {
		return err
	}
	err := r.c.locked(func() error {
		return r.c.saveConf(&guest{id: r.id, kind: "qemu", node: r.t.rec.Node, conf: cf})
	})
	return errors.Join(err, r.t.log("rescan volumes..."))
}

// mergeVM turns the archive's configuration into that of the new guest, line
// by line as qmrestore does.
func (r *restore) mergeVM(text string, volumes map[string]string) (*conf, error) {
	devices := map[string]string{} // scsi0 -> drive-scsi0
	var plain []string
	for _, line := range strings.Split(text, "\n") {
		if m, ok := strings.CutPrefix(line, "#qmdump#map:"); ok {
			if f := strings.Split(m, ":"); len(f) >= 2 {
				devices[f[0]] = f[1]
			}
		} else {
			plain = append(plain, line)
		}
	}
	cf, err := parseConf(strings.Join(plain, "\n"))
	if err != nil {
		return nil, err
	}
	for _, k := range []string{"lock", "parent"} {
		delete(cf.keys, k)
	}
	for _, d := range cf.disks() {
		volid := volumes[devices[d.key]]
		switch {
		case d.props.get("backup") == "0":
			cf.comments = append(cf.comments, d.key+": "+cf.keys[d.key])
			delete(cf.keys, d.key)
		case volid != "":
			d.props.first = volid
			cf.keys[d.key] = d.props.String()
		}
	}
	for k, v := range cf.keys {
		switch {
		case k == "vmgenid":
			cf.keys[k] = newUUID()
		case r.bool("unique") && strings.HasPrefix(k, "net"):
			cf.keys[k] = newMAC("qemu", v)
		case r.bool("unique") && k == "smbios1":
			p := parseProps(v)
			p.set("uuid", newUUID())
			cf.keys[k] = p.String()
		}
	}
	return cf, nil
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
