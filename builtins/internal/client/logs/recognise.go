package logs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

const printLen = 1024 // bytes of a file's head and tail that recognise it

// print recognises a rotated file later. One that cannot be unpacked has none.
func (r *fileRead) print(ctx context.Context, f file) (*logbatch.Print, error) {
	p := &logbatch.Print{Dev: f.dev, Inode: f.inode}
	in, err := r.open(ctx, f, 0)
	if err != nil {
		if errors.As(err, new(*ReadError)) {
			return p, nil
		}
		return nil, err
	}
	defer in.Close()
	head := make([]byte, printLen)
	n, err := io.ReadFull(in, head)
	if readable(err) != nil && !f.packed() {
		return nil, err
	}
	p.Len, p.Head = int64(n), digest(head[:n])
	return p, nil
}

// resume says where to go on: in which file, and from which byte of it.
//
// What was the file then is, after a rotation, the oldest of the rotated files that
// came since: whether it was renamed or copied. Without a rotation it is the file
// that is written now. Only when the rotated files cannot be told apart any more, all
// of them are looked at.
func (r *fileRead) resume(ctx context.Context, l log, was logbatch.Spot) (begin int, from int64, err error) {
	files := l.all()
	since := -1
	if !was.Rotated {
		if since, err = r.since(ctx, l, was.Before); err != nil {
			return 0, 0, err
		}
	}
	if since >= 0 {
		if since == len(files) { // its successor was not made yet, and nothing was rotated
			return since, 0, nil
		}
		same, err := r.same(ctx, files[since], was)
		if err != nil {
			return 0, 0, err
		}
		if same {
			return since, was.Offset, nil
		}
	}
	at, err := r.recognise(ctx, files, was)
	switch {
	case err != nil:
		return 0, 0, err
	case at >= 0 && (since < 0 || at >= since):
		return at, was.Offset, nil
	case since >= 0 && was.Len == 0: // it was empty: nothing of it can be lost
		return since, 0, nil
	}
	begin = max(since, 0)
	if since < 0 {
		begin = len(files) - 1
	}
	why := "it is in no rotated file: removed, or rotated away"
	if c := l.current; c != nil && c.inode == was.Inode && c.dev == was.Dev {
		why = "it was truncated, or its inode was used again; what was written before that and not read is lost"
	}
	r.c.gap(fmt.Sprintf("%s after byte %d", l.path, was.Offset), "%s", why)
	return begin, 0, nil
}

// since is the index of the first file that is newer than the rotated ones were then:
// -1 when that cannot be told.
func (r *fileRead) since(ctx context.Context, l log, before *logbatch.Print) (int, error) {
	if before == nil { // there were none
		return 0, nil
	}
	for i := len(l.rotated) - 1; i >= 0; i-- {
		f := l.rotated[i]
		if before.Len == 0 {
			if f.dev == before.Dev && f.inode == before.Inode {
				return i + 1, nil
			}
			continue
		}
		p, err := r.print(ctx, f)
		if err != nil {
			return -1, err
		}
		if p.Len == before.Len && p.Head == before.Head {
			return i + 1, nil
		}
	}
	return -1, nil
}

// recognise finds the file that was read last time: -1 when it is not there. The
// oldest that fits is it: a newer one can begin with the same words.
func (r *fileRead) recognise(ctx context.Context, files []file, was logbatch.Spot) (int, error) {
	if was.Len == 0 {
		for i, f := range files {
			if f.dev == was.Dev && f.inode == was.Inode {
				return i, nil
			}
		}
		return -1, nil
	}
	for i, f := range files {
		same, err := r.same(ctx, f, was)
		if err != nil {
			return -1, err
		}
		if same {
			return i, nil
		}
	}
	return -1, nil
}

// same reports whether a file begins, and goes on before the offset, as it did.
func (r *fileRead) same(ctx context.Context, f file, was logbatch.Spot) (bool, error) {
	if !f.packed() {
		if f.size < was.Offset {
			return false, nil
		}
		head, err := r.sum(ctx, f.path, 0, was.Len)
		if err != nil || head != was.Head {
			return false, err
		}
		from := max(0, was.Offset-printLen)
		tail, err := r.sum(ctx, f.path, from, was.Offset-from)
		return tail == was.Tail, err
	}
	in, err := r.open(ctx, f, 0)
	if errors.As(err, new(*ReadError)) {
		return false, nil // it cannot be unpacked: it is none that was read
	}
	if err != nil {
		return false, err
	}
	defer in.Close()
	head := make([]byte, was.Len)
	if _, err := io.ReadFull(in, head); err != nil || digest(head) != was.Head {
		return false, nil
	}
	if was.Offset <= was.Len {
		from := max(0, was.Offset-printLen)
		return digest(head[from:was.Offset]) == was.Tail, nil
	}
	keep := min(was.Offset, printLen)
	tail := append([]byte(nil), head[max(0, int64(len(head))-keep):]...)
	buf := make([]byte, 64<<10)
	for at := was.Len; at < was.Offset; {
		n, err := io.ReadFull(in, buf[:min(int64(len(buf)), was.Offset-at)])
		at += int64(n)
		tail = append(tail, buf[:n]...)
		tail = tail[max(0, int64(len(tail))-keep):]
		if err != nil {
			return false, nil
		}
	}
	return digest(tail) == was.Tail, nil
}

// readable tells an end of the file, which means another file, from an error.
func readable(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// sum digests n bytes of a file.
func (r *fileRead) sum(ctx context.Context, p string, from, n int64) (string, error) {
	in, err := r.h.Open(ctx, p, from)
	if err != nil {
		return "", err
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, n))
	if err != nil {
		return "", err
	}
	return digest(b), nil
}

// spot is where the reading of a file stands at an offset.
func (r *fileRead) spot(ctx context.Context, f file, offset int64) (logbatch.Spot, error) {
	s := logbatch.Spot{Dev: f.dev, Inode: f.inode, Offset: offset, Len: min(offset, printLen)}
	if f.packed() {
		in, err := r.open(ctx, f, 0)
		if err != nil {
			return s, err
		}
		defer in.Close()
		head := make([]byte, s.Len)
		if _, err := io.ReadFull(in, head); err != nil {
			return s, &ReadError{f.path, err.Error()}
		}
		s.Head = digest(head)
		rest := offset - s.Len
		keep := bytes.NewBuffer(nil)
		if skip := rest - printLen; skip > 0 {
			if _, err := io.CopyN(io.Discard, in, skip); err != nil {
				return s, &ReadError{f.path, err.Error()}
			}
			rest = printLen
		} else {
			keep.Write(head)
		}
		if _, err := io.CopyN(keep, in, rest); err != nil {
			return s, &ReadError{f.path, err.Error()}
		}
		b := keep.Bytes()
		s.Tail = digest(b[max(0, int64(len(b))-min(offset, printLen)):])
		return s, nil
	}
	var err error
	if s.Head, err = r.sum(ctx, f.path, 0, s.Len); err != nil {
		return s, err
	}
	from := max(0, offset-printLen)
	s.Tail, err = r.sum(ctx, f.path, from, offset-from)
	return s, err
}
