package proxmox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// task is one worker. Its record is on disk before anybody hears of it, so
// that a process that opens the world later finds it and goes on.
type task struct {
	c      *Cluster
	cancel context.CancelFunc
	done   chan struct{}

	resumed bool // begun by an earlier process

	mu   sync.Mutex // guards what follows
	rec  taskRecord
	skip int // lines of a resumed section that the log holds already
}

type taskRecord struct {
	UPID    string          `json:"upid"`
	Node    string          `json:"node"`
	PID     int64           `json:"pid"`
	PStart  int64           `json:"pstart"`
	Start   int64           `json:"starttime"`
	Type    string          `json:"type"`
	ID      string          `json:"id"`
	User    string          `json:"user"` // with the token: "runner@pve!runner"
	Args    url.Values      `json:"args"`
	State   json.RawMessage `json:"state,omitempty"` // of the work, so that it can go on
	Stopped bool            `json:"stopped,omitempty"`
	End     int64           `json:"endtime,omitempty"`
	Exit    string          `json:"exitstatus,omitempty"`
}

// errAbandoned ends a worker whose process closes: nothing is cleaned up.
var errAbandoned = errors.New("abandoned")

// exitError is an end with another text than "OK".
type exitError struct {
	text string
	log  bool // whether the log ends with a TASK line
}

func (e *exitError) Error() string { return e.text }

// start makes a task and its first record, and runs it. The kind of work is
// found by its type.
func (c *Cluster) start(node, kind, id, user string, args url.Values) (string, error) {
	c.taskMu.Lock()
	defer c.taskMu.Unlock()
	if c.ctx.Err() != nil {
		return "", failf("node is shutting down")
	}
	now := c.cfg.Now()
	c.next++
	rec := taskRecord{
		Node: node, PID: c.next, PStart: now.UnixMilli() / 10 % 0x7fffffff, Start: now.Unix(),
		Type: kind, ID: id, User: user, Args: args,
	}
	rec.UPID = fmt.Sprintf("UPID:%s:%08X:%08X:%08X:%s:%s:%s:", node, rec.PID, rec.PStart, rec.Start, kind, id, user)
	t := &task{c: c, rec: rec, done: make(chan struct{})}
	if err := os.MkdirAll(filepath.Dir(t.logPath()), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(t.logPath(), nil, 0o640); err != nil {
		return "", err
	}
	if err := t.save(); err != nil {
		return "", err
	}
	c.launch(t)
	return rec.UPID, nil
}

// launch runs t in the background. The caller holds taskMu.
func (c *Cluster) launch(t *task) {
	ctx, cancel := context.WithCancel(c.ctx)
	t.cancel = cancel
	c.tasks[t.rec.UPID] = t
	c.work.Add(1)
	go func() {
		defer c.work.Done()
		defer close(t.done)
		defer cancel()
		t.finish(c.perform(ctx, t))
	}()
}

// perform runs the work of one task.
func (c *Cluster) perform(ctx context.Context, t *task) error {
	if t.record().Stopped {
		return errors.New("interrupted by signal")
	}
	switch t.rec.Type {
	case "vzdump":
		return c.runVzdump(ctx, t)
	case "qmrestore":
		return c.runRestoreVM(ctx, t)
	case "vzrestore":
		return c.runRestoreCT(ctx, t)
	case "imgdel", "prunebackups":
		return c.runRemove(ctx, t)
	case "qmdestroy", "vzdestroy":
		return c.runDestroy(ctx, t)
	case "qmconfig":
		return c.runConfig(t)
	}
	return c.runPower(ctx, t)
}

// finish writes the end of a task, unless its process goes away.
func (t *task) finish(err error) {
	if t.c.ctx.Err() != nil && !t.ended() {
		return
	}
	exit, last := "OK", "TASK OK"
	var e *exitError
	switch {
	case err == nil:
	case errors.As(err, &e) && !e.log:
		exit, last = e.text, ""
	case errors.As(err, &e) && strings.HasPrefix(e.text, "WARNINGS: "):
		exit, last = e.text, "TASK "+e.text
	default:
		exit = strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", " ")), " ")
		last = "TASK ERROR: " + exit
	}
	if last != "" {
		t.skip = 0
		if err := t.append(last); err != nil {
			exit = "unable to write task log - " + err.Error()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rec.Exit, t.rec.End = exit, max(t.c.cfg.Now().Unix(), t.rec.Start)
	// A record that cannot be written leaves the task running for the next
	// process; this one goes on with what it knows.
	_ = t.saveLocked()
}

func (t *task) ended() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rec.End != 0
}

// record is a copy of the task's record.
func (t *task) record() taskRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rec
}

func (t *task) save() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.saveLocked()
}

func (t *task) saveLocked() error {
	return writeJSON(filepath.Join(t.c.dir, "tasks", t.rec.UPID+".json"), &t.rec)
}

// keep stores the state of the work.
func (t *task) keep(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rec.State = data
	return t.saveLocked()
}

// recall reads the state that an earlier process kept; false when there is none.
func (t *task) recall(v any) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rec.State) == 0 {
		return false, nil
	}
	return true, json.Unmarshal(t.rec.State, v)
}

func (t *task) logPath() string {
	digit := fmt.Sprintf("%X", t.rec.Start&0xf)
	return t.c.node(t.rec.Node, filepath.Join("var/log/pve/tasks", digit, t.rec.UPID))
}

// log appends a line to the task's log. Lines that a resumed section wrote
// before are not written again.
func (t *task) log(format string, args ...any) error {
	if t.skip > 0 {
		t.skip--
		return nil
	}
	return t.append(fmt.Sprintf(format, args...))
}

func (t *task) append(line string) error {
	f, err := os.OpenFile(t.logPath(), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(line + "\n"); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// lines reads the log so far; a last line without its end is left out.
func (t *task) lines() ([]string, error) {
	data, err := os.ReadFile(t.logPath())
	if err != nil {
		return nil, err
	}
	text := string(data)
	i := strings.LastIndexByte(text, '\n')
	if i < 0 {
		return nil, nil
	}
	return strings.Split(text[:i], "\n"), nil
}

// loadTasks reads all tasks of earlier processes and goes on with those that
// have no end.
func (c *Cluster) loadTasks() error {
	names, err := filepath.Glob(filepath.Join(c.dir, "tasks", "UPID:*.json"))
	if err != nil {
		return err
	}
	c.taskMu.Lock()
	defer c.taskMu.Unlock()
	for _, name := range names {
		t := &task{c: c, done: make(chan struct{}), resumed: true}
		if err := readJSON(name, &t.rec); err != nil {
			return err
		}
		c.next = max(c.next, t.rec.PID)
		c.tasks[t.rec.UPID] = t
	}
	for _, t := range c.tasks {
		if t.rec.End != 0 {
			close(t.done)
		} else if err := t.mend(); err != nil {
			return err
		} else {
			c.launch(t)
		}
	}
	return nil
}

// mend cuts a line that was half written when the process died.
func (t *task) mend() error {
	data, err := os.ReadFile(t.logPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Truncate(t.logPath(), int64(strings.LastIndexByte(string(data), '\n')+1))
}

var upidPattern = regexp.MustCompile(`^UPID:([a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?):([0-9A-Fa-f]{8}):([0-9A-Fa-f]{8,9}):([0-9A-Fa-f]{8}):([^:\s]+):([^:\s]*):([^:\s]+):$`)

// findTask returns a task by its UPID; the text of a refusal is that of the
// parameter "upid".
func (c *Cluster) findTask(upid string) (*task, string) {
	if !upidPattern.MatchString(upid) {
		return nil, "unable to parse worker upid"
	}
	c.taskMu.Lock()
	defer c.taskMu.Unlock()
	if t := c.tasks[upid]; t != nil {
		return t, ""
	}
	return nil, "no such task"
}

// Wait returns when the task has ended, with its exit status.
func (c *Cluster) Wait(ctx context.Context, upid string) (string, error) {
	t, text := c.findTask(upid)
	if t == nil {
		return "", fmt.Errorf("wait for task %s: %s", upid, text)
	}
	select {
	case <-t.done:
		return t.record().Exit, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// event names the places of faults that belong to a task: "vzdump 100".
func event(kind string, id int) string { return kind + " " + strconv.Itoa(id) }
