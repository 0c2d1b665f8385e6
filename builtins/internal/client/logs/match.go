package logs

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

// mark is where the reading of a file stood, and which file that is now.
type mark struct {
	logbatch.Mark
	file *file
}

// is reports whether a file lies there as it did then.
func (m *mark) is(f *file) bool {
	return m.Dev == f.dev && m.Inode == f.inode && m.Size == f.size && m.Changed == f.changed.UnixNano()
}

func (m *mark) sameInode(f *file) bool { return m.Dev == f.dev && m.Inode == f.inode }

// mark is the one that a file gets, as long as nothing more is read of it.
func (f *file) mark() logbatch.Mark {
	var m logbatch.Mark
	if f.was != nil {
		m = f.was.Mark
	}
	m.Dev, m.Inode, m.Size, m.Changed = f.dev, f.inode, f.size, f.changed.UnixNano()
	m.Last, m.Unread, m.Copy, m.Bad = false, false, f.copy, f.bad != nil || f.was != nil && f.was.Bad && f.was.is(f)
	return m
}

// fresh reports whether a file can hold what was not read.
func (f *file) fresh() bool {
	switch {
	case f.copy || f.done || f.bad != nil || f.was != nil && f.was.Bad && f.was.is(f):
		return false
	case f.was == nil:
		return f.size > 0
	case !f.packed():
		return f.size > f.was.Offset
	case f.was.is(f):
		return f.was.Unread
	}
	return f.clear != f.was.Offset
}

// recognise finds out which files are those that are known, and which of them are a
// log's at all.
func (r *fileRead) recognise(ctx context.Context, l *log) error {
	for _, s := range l.spots {
		l.names = append(l.names, s.Names...)
		for _, m := range s.Marks {
			l.marks = append(l.marks, &mark{Mark: m})
		}
	}
	l.join(func(f *file) bool { return l.alike(f) || l.knows(f) })
	for _, f := range l.files {
		for _, m := range l.marks {
			if f.was == nil && m.file == nil && m.is(f) {
				f.was, m.file = m, f
			}
		}
	}
	for _, s := range l.spots {
		if s.Earlier != nil {
			if err := r.earlier(ctx, l, s.Earlier); err != nil {
				return err
			}
		}
	}
	if err := r.match(ctx, l); err != nil {
		return err
	}
	if err := r.astray(ctx, l); err != nil {
		return err
	}
	l.learn()
	if l.join(l.alike) {
		if err := r.match(ctx, l); err != nil {
			return err
		}
	}
	l.files = slices.DeleteFunc(l.files, func(f *file) bool {
		return f.was == nil && !f.copy && !f.done && l.strange(f) && !l.alike(f)
	})
	return nil
}

const maxNames = 8

// learn keeps the names of files that only what they hold says of.
func (l *log) learn() {
	for _, f := range l.files {
		if n := shapeOf(f); f.was != nil && l.strange(f) && !slices.Contains(l.names, n) {
			l.names = append(l.names, n)
		}
	}
	l.names = l.names[max(0, len(l.names)-maxNames):]
}

// alike reports whether a file's name is written as those that were learnt.
func (l *log) alike(f *file) bool { return slices.Contains(l.names, shapeOf(f)) }

func shapeOf(f *file) logbatch.Name { return logbatch.Name(shape(unpackedName(path.Base(f.path)))) }

// strange reports whether a file's name does not say that it is the log's.
func (l *log) strange(f *file) bool { return slices.Contains(l.strays, f) }

// join takes strays for files of the log, until it is known.
func (l *log) join(fits func(*file) bool) bool {
	n := len(l.files)
	for _, f := range l.strays {
		if fits(f) && !slices.Contains(l.files, f) {
			l.files = append(l.files, f)
		}
	}
	if len(l.files) == n {
		return false
	}
	l.sort()
	return true
}

// match recognises files by what they hold, the oldest first: where two go on from the
// same beginning, the older one is what was read.
func (r *fileRead) match(ctx context.Context, l *log) error {
	for _, f := range l.files {
		f.done = f.done || f.was == nil && f != l.current && l.stale(f)
		if f.was != nil && !f.was.Copy || f.copy || f.done || f.size == 0 {
			continue
		}
		if f != l.current && l.current != nil && (f.was != nil || f.size >= printLen || l.knows(l.current)) {
			is, err := r.beginning(ctx, f, l.current)
			if f.copy = is; err != nil {
				return err
			}
		}
		if f.copy || f.was != nil {
			continue
		}
		marks := l.marks
		if f == l.current { // it is not a copy of itself
			marks = slices.DeleteFunc(slices.Clone(marks), func(m *mark) bool { return m.Copy })
		}
		if err := r.fits(ctx, f, marks); err != nil {
			return err
		}
	}
	return nil
}

// known is how much of the file a mark says of.
func (m *mark) known() int64 { return max(m.Len, m.Offset) }

// after puts those last that are another file's, or were but a copy.
func (m *mark) after() int {
	switch {
	case m.file != nil:
		return 2
	case m.Copy:
		return 1
	}
	return 0
}

// knows reports whether a file has an inode that was seen before.
func (l *log) knows(f *file) bool {
	return slices.ContainsFunc(l.marks, func(m *mark) bool { return m.sameInode(f) })
}

// stale reports whether a file is one of those too many for marks.
func (l *log) stale(f *file) bool { return l.old > 0 && f.changed.UnixNano() <= l.old }

// fits finds the mark that a file goes on from: the one that tells most.
func (r *fileRead) fits(ctx context.Context, f *file, marks []*mark) error {
	head, err := r.head(ctx, f)
	if err != nil {
		return err
	}
	var like []*mark
	var offsets []int64
	for _, m := range marks {
		if m.Len > 0 && m.Len <= int64(len(head)) && isDigest(head[:m.Len], m.Head) && (f.packed() || m.Offset <= f.size) {
			like = append(like, m)
			offsets = append(offsets, m.Offset)
		}
	}
	if len(like) == 0 {
		return nil
	}
	slices.SortStableFunc(like, func(a, b *mark) int {
		return cmp.Or(cmp.Compare(b.known(), a.known()), a.after()-b.after(), cmp.Compare(b.Offset, a.Offset))
	})
	tails, err := r.tails(ctx, f, offsets)
	if err != nil {
		return err
	}
	length := f.size
	if f.packed() {
		length = f.clear
	}
	for _, m := range like {
		tail, there := tails[m.Offset]
		switch {
		case f.bad != nil && !there && m.file == nil: // it breaks off within what was read
		case !there || !isDigest(tail, m.Tail) || m.Copy && length != m.Offset:
			continue
		case m.file != nil && length == m.Offset:
			f.done = true // another one of it lies there
			return nil
		case m.file != nil:
			continue // it begins like that one, and goes on otherwise
		}
		f.was, m.file = m, f
		return nil
	}
	return nil
}

// enough is how much must be equal for a file to be a log's whose name does not say
// it: no two logs begin with the same times and names for so long.
const enough = 512

// astray looks for the file that was written last, or not read to its end, among
// those whose names do not say that they are the log's.
func (r *fileRead) astray(ctx context.Context, l *log) error {
	var missing []*mark
	for _, m := range l.marks {
		if m.file == nil && (m.Last || m.Unread) && m.Len >= enough {
			missing = append(missing, m)
		}
	}
	for _, f := range l.strays {
		if len(missing) == 0 || f.was != nil || f.size == 0 {
			continue
		}
		if err := r.fits(ctx, f, missing); err != nil {
			return err
		}
		if f.was != nil {
			l.join(func(o *file) bool { return o == f })
		}
	}
	return nil
}

// swap takes, of marks that say the same, the older one for the one that is missing.
func (l *log) swap() {
	for _, m := range l.marks {
		for _, o := range l.marks {
			same := o.Offset == m.Offset && o.Len == m.Len && o.Head == m.Head && o.Tail == m.Tail
			if same && m.file == nil && (m.Last || m.Unread) && o.file != nil && !o.Last && !o.Unread {
				m.file, o.file, o.file.was = o.file, nil, m
			}
		}
	}
}

// missing says of what cannot be found any more, where it can have held what was not
// read.
func (r *fileRead) missing(l *log) {
	l.swap()
	copied := slices.ContainsFunc(l.files, func(f *file) bool { return f != l.current && f.was != nil && f.was.Copy })
	for _, m := range l.marks {
		if m.file != nil || m.Copy || !m.Last && !m.Unread || copied && !m.Unread {
			continue
		}
		inode := slices.IndexFunc(l.files, m.sameInode)
		if m.Offset == 0 && !m.Unread && (inode >= 0 || slices.ContainsFunc(l.files, func(f *file) bool { return f.was == nil && f.packed() })) {
			continue // it was empty, and it is one of those that are read now
		}
		why := "it is in no rotated file: removed, or rotated away"
		if inode >= 0 {
			why = "it was truncated, or its inode was used again; what was written before that and not read is lost"
		}
		l.reported = true
		r.c.gap(fmt.Sprintf("%s after byte %d", l.path, m.Offset), "%s", why)
	}
}

// claim says of files that they are not logs of their own.
func (r *fileRead) claim(l *log) {
	for _, p := range l.paths {
		r.claimed[p] = true
	}
	for _, f := range l.files {
		if f.path != l.path {
			r.claimed[f.path] = true
		}
	}
}
