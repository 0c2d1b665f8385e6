package logs

import (
	"context"

	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

// earlier goes on from a batch that knew only the file that was written last, and
// what the newest of the rotated files began with: what is older was read.
func (r *fileRead) earlier(ctx context.Context, l *log, was *logbatch.Earlier) error {
	m := &mark{Mark: logbatch.Mark{Dev: was.Dev, Inode: was.Inode, Offset: was.Offset, Len: was.Len, Head: was.Head, Tail: was.Tail}}
	m.Last, m.Unread = true, was.Rotated
	if m.Len < 0 || m.Len > printLen || m.Offset < 0 {
		m.Len, m.Offset = 0, 0
	}
	since := -1
	if !was.Rotated {
		var err error
		if since, err = r.since(ctx, l, was.Before); err != nil {
			return err
		}
	}
	begin := -1
	for i := max(since, 0); i < len(l.files) && begin < 0; i++ {
		f := l.files[i]
		if m.Len == 0 && m.sameInode(f) {
			begin = i
			continue
		}
		if err := r.fits(ctx, f, []*mark{m}); err != nil {
			return err
		}
		if f.was != nil {
			begin = i
		}
	}
	if begin < 0 {
		begin = since
		m.Last = m.Last && (m.Len > 0 || since < 0) // it was empty: nothing of it can be lost
		if since < 0 {
			begin = len(l.files) - 1
		}
	}
	l.marks = append(l.marks, m)
	for _, f := range l.files[:max(begin, 0)] {
		f.done = true
	}
	return nil
}

// since is the index of the first file that is newer than the rotated ones were then:
// -1 when that cannot be reported.
func (r *fileRead) since(ctx context.Context, l *log, before *logbatch.Print) (int, error) {
	if before == nil { // there were none
		return 0, nil
	}
	for i := len(l.files) - 1; i >= 0; i-- {
		f := l.files[i]
		if f == l.current {
			continue
		}
		if before.Len == 0 {
			if f.dev == before.Dev && f.inode == before.Inode {
				return i + 1, nil
			}
			continue
		}
		head, err := r.head(ctx, f)
		if err != nil {
			return -1, err
		}
		if before.Len == int64(len(head)) && isDigest(head, before.Head) {
			return i + 1, nil
		}
	}
	return -1, nil
}
