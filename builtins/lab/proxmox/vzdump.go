package proxmox

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// dump is one guest being backed up.
type dump struct {
	c      *Cluster
	t      *task
	job    *dumpJob
	g      *guest
	st     *Storage
	opts   url.Values
	file   string // the finished archive
	tmp    string // while it is written
	logged []string
	after  []string // lines before the last one
	pace   *pace

	resumed bool // an earlier process began with this guest
	locked  bool // the guest's lock is ours
	syncing bool // suspend mode copies
	synced  bool // suspend mode copied
	made    bool // the archive is complete

	conf map[string]string // the node's /etc/vzdump.conf
}

// freeName is the archive's name without endings. Two backups of one guest in
// one second would have one name; the later one takes the next second.
func (c *Cluster) freeName(node string, st *Storage, kind string, id int, at time.Time) string {
	for {
		base := fmt.Sprintf("vzdump-%s-%d-%s", kind, id, at.In(c.zone).Format(archiveTime))
		old, err := filepath.Glob(filepath.Join(c.node(c.home(node, st), st.Path), "dump", base+".*"))
		if err != nil || len(old) == 0 {
			return base
		}
		at = at.Add(time.Second)
	}
}

func (c *Cluster) local(t time.Time) string { return t.In(c.zone).Format("2006-01-02 15:04:05") }

// run does the work for one guest; its error is why the guest failed.
func (d *dump) run(ctx context.Context, id int) error {
	s, err := d.c.state()
	if err != nil {
		return err
	}
	if d.conf, err = d.c.vzdumpConf(d.t.rec.Node); err != nil {
		return err
	}
	if err := d.limit(id); err != nil {
		return err
	}
	if d.g, err = d.c.find(s, id); err != nil {
		return err
	}
	if d.g == nil || d.g.node != d.t.rec.Node {
		g := d.g
		d.g = nil
		if g != nil {
			return failf("Configuration file 'nodes/%s/%s/%d.conf' does not exist", d.t.rec.Node, confDir(g.kind), id)
		}
		return fmt.Errorf("unable to find VM '%d'", id)
	}
	if f, ok := deed(d.job.Deeds, "full"); ok && f.Args == "wholly" && d.g.kind == "lxc" {
		d.g = nil
		return failf("unable to create temporary directory '%s/dump/%s.tmp' at /usr/share/perl5/PVE/VZDump.pm line 1048.", d.st.Path, d.job.Base)
	}
	dir := d.c.node(d.c.home(d.g.node, d.st), filepath.Join(d.st.Path, "dump"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	d.file = filepath.Join(dir, d.job.Base+d.extension())
	d.tmp = strings.TrimSuffix(d.file, filepath.Ext(d.file)) + ".dat"
	if err := d.open(); err != nil {
		return err
	}
	if f, ok := deed(d.job.Deeds, "fail"); ok {
		return errors.New(f.Args)
	}
	if d.opts.Get("compress") == "lzo" {
		return errors.New("the lab has no lzo: choose zstd, gzip or 0")
	}
	if d.g.kind == "qemu" {
		err = d.runVM(ctx, s)
	} else {
		err = d.runCT(ctx, s)
	}
	if err != nil {
		return err
	}
	if f, ok := deed(d.job.Deeds, "say"); ok {
		if err := d.t.log("%s", f.Args); err != nil {
			return err
		}
	}
	return d.complete(s)
}

// bwlimit is that of the request, or else the node's.
func (d *dump) bwlimit() string {
	if v := d.opts.Get("bwlimit"); v != "" {
		return v
	}
	return d.conf["bwlimit"]
}

func (d *dump) extension() string {
	ext := map[string]string{"qemu": ".vma", "lxc": ".tar"}[d.g.kind]
	switch d.opts.Get("compress") {
	case "zstd":
		ext += ".zst"
	case "gzip", "1":
		ext += ".gz"
	case "lzo":
		ext += ".lzo"
	}
	return ext
}

// open writes the first lines of the guest and takes its lock.
func (d *dump) open() error {
	status := "stopped"
	if d.g.st.Running {
		status = "running"
	}
	if err := d.infos(
		fmt.Sprintf("Starting Backup of VM %d (%s)", d.g.id, d.g.kind),
		"!Backup started at "+d.c.local(d.job.Began),
		"status = "+status); err != nil {
		return err
	}
	if f, ok := deed(d.job.Deeds, "lock"); ok {
		if f.Args == "" {
			f.Args = "snapshot"
		}
		return fmt.Errorf("%s is locked (%s)", kindTitle(d.g.kind), f.Args)
	}
	if d.resumed && d.g.lock == "backup" {
		d.locked = true // ours, from before the process died
		return nil
	}
	err := d.c.setLock(d.g, "backup")
	d.locked = err == nil
	return err
}

// infos logs lines for the task and the archive's own log; those with a "!"
// before are for the task alone.
func (d *dump) infos(lines ...string) error {
	for _, line := range lines {
		text, taskOnly := strings.CutPrefix(line, "!")
		if !taskOnly {
			d.logged = append(d.logged, d.c.local(d.c.cfg.Now())+" INFO: "+text)
		}
		if err := d.t.log("INFO: %s", text); err != nil {
			return err
		}
	}
	return nil
}

// limit refuses a backup beyond the storage's retention when nothing may be
// removed.
func (d *dump) limit(id int) error {
	keep, err := parseKeep(d.retention())
	if err != nil {
		return err
	}
	if d.opts.Get("remove") != "0" || keep.all() {
		return nil
	}
	list, err := d.c.archives(d.t.rec.Node, storageOf(d.opts), d.st)
	if err != nil {
		return err
	}
	have := 0
	for _, a := range list {
		if a.vmid == id && !a.protected {
			have++
		}
	}
	if max := keep.sum(); have >= max {
		return failf("There is a max backup limit of %d enforced by the target storage or the vzdump parameters. Either increase the limit or "+
			"delete old backups.", max)
	}
	return nil
}

func (d *dump) retention() string {
	if v := d.opts.Get("prune-backups"); v != "" {
		return v
	}
	return d.st.Prune
}
