package proxmox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
)

// dumpJob is the state of a vzdump task: what a later process needs to go on.
type dumpJob struct {
	Begun  bool  `json:"begun"` // the job's first line is written
	VMIDs  []int `json:"vmids"`
	Guest  int   `json:"guest"`  // index of the guest at hand
	Failed bool  `json:"failed"` // some guest failed

	// Of the guest at hand; Section says that the rest is set.
	Section bool         `json:"section"`
	Lines   int          `json:"lines"` // of the log when its section began
	Base    string       `json:"base"`  // name of the archive without its endings
	Began   time.Time    `json:"began"`
	Deeds   []fault.Deed `json:"deeds,omitempty"`
	Ending  []fault.Deed `json:"ending,omitempty"` // of any guest, for the end of the task
}

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
}

func (c *Cluster) runVzdump(ctx context.Context, t *task) error {
	job := &dumpJob{}
	if _, err := t.recall(job); err != nil {
		return err
	}
	s, err := c.state()
	if err != nil {
		return err
	}
	st, err := c.dumpStorage(s, t.rec.Args)
	if err != nil {
		return err
	}
	release, err := c.dumpLock(ctx, t)
	if err != nil {
		return err
	}
	defer release()
	if !job.Begun {
		if err := c.beginJob(t, job, s); err != nil {
			return err
		}
	}
	for ; job.Guest < len(job.VMIDs); job.Guest++ {
		if err := c.dumpGuest(ctx, t, job, st); err != nil {
			return err
		}
		job.Section = false
		if ctx.Err() != nil {
			job.Guest = len(job.VMIDs) - 1 // stopped: the others are not begun
		}
	}
	if err := c.endJob(t, job); err != nil {
		return err
	}
	return ending(job.Ending)
}

// beginJob chooses the guests and writes the first lines.
func (c *Cluster) beginJob(t *task, job *dumpJob, s *state) error {
	ids, external, err := c.selectGuests(s, t.rec.Node, t.rec.Args)
	if err != nil {
		return err
	}
	job.VMIDs = ids
	if err := t.log("INFO: starting new backup job: %s", commandLine(t.rec.Args, t.rec.Node)); err != nil {
		return err
	}
	if len(external) > 0 {
		if err := t.log("INFO: skip external VMs: %s", strings.Join(external, ", ")); err != nil {
			return err
		}
	}
	job.Begun = true
	return t.keep(job)
}

func (c *Cluster) endJob(t *task, job *dumpJob) error {
	if job.Failed {
		if err := t.log("INFO: Backup job finished with errors"); err != nil {
			return err
		}
		return errors.New("job errors")
	}
	return t.log("INFO: Backup job finished successfully")
}

// dumpStorage finds the storage of a job before it begins.
func (c *Cluster) dumpStorage(s *state, args url.Values) (*Storage, error) {
	id := args.Get("storage")
	if id == "" {
		id = "local"
	}
	st, err := c.storage(s, id)
	if err == nil {
		return st, nil
	}
	text := fmt.Sprintf("could not activate storage '%s': %s", id, err)
	if s.Storages[id] == nil {
		text += fmt.Sprintf(" could not get storage information for '%s': %s", id, err)
	}
	return nil, errors.New(text)
}

// dumpLock takes the node's lock: one vzdump at a time.
func (c *Cluster) dumpLock(ctx context.Context, t *task) (func(), error) {
	c.taskMu.Lock()
	lock := c.dumps[t.rec.Node]
	if lock == nil {
		lock = make(chan struct{}, 1)
		c.dumps[t.rec.Node] = lock
	}
	c.taskMu.Unlock()
	release := func() { <-lock }
	select {
	case lock <- struct{}{}:
		return release, nil
	default:
	}
	if err := t.log("INFO: trying to get global lock - waiting..."); err != nil {
		return nil, err
	}
	select {
	case lock <- struct{}{}:
		if err := t.log("INFO: got global lock"); err != nil {
			release()
			return nil, err
		}
		return release, nil
	case <-ctx.Done():
		return nil, errors.New("interrupted by signal")
	}
}

// selectGuests finds the guests of a job that are on the node, and those of
// its list that are elsewhere. An unknown id counts as here: it fails there.
func (c *Cluster) selectGuests(s *state, node string, args url.Values) (here []int, external []string, err error) {
	guests, err := c.guests(s)
	if err != nil {
		return nil, nil, err
	}
	where := map[int]string{}
	var ids []int
	for _, g := range guests {
		where[g.id] = g.node
		if args.Get("all") == "1" {
			ids = append(ids, g.id)
		}
	}
	for _, v := range splitList(args.Get("vmid")) {
		id, _ := strconv.Atoi(v)
		ids = append(ids, id)
	}
	if pool := args.Get("pool"); pool != "" {
		ids = append(ids, s.Pools[pool]...)
	}
	skip := map[int]bool{}
	for _, v := range splitList(args.Get("exclude")) {
		id, _ := strconv.Atoi(v)
		skip[id] = true
	}
	sort.Ints(ids)
	for _, id := range ids {
		if skip[id] {
			continue
		}
		skip[id] = true
		if n := where[id]; n != "" && n != node {
			external = append(external, strconv.Itoa(id))
		} else {
			here = append(here, id)
		}
	}
	return here, external, nil
}

// commandLine prints the job as the log does: the ids, then the options in an
// order that changes with every call.
func commandLine(args url.Values, node string) string {
	parts := []string{"vzdump"}
	parts = append(parts, splitList(args.Get("vmid"))...)
	var keys []string
	for key := range args {
		if key != "vmid" {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	keys = append(keys, "node")
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for _, key := range keys {
		value := args.Get(key)
		if key == "node" {
			value = node
		}
		parts = append(parts, "--"+key, shellQuote(value))
	}
	return strings.Join(parts, " ")
}

func shellQuote(s string) string {
	for _, r := range s {
		if !strings.ContainsRune("!%+,-./:@^_", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
	}
	if s == "" {
		return "''"
	}
	return s
}

// dumpGuest backs up one guest. Its failure is noted in the job; an error is
// one of the task.
func (c *Cluster) dumpGuest(ctx context.Context, t *task, job *dumpJob, st *Storage) error {
	id := job.VMIDs[job.Guest]
	d := &dump{c: c, t: t, job: job, st: st, opts: t.rec.Args, resumed: job.Section}
	if err := c.beginSection(t, job, st, id); err != nil {
		return err
	}
	var err error
	if d.pace, err = c.newPace(job.Deeds, job.Began); err != nil {
		return err
	}
	err = d.run(ctx, id)
	if c.ctx.Err() != nil {
		return errAbandoned
	}
	if err != nil {
		job.Failed = true
		if err := errors.Join(d.giveUp(),
			t.log("ERROR: Backup of VM %d failed - %s", id, err),
			t.log("INFO: Failed at %s", c.local(c.cfg.Now()))); err != nil {
			return err
		}
	}
	t.skip = 0
	return nil
}

// beginSection fixes the archive's name, the time and the faults of one guest
// before anything is done, or finds them from before the process died.
func (c *Cluster) beginSection(t *task, job *dumpJob, st *Storage, id int) error {
	lines, err := t.lines()
	if err != nil {
		return err
	}
	if job.Section {
		t.skip = len(lines) - job.Lines
		return nil
	}
	due, err := c.cfg.Faults.Due(event("vzdump", id), workDeeds...)
	if err != nil {
		return err
	}
	s, err := c.state()
	if err != nil {
		return err
	}
	kind := "qemu"
	if g, err := c.find(s, id); err != nil {
		return err
	} else if g != nil {
		kind = g.kind
	}
	job.Section, job.Lines, job.Began, job.Deeds = true, len(lines), c.cfg.Now(), due
	job.Base = c.freeName(t.rec.Node, st, kind, id, job.Began)
	for _, d := range due {
		if d.Name == "exit" || d.Name == "warnings" {
			job.Ending = append(job.Ending, d)
		}
	}
	return t.keep(job)
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
	return d.complete(s)
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
	list, err := d.c.archives(d.t.rec.Node, d.storageID(), d.st)
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
		return fmt.Errorf("There is a max backup limit of %d enforced by the target storage or the vzdump parameters. Either increase the limit or delete old backups.", max)
	}
	return nil
}

func (d *dump) storageID() string {
	if id := d.opts.Get("storage"); id != "" {
		return id
	}
	return "local"
}

func (d *dump) retention() string {
	if v := d.opts.Get("prune-backups"); v != "" {
		return v
	}
	return d.st.Prune
}

// complete does what follows the archive: size, notes, protection, retention,
// the archive's own log; and it gives the lock back.
func (d *dump) complete(s *state) error {
	info, err := os.Stat(d.file)
	if err != nil {
		return err
	}
	if err := d.infos("archive file size: " + fileSize(info.Size())); err != nil {
		return err
	}
	if tpl := d.opts.Get("notes-template"); tpl != "" {
		if err := d.infos("adding notes to backup"); err != nil {
			return err
		}
		if err := writeFile(d.file+".notes", []byte(d.notes(s, tpl))); err != nil {
			return err
		}
	}
	if v, _ := parseBool(d.opts.Get("protected")); v {
		if err := d.infos("marking backup as protected"); err != nil {
			return err
		}
		if err := writeFile(d.file+".protected", nil); err != nil {
			return err
		}
	}
	if err := errors.Join(d.prune(), d.infos(d.after...)); err != nil {
		return err
	}
	if err := d.c.dropLock(d.g, "backup"); err != nil {
		return err
	}
	now := d.c.cfg.Now()
	took := now.Sub(d.job.Began).Truncate(time.Second)
	if err := d.infos(
		fmt.Sprintf("Finished Backup of VM %d (%02d:%02d:%02d)", d.g.id, int(took.Hours()), int(took.Minutes())%60, int(took.Seconds())%60),
		"!Backup finished at "+d.c.local(now)); err != nil {
		return err
	}
	if err := os.WriteFile(d.file[:len(d.file)-len(d.extension())]+".log", []byte(strings.Join(d.logged, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	return spoil(d.file, d.job.Deeds)
}

// notes fills a template in: two escapes, four variables.
func (d *dump) notes(s *state, tpl string) string {
	cluster := s.Name
	if cluster == "" {
		cluster = "standalone node"
	}
	tpl = strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(tpl)
	return strings.NewReplacer("{{cluster}}", cluster, "{{guestname}}", d.g.name(),
		"{{node}}", d.g.node, "{{vmid}}", strconv.Itoa(d.g.id)).Replace(tpl)
}

// prune removes older backups of the guest after its new one.
func (d *dump) prune() error {
	keep, err := parseKeep(d.retention())
	if err != nil {
		return err
	}
	if d.opts.Get("remove") == "0" || keep.all() {
		return nil
	}
	if err := d.infos("prune older backups with retention: " + keep.String()); err != nil {
		return err
	}
	list, err := d.c.archives(d.t.rec.Node, d.storageID(), d.st)
	if err != nil {
		return err
	}
	removed := 0
	for _, m := range mark(list, keep, d.c.zone, d.g.id, d.g.kind) {
		if m.mark != "remove" {
			continue
		}
		removed++
		if err := d.infos(fmt.Sprintf("removing backup '%s'", m.volid)); err != nil {
			return err
		}
		if err := m.remove(); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("pruned %d backup(s)", removed)
	if removed > 0 {
		text += " not covered by keep-retention policy"
	}
	return d.infos(text)
}

// giveUp cleans up after a failed backup.
func (d *dump) giveUp() error {
	d.t.skip = 0
	if d.g == nil {
		return nil
	}
	var errs []error
	for _, path := range []string{d.tmp, d.file} {
		if path != "" && exists(path) {
			errs = append(errs, os.Remove(path))
		}
	}
	if d.locked {
		errs = append(errs, d.c.dropLock(d.g, "backup"))
	}
	return errors.Join(errs...)
}

func fileSize(n int64) string {
	switch kb := n / 1024; {
	case kb < 1024:
		return strconv.FormatInt(kb, 10) + "KB"
	case kb < 1<<20:
		return strconv.FormatInt(kb>>10, 10) + "MB"
	default:
		return fmt.Sprintf("%.2fGB", float64(n)/(1<<30))
	}
}
