package logs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

const (
	tries    = 3    // readings of a log that is rotated meanwhile
	maxMarks = 1000 // of a position: it is recorded with each batch
)

// Files reads what is new in the files that patterns name, with their rotated ones.
func Files(ctx context.Context, h host.Host, patterns []string, pos logbatch.Position, most int64, sink Sink) (*Collected, error) {
	return files(ctx, h, patterns, pos, most, sink, false)
}

// files can leave a line that is not ended yet for the next time.
func files(ctx context.Context, h host.Host, patterns []string, pos logbatch.Position, most int64, sink Sink, lines bool) (*Collected,
	error) {
	r := &fileRead{h: h, sink: sink, left: most, lines: lines, known: pos.Files, claimed: map[string]bool{},
		c: &Collected{After: logbatch.Position{Files: logbatch.Files{}, Newest: pos.Newest}}}
	found, err := r.logs(ctx, patterns)
	for again := 0; err == nil && !found && len(pos.Files) == 0 && again < looksAgain; again++ {
		found, err = r.logs(ctx, patterns) // a folder that is read while names move in it can miss them
	}
	if err != nil {
		return nil, err
	}
	if err := r.gone(ctx); err != nil {
		return nil, err
	}
	r.bound()
	switch {
	case !found && len(pos.Files) == 0 && r.led != "":
		return nil, &ReadError{r.led, "it is a symbolic link that leads to no file of its folder: name the file itself"}
	case !found && len(pos.Files) == 0:
		return nil, &ReadError{"log files", "nothing on the host fits " + strings.Join(patterns, ", ")}
	}
	return r.c, nil
}

// looksAgain is how often a folder is read again that seemed to hold no log.
const looksAgain = 5

// logs reads what fits the patterns, and says whether anything does.
func (r *fileRead) logs(ctx context.Context, patterns []string) (found bool, err error) {
	for _, pattern := range patterns {
		logs, err := r.find(ctx, pattern)
		if err != nil {
			return found, err
		}
		for _, l := range logs {
			found = true
			if _, done := r.c.After.Files[l.path]; done || !l.known && r.claimed[l.path] {
				continue // of another pattern, too, or a file of another log
			}
			if err := r.log(ctx, pattern, l); err != nil {
				return found, err
			}
		}
	}
	return found, nil
}

type fileRead struct {
	h       host.Host
	sink    Sink
	c       *Collected
	known   logbatch.Files
	claimed map[string]bool // paths of files that are those of a log
	led     string          // a link that was not followed
	left    int64
	lines   bool
	n       int
}

// gone tells once of logs that are not there; they go on where they stood when they
// come back. A folder that is read while names move in it can miss some: it is read
// again first.
func (r *fileRead) gone(ctx context.Context) error {
	for _, p := range slices.Sorted(maps.Keys(r.known)) {
		spot := r.known[p]
		if !spot.Gone && !r.handled(p) {
			pattern := escape(p)
			logs, err := r.find(ctx, pattern)
			if err != nil {
				return err
			}
			for _, l := range logs {
				if err := r.log(ctx, pattern, l); err != nil {
					return err
				}
			}
		}
		if r.handled(p) || r.followed(p) {
			continue
		}
		if !spot.Gone {
			r.c.gap(p, "the file is gone, and so are those that it was rotated to")
			spot.Gone = true
		}
		r.c.After.Files[p] = spot
	}
	return nil
}

// followed reports whether a log that is gone was read to its end when another one was
// written already that is called alike but for a date: it was one of many, and old.
func (r *fileRead) followed(p string) bool {
	last := func(p string) (m logbatch.Mark) {
		for _, each := range r.known[p].Marks {
			if each.Last {
				m = each
			}
		}
		return m
	}
	was := last(p)
	if was.Offset == 0 || was.Unread || r.known[p].Gone || !year.MatchString(path.Base(p)) {
		return false
	}
	for q := range r.known {
		if now := last(q); q != p && shape(q) == shape(p) && now.Offset > 0 && now.Changed > was.Changed {
			return true
		}
	}
	return false
}

func (r *fileRead) handled(p string) bool {
	_, still := r.c.After.Files[p]
	return still || r.claimed[p]
}

// bound leaves out marks of the oldest files that were read to their end, where there
// are more than a position holds. The time of the newest of them stands for them.
func (r *fileRead) bound() {
	most := maxMarks / max(len(r.c.After.Files), 1)
	for p, spot := range r.c.After.Files {
		drop := 0
		for len(spot.Marks)-drop > max(most, 2) && !spot.Marks[drop].Last && !spot.Marks[drop].Unread {
			spot.Old = max(spot.Old, spot.Marks[drop].Changed)
			drop++
		}
		spot.Marks = spot.Marks[drop:]
		r.c.After.Files[p] = spot
	}
}

// log reads what is new in one log. When it is rotated meanwhile, what was read is
// thrown away, and read again.
func (r *fileRead) log(ctx context.Context, pattern string, l *log) error {
	for try := 0; ; try++ {
		before := *r.c
		spot, parts, err := r.attempt(ctx, pattern, l)
		if err == nil && len(spot.Marks) == 0 {
			return nil // nothing of it is there
		}
		if err == nil {
			r.claim(l)
			for _, p := range parts {
				p.Log = logbatch.Name(l.path)
				r.c.Parts = append(r.c.Parts, p.Part)
			}
			r.c.After.Files[l.path] = spot
			return nil
		}
		for _, p := range parts {
			err = errors.Join(err, p.sink.Drop(p.File))
			r.left += p.Bytes
		}
		*r.c = before
		if !errors.Is(err, errMoved) && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if try == tries {
			return fmt.Errorf("read %s: %w", l.path, ErrChanging)
		}
		logs, err := r.find(ctx, pattern)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(logs, func(o *log) bool { return o.path == l.path })
		if i < 0 {
			return nil // it went
		}
		l = logs[i]
	}
}

// attempt reads what is new in the files of a log, oldest first.
func (r *fileRead) attempt(ctx context.Context, pattern string, l *log) (spot logbatch.Spot, parts []*part, err error) {
	if err := r.recognise(ctx, l); err != nil {
		return spot, nil, err
	}
	if len(l.files) == 0 {
		return spot, nil, nil
	}
	r.missing(l)
	spot.Old, spot.Names = l.old, l.names
	last := -1
	for _, f := range l.files {
		if f.done && l.stale(f) {
			continue
		}
		m, p, err := r.one(ctx, l, f, len(parts) > 0)
		if p != nil {
			parts = append(parts, p)
		}
		if err != nil {
			return spot, parts, err
		}
		if f.size == 0 && f != l.current {
			continue
		}
		spot.Marks = append(spot.Marks, m)
		if !m.Copy && (m.Offset > 0 || m.Unread || last < 0) {
			last = len(spot.Marks) - 1
		}
	}
	if last < 0 { // all are empty
		spot.Marks = append(spot.Marks, l.files[len(l.files)-1].mark())
		last = len(spot.Marks) - 1
	}
	if spot.Marks[len(spot.Marks)-1].Unread { // a copy of what was not read is not read
		spot.Marks = slices.DeleteFunc(spot.Marks, func(m logbatch.Mark) bool { return m.Copy })
		last = len(spot.Marks) - 1
	}
	spot.Marks[last].Last = true
	if l.quiet() {
		return spot, parts, nil
	}
	return spot, parts, r.settled(ctx, pattern, l, spot.Marks[last])
}

// one reads what is new in one file.
func (r *fileRead) one(ctx context.Context, l *log, f *file, begun bool) (m logbatch.Mark, p *part, err error) {
	switch {
	case !f.fresh():
		m, err = r.whole(ctx, f)
	case r.left <= 0 && begun:
		r.c.More = true
		if m, err = f.mark(), nil; f.was == nil {
			var head []byte
			head, err = r.head(ctx, f)
			m.Len, m.Head, m.Tail = int64(len(head)), digest(head), digest(nil)
		}
		m.Unread = true
	default:
		p, m, err = r.read(ctx, f)
		m.Unread = f.waits
		r.c.More = r.c.More || f.waits
	}
	if f.bad != nil && err == nil {
		r.c.gap(f.path, "%s", f.bad.Said)
		r.c.Damaged = f.bad.Error()
		m.Bad = true
	}
	if p != nil && f.changed.After(r.c.After.Newest) {
		r.c.After.Newest = f.changed
	}
	return m, p, err
}

// whole is the mark of a file of which nothing more is to be read.
func (r *fileRead) whole(ctx context.Context, f *file) (logbatch.Mark, error) {
	m := f.mark()
	if f.size == 0 || f.bad != nil || f.was != nil && (!f.copy || f.was.is(f)) {
		return m, nil
	}
	head, err := r.head(ctx, f)
	if err != nil {
		return m, err
	}
	m.Len, m.Head, m.Offset = int64(len(head)), digest(head), f.size
	end := f.end
	if f.packed() && f.clear < 0 {
		if _, err = r.tails(ctx, f, nil); err != nil {
			return m, err
		}
		end = f.end
	}
	if f.packed() {
		m.Offset = f.clear
	} else if end, err = r.at(ctx, f, f.size); err != nil {
		return m, err
	}
	m.Tail = digest(end)
	return m, nil
}

// quiet reports whether all files lie there as they did, and hold nothing new.
func (l *log) quiet() bool {
	return !slices.ContainsFunc(l.files, func(f *file) bool { return f.fresh() || f.size > 0 && !f.done && (f.was == nil || !f.was.is(f)) }) &&
		!slices.ContainsFunc(l.marks, func(m *mark) bool { return m.file == nil })
}

// settled holds what lies there now against what was looked at: names move on while
// they are read.
func (r *fileRead) settled(ctx context.Context, pattern string, l *log, last logbatch.Mark) error {
	logs, err := r.find(ctx, pattern)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(logs, func(o *log) bool { return o.path == l.path })
	moved := fmt.Errorf("read %s: %w", l.path, errMoved)
	if i < 0 {
		return moved
	}
	now := map[string]*file{}
	for _, f := range slices.Concat(logs[i].files, logs[i].strays) {
		now[f.path] = f
	}
	for _, f := range l.files {
		n := now[f.path]
		if n == nil || n.dev != f.dev || n.inode != f.inode || !f.packed() && n.size < f.size {
			return moved
		}
		if l.reported && f != l.current && (n.size != f.size || !n.changed.Equal(f.changed)) {
			return moved // it grew to what is missing, perhaps
		}
		delete(now, f.path)
		if f.size > 0 && !f.packed() && last.Inode == f.inode && last.Dev == f.dev {
			if tail, err := r.at(ctx, f, last.Offset); err != nil {
				return err
			} else if !isDigest(tail, last.Tail) {
				return moved
			}
		}
	}
	for _, f := range now {
		if !slices.ContainsFunc(l.strays, func(o *file) bool { return o.path == f.path && o.inode == f.inode }) {
			return moved
		}
	}
	return nil
}

func notGone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
