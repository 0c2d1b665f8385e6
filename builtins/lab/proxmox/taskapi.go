package proxmox

import (
	"errors"
	"io/fs"
	"sort"
	"strconv"
	"strings"
)

// mine says whether a task may be seen by who did not start it: with Sys.Audit
// on its node.
func (r *request) mine(rec taskRecord) bool {
	return rec.User == r.user.name || owner(rec.User) == r.user.name
}

func (c *Cluster) taskOf(r *request, privilege string) (*task, error) {
	t, text := c.findTask(r.vars["upid"])
	if t == nil {
		return nil, badParam("upid", text)
	}
	if !r.mine(t.record()) {
		if err := r.user.need("/nodes/"+r.node(), privilege); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// entry is what status and lists share.
func (rec taskRecord) entry() map[string]any {
	e := map[string]any{"id": rec.ID, "node": rec.Node, "pid": rec.PID, "pstart": rec.PStart, "starttime": rec.Start, "type": rec.Type,
		"upid": rec.UPID, "user": owner(rec.User)}
	if id := tokenID(rec.User); id != "" {
		e["tokenid"] = id
	}
	return e
}

func (c *Cluster) getTaskIndex(r *request) (any, error) {
	if !upidPattern.MatchString(r.vars["upid"]) {
		return nil, badParam("upid", "unable to parse worker upid")
	}
	return []any{map[string]any{"name": "log"}, map[string]any{"name": "status"}}, nil
}

func (c *Cluster) getTaskStatus(r *request) (any, error) {
	t, err := c.taskOf(r, "Sys.Audit")
	if err != nil {
		return nil, err
	}
	rec := t.record()
	e := rec.entry()
	e["status"] = "running"
	if rec.End != 0 {
		e["status"], e["exitstatus"] = "stopped", rec.Exit
	}
	return e, nil
}

func (c *Cluster) getTaskLog(r *request) (any, error) {
	missing := withTotal{[]any{map[string]any{"n": 1, "t": "unable to open file - No such file or directory"}}, 1}
	t, text := c.findTask(r.vars["upid"])
	if t == nil && text == "no such task" {
		return missing, nil
	}
	if t, err := c.taskOf(r, "Sys.Audit"); err != nil || t == nil {
		return nil, err
	}
	lines, err := t.lines()
	if errors.Is(err, fs.ErrNotExist) {
		return missing, nil
	}
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return []any{map[string]any{"n": 1, "t": "no content"}}, nil
	}
	start, limit := r.int("start", 0), r.int("limit", 50)
	out := []any{}
	for i := start; i < len(lines) && (limit == 0 || i < start+limit); i++ {
		out = append(out, map[string]any{"n": i + 1, "t": lines[i]})
	}
	return withTotal{out, len(lines)}, nil
}

// deleteTask stops a running task; an ended one is fine.
func (c *Cluster) deleteTask(r *request) (any, error) {
	t, err := c.taskOf(r, "Sys.Modify")
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rec.End == 0 {
		t.rec.Stopped = true
		t.cancel()
		return nil, t.saveLocked()
	}
	return nil, nil
}

// getTasks lists tasks, newest first: ended ones ("archive"), running ones
// ("active") or both.
func (c *Cluster) getTasks(r *request) (any, error) {
	source := r.get("source")
	if source == "" {
		source = "archive"
	}
	var recs []taskRecord
	c.taskMu.Lock()
	for _, t := range c.tasks {
		recs = append(recs, t.record())
	}
	c.taskMu.Unlock()
	sort.Slice(recs, func(i, j int) bool {
		a, b := recs[i], recs[j]
		if (a.End == 0) != (b.End == 0) {
			return a.End == 0
		}
		if a.Start != b.Start {
			return a.Start > b.Start
		}
		return a.PID > b.PID
	})
	audit := r.user.has("/nodes/"+r.node(), "Sys.Audit")
	all := []any{}
	for _, rec := range recs {
		running := rec.End == 0
		if rec.Node != r.node() || (!audit && !r.mine(rec)) || (running && source == "archive") || (!running && source == "active") ||
			!r.wants(rec) {
			continue
		}
		e := rec.entry()
		if running {
			delete(e, "tokenid")
			e["status"], e["saved"], e["user"] = "RUNNING", "0", rec.User
		} else {
			e["status"], e["endtime"] = rec.Exit, rec.End
		}
		all = append(all, e)
	}
	start, limit := min(r.int("start", 0), len(all)), r.int("limit", 50)
	end := len(all)
	if limit > 0 {
		end = min(end, start+limit)
	}
	return withTotal{all[start:end], len(all)}, nil
}

// wants applies the filters of a task list.
func (r *request) wants(rec taskRecord) bool {
	since, until := int64(r.int("since", 0)), int64(r.int("until", 0))
	failed := rec.End != 0 && rec.Exit != "OK" && !strings.HasPrefix(rec.Exit, "WARNINGS: ")
	switch {
	case r.get("typefilter") != "" && rec.Type != r.get("typefilter"),
		r.get("vmid") != "" && rec.ID != r.get("vmid") && !strings.HasPrefix(rec.ID, strconv.Itoa(r.vmid())+"@"),
		r.get("userfilter") != "" && !strings.Contains(rec.User, r.get("userfilter")),
		since > 0 && rec.Start < since, until > 0 && rec.Start > until,
		r.bool("errors") && !failed:
		return false
	}
	if want := splitList(r.get("statusfilter")); len(want) > 0 {
		return contains(want, rec.class())
	}
	return true
}

// class of a task's end, as statusfilter names it.
func (rec taskRecord) class() string {
	switch {
	case rec.End == 0, rec.Exit == "unexpected status":
		return "unknown"
	case rec.Exit == "OK":
		return "ok"
	case strings.HasPrefix(rec.Exit, "WARNINGS: "):
		return "warning"
	}
	return "error"
}
