package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

// TasksFile is the name of the tasks' part in a batch.
const TasksFile = "tasks.jsonl.zst"

// tasksDir is where a Proxmox VE node keeps the logs of its tasks.
const tasksDir = "/var/log/pve/tasks"

const (
	maxIndex   = 64 << 20 // bytes of new lines of the index
	maxTaskLog = 64 << 20
)

// Task is one line of a batch of tasks.
type Task struct {
	UPID   string    `json:"upid"`
	Ended  time.Time `json:"ended"`
	Status string    `json:"status"`
	Log    string    `json:"log"`
	Cut    bool      `json:"cut,omitempty"` // the log was longer than is kept
}

// indexLine is "UPID endtime status" of a task that ended; the time is hexadecimal.
var indexLine = regexp.MustCompile(`^(UPID:[A-Za-z0-9.-]+:[0-9A-F]{8}:[0-9A-F]{8,9}:([0-9A-F]{8}):[A-Za-z0-9_-]+:[^:/]*:[^:/]+:) ([0-9A-F]{8}) (.*)$`)

// memory keeps the files of a batch instead of writing them.
type memory map[string]*bytes.Buffer

type buffer struct{ *bytes.Buffer }

func (buffer) Close() error { return nil }

func (m memory) Create(name string) (io.WriteCloser, error) {
	m[name] = &bytes.Buffer{}
	return buffer{m[name]}, nil
}

func (m memory) Drop(name string) error { delete(m, name); return nil }

// Tasks reads the logs of tasks that ended since. Their index is a log file that is
// rotated like others.
func Tasks(ctx context.Context, h host.Host, pos logbatch.Position, sink Sink) (*Collected, error) {
	index := memory{}
	c, err := files(ctx, h, []string{tasksDir + "/index"}, pos, maxIndex, index, true)
	if err != nil {
		return nil, err
	}
	p, err := newPart(sink, TasksFile, tasksDir, 0)
	if err != nil {
		return nil, err
	}
	parts := c.Parts
	c.Parts = nil
	for _, ip := range parts {
		if err = tasksOf(ctx, h, c, index[ip.File], p); err != nil {
			break
		}
	}
	if err == nil {
		err = p.close()
	}
	if err != nil {
		return nil, errors.Join(err, p.drop())
	}
	p.Entries = p.lines
	c.Parts = []logbatch.Part{p.Part}
	return c, nil
}

func tasksOf(ctx context.Context, h host.Host, c *Collected, packed *bytes.Buffer, p *part) error {
	in, err := unpack(".zst", packed)
	if err != nil {
		return err
	}
	lines, err := io.ReadAll(io.LimitReader(in, maxIndex+1))
	if err != nil {
		return err
	}
	// A line that is still being written is read next time: the position is before it.
	whole := string(lines[:bytes.LastIndexByte(lines, '\n')+1])
	for _, line := range strings.Split(whole, "\n") {
		if line == "" {
			continue
		}
		m := indexLine.FindStringSubmatch(line)
		if m == nil {
			c.gap("a task", "line of the index not understood: %q", host.Tail([]byte(line)))
			continue
		}
		if err := one(ctx, h, c, m, p); err != nil {
			return err
		}
	}
	return nil
}

func one(ctx context.Context, h host.Host, c *Collected, m []string, p *part) error {
	ended, err := strconv.ParseInt(m[3], 16, 64)
	if err != nil {
		return err
	}
	t := Task{UPID: m[1], Ended: time.Unix(ended, 0).UTC(), Status: m[4]}
	r, err := h.Open(ctx, path.Join(tasksDir, m[2][7:], t.UPID), 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.gap("the log of "+t.UPID, "its file is gone")
	case err != nil:
		return fmt.Errorf("read the log of %s: %w", t.UPID, err)
	default:
		raw, err := io.ReadAll(io.LimitReader(r, maxTaskLog+1))
		r.Close()
		if err != nil {
			return fmt.Errorf("read the log of %s: %w", t.UPID, err)
		}
		if t.Cut = len(raw) > maxTaskLog; t.Cut {
			raw = raw[:maxTaskLog]
			c.gap("the end of the log of "+t.UPID, "it has more than %d bytes", maxTaskLog)
		}
		t.Log = strings.ToValidUTF8(string(raw), "\uFFFD")
	}
	if t.Ended.After(c.After.Newest) {
		c.After.Newest = t.Ended
	}
	if c.First.IsZero() {
		c.First = t.Ended
	}
	c.Last = t.Ended
	line, err := json.Marshal(t)
	if err == nil {
		_, err = p.Write(append(line, '\n'))
	}
	return err
}

// Lines writes entries, one JSON object a line, that the caller gives: runner's own.
func Lines(name string, sink Sink, each func(write func(line []byte) error) error) (logbatch.Part, error) {
	p, err := newPart(sink, name, "", 0)
	if err != nil {
		return logbatch.Part{}, err
	}
	if err = each(func(line []byte) error { _, err := p.Write(append(line, '\n')); return err }); err == nil {
		err = p.close()
	}
	if err != nil {
		return logbatch.Part{}, errors.Join(err, p.drop())
	}
	p.Entries = p.lines
	return p.Part, nil
}
