package proxmox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
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
		if err := c.hook(t, "job-init"); err != nil {
			return err
		}
		if err := c.beginJob(t, job, s); err != nil {
			return err
		}
		if err := c.hook(t, "job-start"); err != nil {
			return c.abort(t, err)
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
	u := &user{t.rec.User, s.Tokens[t.rec.User]}
	if t.rec.Args.Get("all") == "1" { // those without the right are left out without a word
		ids = slices.DeleteFunc(ids, func(id int) bool { return !u.mayBackup(id) })
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
	for _, id := range ids {
		if !u.mayBackup(id) {
			return fmt.Errorf("403 Permission check failed (/vms/%d, VM.Backup)", id)
		}
	}
	job.Begun = true
	return t.keep(job)
}

// mayBackup is the right that vzdump looks for in its task. A user that the state does
// not know is the one of the lab's own tests.
func (u *user) mayBackup(id int) bool {
	return u.token == nil || u.has("/vms/"+strconv.Itoa(id), "VM.Backup")
}

func (c *Cluster) endJob(t *task, job *dumpJob) error {
	if err := c.hook(t, "job-end"); err != nil {
		return c.abort(t, err)
	}
	last := "INFO: Backup job finished successfully"
	if job.Failed {
		last = "INFO: Backup job finished with errors"
	}
	lines, err := t.lines()
	if err != nil {
		return err
	}
	if len(lines) == 0 || lines[len(lines)-1] != last { // it stands there when the process died right after it
		if err := t.log("%s", last); err != nil {
			return err
		}
	}
	if job.Failed {
		return errors.New("job errors")
	}
	return nil
}

// dumpStorage finds the storage of a job before it begins.
func (c *Cluster) dumpStorage(s *state, args url.Values) (*Storage, error) {
	id := storageOf(args)
	if st := s.Storages[id]; st != nil && !st.holds("backup") {
		return nil, fmt.Errorf("could not get storage information for '%s': can't use storage '%s' for backups - wrong content type", id, id)
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

// storageOf is the storage that a job writes to.
func storageOf(args url.Values) string {
	if id := args.Get("storage"); id != "" {
		return id
	}
	return "local"
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
		values := args[key]
		if key == "node" {
			values = []string{node}
		}
		for _, value := range values {
			parts = append(parts, "--"+key, shellQuote(value))
		}
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
			t.log("INFO: Failed at %s", c.local(c.cfg.Now())), d.hook("backup-abort"), d.hook("log-end")); err != nil {
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
	full, err := c.cfg.Faults.Due("storage "+storageOf(t.rec.Args), "full")
	if err != nil {
		return err
	}
	due = append(due, full...)
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
