package proxmox

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mrand "math/rand/v2"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/internal/format/vma"
)

const clusterSize = 65536

// source is one disk that goes into an archive.
type source struct {
	disk
	id   int // device in the archive
	path string
	size int64
}

func (c source) clusters() int64 { return (c.size + clusterSize - 1) / clusterSize }

// runVM backs up a VM in the mode that was asked for, or stop mode when it
// does not run.
func (d *dump) runVM(ctx context.Context, s *state) error {
	mode := d.mode()
	sources, lines, err := d.vmDisks(s)
	if err != nil {
		return err
	}
	head := []string{"backup mode: " + mode}
	if bw := d.bwlimit(); bw != "" && bw != "0" {
		head = append(head, "bandwidth limit: "+bw+" KiB/s")
	}
	head = append(head, "ionice priority: 7")
	names := append([]string{"VM Name: " + d.g.name()}, lines...)
	if mode == "snapshot" {
		head = append(names, head...)
	} else {
		head = append(head, names...)
	}
	if mode != "snapshot" && d.g.st.Running {
		head = append(head, map[string]string{"suspend": "suspending guest", "stop": "stopping virtual guest"}[mode])
	}
	if err := errors.Join(d.infos(head...), d.hook("backup-start")); err != nil {
		return err
	}
	head = nil
	if d.g.conf.keys["parent"] != "" {
		head = append(head, "snapshots found (not included into backup)")
	}
	head = append(head, "creating vzdump archive '"+d.shown()+"'")
	if len(sources) == 0 {
		return d.diskless(s, head)
	}
	if err := d.infos(append(head, d.vmStart(mode)...)...); err != nil {
		return err
	}
	return d.vmBody(ctx, s, mode, sources)
}

// diskless writes the configuration alone.
func (d *dump) diskless(s *state, head []string) error {
	stem := strings.TrimSuffix(d.shown(), d.extension())
	pipe := map[string]string{"zstd": "zstd --threads=1", "gzip": "gzip --rsyncable", "1": "gzip --rsyncable"}[d.opts.Get("compress")]
	to := stem + ".vma.dat"
	if pipe == "" {
		pipe, to = "cat", stem+".dat"
	}
	head = append(head, "backup contains no disks", "starting diskless backup",
		fmt.Sprintf("/usr/bin/vma create -v -c %s.tmp/qemu-server.conf exec:%s > %s", stem, pipe, to))
	if err := d.infos(head...); err != nil {
		return err
	}
	_, _, err := d.writeVMA(context.Background(), s, nil)
	return err
}

// mode is the backup mode that is really used.
func (d *dump) mode() string {
	mode := d.opts.Get("mode")
	if mode == "" {
		mode = "snapshot"
	}
	if !d.g.st.Running {
		mode = "stop"
	}
	return mode
}

// shown is the archive's path as the node knows it.
func (d *dump) shown() string {
	return strings.TrimPrefix(d.file, d.c.node(d.c.home(d.g.node, d.st), ""))
}

// vmStart is what the log says between the archive's name and the first bytes.
func (d *dump) vmStart(mode string) []string {
	uuid := d.uuid()
	started := fmt.Sprintf("started backup task '%x-%x-%x-%x-%x'", uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:])
	if !d.g.st.Running || mode == "stop" {
		lines := []string{"starting kvm to execute backup task", "starting backup via QMP command", started}
		if d.g.st.Running {
			lines = append(lines, "resuming VM again after 1 seconds")
		}
		return lines
	}
	resumed := "resuming VM again"
	if mode == "suspend" {
		resumed += " after 1 seconds"
	}
	switch d.g.agent() {
	case "up":
		return []string{"issuing guest-agent 'fs-freeze' command", "starting backup via QMP command",
			"issuing guest-agent 'fs-thaw' command", started, resumed}
	case "down":
		return []string{"skipping guest filesystem freeze - agent configured but not running?",
			"starting backup via QMP command", started, resumed}
	}
	return []string{"skipping guest filesystem freeze - disabled in VM options", "starting backup via QMP command", started, resumed}
}

// uuid is that of the archive. It is fixed by the task, so that a resumed one
// keeps it.
func (d *dump) uuid() [16]byte {
	var id [16]byte
	seed := fmt.Sprintf("%-32s", d.job.Base+d.t.rec.UPID)
	r := mrand.NewChaCha8([32]byte([]byte(seed)[:32]))
	for i := range id {
		id[i] = byte(r.Uint64())
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// vmDisks opens the list of disks that go into the archive, and the log lines
// about those and the others.
func (d *dump) vmDisks(s *state) (sources []source, lines []string, err error) {
	for _, v := range d.g.conf.disks() {
		if v.cdrom() {
			continue
		}
		path, err := d.c.image(s, d.g.node, "qemu", v.volid)
		if err != nil {
			return nil, nil, err
		}
		if v.key == "efidisk0" && d.g.conf.keys["bios"] != "ovmf" {
			lines = append(lines, fmt.Sprintf("exclude disk '%s' '%s' (efidisk but no OVMF BIOS)", v.key, v.volid))
			continue
		}
		if !v.backup() {
			lines = append(lines, fmt.Sprintf("exclude disk '%s' '%s' (backup=no)", v.key, v.volid))
			continue
		}
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("volume '%s' does not exist", v.volid)
		}
		if err != nil {
			return nil, nil, err
		}
		size := v.props.get("size")
		if size == "" {
			size = formatSize(info.Size())
		}
		lines = append(lines, fmt.Sprintf("include disk '%s' '%s' %s", v.key, v.volid, size))
		sources = append(sources, source{disk: v, path: path, size: info.Size()})
	}
	sort.Slice(sources, func(i, j int) bool { return sources[i].key < sources[j].key })
	for i := range sources {
		sources[i].id = i + 1
	}
	return sources, lines, nil
}

// vmBody writes the archive and the lines about it.
func (d *dump) vmBody(ctx context.Context, s *state, mode string, sources []source) error {
	began := d.c.cfg.Now()
	total, zero, err := d.writeVMA(ctx, s, sources)
	if err != nil {
		return err
	}
	took := d.c.cfg.Now().Sub(began).Truncate(time.Second)
	seconds := max(int64(took.Seconds()), 1)
	lines := []string{
		fmt.Sprintf("100%% (%s of %s) in %ds, read: %s/s, write: %s/s", bytes1(total), bytes1(total), int64(took.Seconds()),
			bytes1(total/seconds), bytes1((total-zero)/seconds)),
	}
	if zero > 0 {
		lines = append(lines, fmt.Sprintf("backup is sparse: %s (%d%%) total zero data", bytes2(zero), zero*100/max(total, 1)))
	}
	if took < time.Second {
		lines = append(lines, fmt.Sprintf("transferred %s in <1 seconds", bytes2(total)))
	} else {
		lines = append(lines, fmt.Sprintf("transferred %s in %d seconds (%s/s)", bytes2(total), seconds, bytes1(total/seconds)))
	}
	if !d.g.st.Running {
		lines = append(lines, "stopping kvm after backup task")
	}
	if mode == "suspend" {
		d.after = []string{"resume vm"}
	}
	return d.infos(lines...)
}

// writeVMA writes the archive under its temporary name and renames it. It
// returns the size of the disks and how much of that is zero.
func (d *dump) writeVMA(ctx context.Context, s *state, sources []source) (total, zero int64, err error) {
	header := vma.Header{UUID: d.uuid(), Created: d.job.Began.Truncate(time.Second)}
	header.Configs, err = d.vmConfigs(s, sources)
	if err != nil {
		return 0, 0, err
	}
	for _, src := range sources {
		header.Devices = append(header.Devices, vma.Device{ID: src.id, Name: "drive-" + src.key, Size: src.size})
		total += src.size
	}
	err = d.writeArchive(func(w io.Writer) error {
		vw, err := vma.NewWriter(w, header)
		if err != nil {
			return err
		}
		if zero, err = d.copyDisks(ctx, vw, sources, total); err != nil {
			return err
		}
		return vw.Close()
	})
	return total, zero, err
}

// vmConfigs are the files in the archive's header.
func (d *dump) vmConfigs(s *state, sources []source) ([]vma.Config, error) {
	cf := d.g.conf.clone()
	delete(cf.keys, "lock")
	delete(cf.keys, "parent")
	text := cf.text()
	for _, src := range sources {
		store, _, _ := strings.Cut(src.volid, ":")
		text += fmt.Sprintf("#qmdump#map:%s:drive-%s:%s:raw:\n", src.key, src.key, store)
	}
	configs := []vma.Config{{Name: "qemu-server.conf", Data: []byte(text)}}
	fw, err := os.ReadFile(d.c.firewallPath(s, d.g.id))
	if errors.Is(err, fs.ErrNotExist) {
		return configs, nil
	}
	return append(configs, vma.Config{Name: "qemu-server.fw", Data: fw}), err
}

// copyDisks writes the clusters of all disks mixed and out of order, as a
// backup of a running VM does.
func (d *dump) copyDisks(ctx context.Context, w *vma.Writer, sources []source, total int64) (zero int64, err error) {
	type cluster struct {
		src int
		n   int64
	}
	files := make([]*os.File, len(sources))
	defer func() {
		for _, f := range files {
			if f != nil {
				f.Close()
			}
		}
	}()
	var order []cluster
	for i, src := range sources {
		if files[i], err = os.Open(src.path); err != nil {
			return 0, err
		}
		for n := range src.clusters() {
			order = append(order, cluster{i, n})
		}
	}
	shuffle := mrand.New(mrand.NewPCG(uint64(d.g.id), uint64(total)))
	shuffle.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	sort.SliceStable(order, func(i, j int) bool { return order[i].n/32 < order[j].n/32 }) // waves
	buf := make([]byte, clusterSize)
	var done int64
	for _, k := range order {
		src := sources[k.src]
		part := buf[:min(clusterSize, src.size-k.n*clusterSize)]
		if _, err := files[k.src].ReadAt(part, k.n*clusterSize); err != nil {
			return 0, err
		}
		if err := w.WriteCluster(src.id, uint32(k.n), part); err != nil {
			return 0, err
		}
		zero += zeroBytes(part)
		done += int64(len(part))
		if err := d.progress(ctx, done, total); err != nil {
			return 0, err
		}
	}
	return zero, nil
}

// progress paces a slow backup, ends a full one, and logs each tenth of a slow
// one.
func (d *dump) progress(ctx context.Context, done, total int64) error {
	if _, ok := deed(d.job.Deeds, "full"); ok && done*2 >= total {
		return d.full()
	}
	before := d.pace.step
	if err := d.pace.at(ctx, done, total); err != nil {
		return d.interrupted()
	}
	if d.pace.step/4 == before/4 || d.pace.step == paceSteps || d.g.kind != "qemu" {
		return nil
	}
	s := d.pace.step * int(d.pace.total.Seconds()) / paceSteps
	return d.infos(fmt.Sprintf(" %2d%% (%s of %s) in %ds, read: %s/s, write: %s/s", done*100/total,
		bytes1(done), bytes1(total), s, bytes1(done/int64(max(s, 1))), bytes1(done/int64(max(s, 1)))))
}

// writeArchive runs write into the compressor that was asked for, first under
// the temporary name.
func (d *dump) writeArchive(write func(io.Writer) error) error {
	f, err := os.Create(d.tmp)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := compressor(f, d.opts.Get("compress"))
	if err != nil {
		return err
	}
	if err := write(w); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(d.tmp, d.file)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func compressor(w io.Writer, kind string) (io.WriteCloser, error) {
	switch kind {
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true), zstd.WithEncoderLevel(zstd.SpeedFastest))
	case "gzip", "1":
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	}
	return nopCloser{w}, nil
}

var zeroBlock [4096]byte

// zeroBytes counts the bytes in whole blocks of zeros.
func zeroBytes(b []byte) int64 {
	var n int64
	for len(b) > 0 {
		k := min(len(b), len(zeroBlock))
		if string(b[:k]) == string(zeroBlock[:k]) {
			n += int64(k)
		}
		b = b[k:]
	}
	return n
}

func bytes1(n int64) string { return renderBytes(n, 1) }
func bytes2(n int64) string { return renderBytes(n, 2) }

// renderBytes prints as PVE's render_bytes does.
func renderBytes(n int64, digits int) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.*f %s", digits, v, units[i])
}

// randomMAC is a new address with the prefix that PVE uses.
func randomMAC() string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("BC:24:11:%02X:%02X:%02X", b[0], b[1], b[2])
}
