package proxmox

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// UPID names a task.
type UPID string

// pattern compiles at its first use: most verbs need none, and compiling them all
// was a tenth of what it takes to start.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

var upidForm = pattern(`^UPID:([a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?):[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:([0-9A-Fa-f]{8}):([^:\s]+):([^:\s]*):([^:\s]+):$`)

func asUPID(id string) (UPID, error) {
	if !upidForm().MatchString(id) {
		return "", &NoTaskError{Answer: id}
	}
	return UPID(id), nil
}

// NoTaskError says that a request was answered without a task: nothing was begun.
type NoTaskError struct{ Answer string }

func (e *NoTaskError) Error() string {
	return fmt.Sprintf("it answered %q and started no task: nothing was done", e.Answer)
}

// Node is where the task runs.
func (u UPID) Node() string {
	if m := upidForm().FindStringSubmatch(string(u)); m != nil {
		return m[1]
	}
	return ""
}

func (u UPID) path() string {
	return "/nodes/" + url.PathEscape(u.Node()) + "/tasks/" + url.PathEscape(string(u))
}

// Carries reports whether a text that Proxmox keeps (notes, a description, the
// first line of a log) has a token as a word of its own: "run/1" is not in "run/10".
func Carries(text, token string) bool {
	return token != "" && slices.Contains(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '\'' || r == '"' }),
		token)
}

// TaskStatus is the state of a task.
type TaskStatus struct {
	Status string `json:"status"`     // "running" or "stopped"
	Exit   string `json:"exitstatus"` // "OK", "WARNINGS: n", or an error
	Start  Int    `json:"starttime"`
}

// Warned reports how many warnings a task ended with.
func (s TaskStatus) Warned() bool { return strings.HasPrefix(s.Exit, "WARNINGS") }

// TaskOf returns the state of a task.
func (c *Client) TaskOf(ctx context.Context, u UPID) (TaskStatus, error) {
	var s TaskStatus
	return s, c.Get(ctx, u.path()+"/status", &s)
}

// StopTask ends a running task.
func (c *Client) StopTask(ctx context.Context, u UPID) error { return c.Delete(ctx, u.path(), nil) }

// Task is an entry of a node's list.
type Task struct {
	UPID   UPID   `json:"upid"`
	Type   string `json:"type"`
	ID     string `json:"id"`
	Status string `json:"status"`
	Start  Int    `json:"starttime"`
	End    Int    `json:"endtime"`
	User   string `json:"user"`
	Token  string `json:"tokenid"`
}

// Tasks lists the tasks of a node of one type for one guest since a time,
// running ones too.
func (c *Client) Tasks(ctx context.Context, node, typ string, vmid Int, since time.Time) ([]Task, error) {
	q := url.Values{"source": {"all"}, "typefilter": {typ}, "limit": {"200"}, "since": {fmt.Sprint(since.Unix())}}
	if vmid > 0 {
		q.Set("vmid", fmt.Sprint(vmid))
	}
	var out []Task
	return out, c.Get(ctx, "/nodes/"+url.PathEscape(node)+"/tasks?"+q.Encode(), &out)
}

// Sleeper waits on the clock of a run.
type Sleeper func(ctx context.Context, d time.Duration) error

const (
	logPage      = 500
	toleratedGap = 30 // polls that may fail in a row: a proxy restarts, a node reboots
)

// Follow waits for a task to end. Each line of its log is given to line once, in
// order; the newest is held back while the task runs, since it can be half
// written. Polls may fail for a while: the task goes on without us.
func (c *Client) Follow(ctx context.Context, u UPID, sleep Sleeper, line func(string)) (TaskStatus, error) {
	seen, failed := int64(0), 0
	for pause := 100 * time.Millisecond; ; pause = min(pause*3/2, 3*time.Second) {
		s, err := c.TaskOf(ctx, u)
		if err == nil {
			stopped := s.Status != "running"
			if stopped && s.Exit == "unexpected status" {
				// It can be read between the worker's end and its last line.
				if err := sleep(ctx, 500*time.Millisecond); err != nil {
					return s, err
				}
				s, err = c.TaskOf(ctx, u)
			}
			if err == nil {
				seen, err = c.log(ctx, u, seen, stopped, line)
			}
			if err == nil && stopped {
				return s, nil
			}
		}
		if err != nil {
			if failed++; failed > toleratedGap || ctx.Err() != nil {
				return TaskStatus{}, err
			}
		} else {
			failed = 0
		}
		if err := sleep(ctx, pause); err != nil {
			return TaskStatus{}, err
		}
	}
}

// log gives the lines from the seen-th on and returns how many were seen.
func (c *Client) log(ctx context.Context, u UPID, seen int64, all bool, line func(string)) (int64, error) {
	for {
		var page []struct {
			N Int    `json:"n"`
			T string `json:"t"`
		}
		if err := c.Get(ctx, fmt.Sprintf("%s/log?start=%d&limit=%d", u.path(), seen, logPage), &page); err != nil {
			return seen, err
		}
		full := len(page) == logPage
		if !all && !full && len(page) > 0 {
			page = page[:len(page)-1]
		}
		for _, l := range page {
			line(l.T)
			seen++
		}
		if !full {
			return seen, nil
		}
	}
}

// Head gives the first lines of a task's log.
func (c *Client) Head(ctx context.Context, u UPID, lines int, line func(string)) (int, error) {
	var page []struct {
		T string `json:"t"`
	}
	if err := c.Get(ctx, fmt.Sprintf("%s/log?start=0&limit=%d", u.path(), lines), &page); err != nil {
		return 0, err
	}
	for _, l := range page {
		line(l.T)
	}
	return len(page), nil
}
