package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

const tries = 3 // readings of a file that is rotated meanwhile

// Files reads what is new in the files that patterns name, with their rotated ones.
func Files(ctx context.Context, h host.Host, patterns []string, pos logbatch.Position, most int64, sink Sink) (*Collected, error) {
	return files(ctx, h, patterns, pos, most, sink, false)
}

// files can leave a line that is not ended yet for the next time.
func files(ctx context.Context, h host.Host, patterns []string, pos logbatch.Position, most int64, sink Sink, lines bool) (*Collected, error) {
	r := &fileRead{h: h, sink: sink, left: most, lines: lines, known: pos.Files,
		c: &Collected{After: logbatch.Position{Files: logbatch.Files{}, Newest: pos.Newest}}}
	found := false
	for _, pattern := range patterns {
		logs, err := r.find(ctx, pattern)
		if err != nil {
			return nil, err
		}
		for _, l := range logs {
			found = true
			if _, done := r.c.After.Files[l.path]; done {
				continue // of another pattern, too
			}
			if err := r.log(ctx, l); err != nil {
				return nil, err
			}
		}
	}
	for p, spot := range pos.Files {
		if _, still := r.c.After.Files[p]; still {
			continue
		}
		if !spot.Gone { // told once; it goes on where it stood when it comes back
			r.c.gap(p, "the file is gone, and so are those that it was rotated to")
			spot.Gone = true
		}
		r.c.After.Files[p] = spot
	}
	if !found && len(pos.Files) == 0 {
		return nil, &ReadError{"log files", "nothing on the host fits " + strings.Join(patterns, ", ")}
	}
	return r.c, nil
}

type fileRead struct {
	h     host.Host
	sink  Sink
	c     *Collected
	known logbatch.Files
	left  int64
	lines bool
	n     int
}

// log reads what is new in one log. When it is rotated meanwhile, what was read is
// thrown away, and read again.
func (r *fileRead) log(ctx context.Context, l log) error {
	for try := 0; ; try++ {
		spot, again, err := r.attempt(ctx, l)
		if err != nil {
			return err
		}
		if !again {
			r.c.After.Files[l.path] = spot
			return nil
		}
		if try == tries {
			return fmt.Errorf("read %s: %w", l.path, ErrChanging)
		}
		logs, err := r.find(ctx, l.path)
		if err != nil {
			return err
		}
		if len(logs) == 0 {
			return fmt.Errorf("read %s: %w", l.path, ErrChanging)
		}
		l = logs[0]
	}
}

// attempt reads the rest of the file that was read last time, then the newer ones.
func (r *fileRead) attempt(ctx context.Context, l log) (spot logbatch.Spot, again bool, err error) {
	was, known := r.known[l.path]
	files := l.all()
	gaps, more := len(r.c.Gaps), r.c.More
	begin, from := 0, int64(0)
	if known {
		if begin, from, err = r.resume(ctx, l, was); err != nil {
			return spot, errors.Is(err, os.ErrNotExist), notGone(err)
		}
		if begin >= len(files) { // nothing is there that was not read
			return was, false, nil
		}
	}
	var parts []*part
	undo := func(err error) (logbatch.Spot, bool, error) {
		for _, p := range parts {
			err = errors.Join(err, p.sink.Drop(p.File))
			r.left += p.Bytes
		}
		r.c.Gaps, r.c.More = r.c.Gaps[:gaps], more
		return logbatch.Spot{}, err == nil, err
	}
	for i := begin; i < len(files); i++ {
		if r.left <= 0 && i > begin {
			r.c.More = true // the next batch looks for this file first, and goes on behind it
			spot.Rotated = true
			return r.keep(l, parts, spot), false, nil
		}
		f, offset := files[i], int64(0)
		if i == begin {
			offset = from
		}
		p, end, err := r.read(ctx, f, offset)
		if p != nil {
			parts = append(parts, p)
		}
		var unreadable *ReadError
		if errors.As(err, &unreadable) { // packed, and damaged: nothing more will come of it
			r.c.gap(f.path, "%s", unreadable.Said)
			r.c.Damaged = unreadable.Error()
			if p != nil {
				parts = parts[:len(parts)-1]
				r.left += p.Bytes
				if err := r.sink.Drop(p.File); err != nil {
					return undo(err)
				}
			}
			continue
		}
		if err == nil {
			spot, err = r.spot(ctx, f, end)
		}
		if errors.Is(err, os.ErrNotExist) {
			return undo(nil)
		}
		if err != nil {
			return undo(err)
		}
		if f.changed.After(r.c.After.Newest) && p != nil {
			r.c.After.Newest = f.changed
		}
		if rotated := l.current == nil || i < len(files)-1; rotated && r.c.More && r.left <= 0 {
			spot.Rotated = true
			return r.keep(l, parts, spot), false, nil
		}
	}
	if l.current == nil {
		spot.Rotated = true
		return r.keep(l, parts, spot), false, nil
	}
	now, err := r.stat(ctx, []string{l.path})
	if err != nil {
		return undo(err)
	}
	if len(now) != 1 || now[0].inode != l.current.inode || now[0].dev != l.current.dev || now[0].size < l.current.size {
		return undo(nil)
	}
	if n := len(l.rotated); n > 0 {
		if spot.Before, err = r.print(ctx, l.rotated[n-1]); errors.Is(err, os.ErrNotExist) {
			return undo(nil)
		} else if err != nil {
			return undo(err)
		}
	}
	return r.keep(l, parts, spot), false, nil
}

// keep takes parts over, in the order in which they were written.
func (r *fileRead) keep(l log, parts []*part, spot logbatch.Spot) logbatch.Spot {
	for _, p := range parts {
		p.Log = logbatch.Name(l.path)
		r.c.Parts = append(r.c.Parts, p.Part)
	}
	return spot
}

func notGone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
