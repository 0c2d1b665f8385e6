package logs

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

// errMoved says that a file is not any more what it was when it was looked at.
var errMoved = errors.New("it was rotated or truncated while it was read")

// open reads a log from an offset, a packed one from its beginning.
func (r *fileRead) open(ctx context.Context, f *file, offset int64) (io.ReadCloser, error) {
	raw, err := r.h.Open(ctx, f.path, offset)
	if err != nil || !f.packed() {
		return raw, err
	}
	in, err := unpack(path.Ext(f.path), raw)
	if err != nil {
		return nil, f.unpacking(ctx, errors.Join(err, raw.Close()))
	}
	return struct {
		io.Reader
		io.Closer
	}{in, raw}, nil
}

func unpack(ext string, raw io.Reader) (io.Reader, error) {
	switch ext {
	case ".gz":
		return gzip.NewReader(raw)
	case ".xz":
		return xz.ReaderConfig{DictCap: 64 << 10}.NewReader(raw) // at least: the archive says how much
	case ".bz2":
		return bzip2.NewReader(raw), nil
	}
	z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, err
	}
	return z, nil
}

// unpacking says of an error that it comes of what a packed file holds.
func (f *file) unpacking(ctx context.Context, err error) error {
	if err == nil || !f.packed() || ctx.Err() != nil || errors.As(err, new(*ReadError)) || notGone(err) == nil {
		return err
	}
	return &ReadError{f.path, "it cannot be unpacked: " + err.Error()}
}

// read copies what a file holds behind an offset, to the end that it had when it was
// looked at, or, when it is packed, to its end. Without new bytes there is no part.
// What lies before the offset is held against what was there. Of a packed file that
// is damaged, what comes before the damage is taken.
func (r *fileRead) read(ctx context.Context, f *file) (p *part, m logbatch.Mark, err error) {
	m = f.mark()
	begin, from := m.Offset, int64(0)
	if !f.packed() && begin >= 2*printLen { // else its head is read, too
		from = begin - printLen
	}
	in, err := r.open(ctx, f, from)
	if errors.As(err, &f.bad) {
		return nil, m, nil
	}
	if err != nil {
		return nil, m, err
	}
	defer in.Close()
	t := &tap{}
	if _, err = io.CopyN(t, in, begin-from); err != nil || begin > 0 && !isDigest(t.before(begin), m.Tail) {
		return nil, m, fmt.Errorf("read %s: %w", f.path, errMoved)
	}
	p, err = r.copy(ctx, f, in, begin, t)
	if err != nil {
		return p, m, err
	}
	m.Offset = from + t.n
	if r.lines && p != nil && !f.packed() && p.unended > 0 {
		m.Offset -= p.unended
		if t.tail, err = r.at(ctx, f, m.Offset); err != nil {
			return p, m, err
		}
	}
	if from == 0 {
		m.Len = min(m.Offset, printLen)
		m.Head = digest(t.head[:m.Len])
	}
	m.Tail = digest(t.before(m.Offset))
	return p, m, nil
}

// copy makes a part of what comes.
func (r *fileRead) copy(ctx context.Context, f *file, in io.Reader, from int64, t *tap) (*part, error) {
	if !f.packed() {
		in = io.LimitReader(in, f.size-from)
	}
	buf := bufio.NewReaderSize(in, maxLine)
	if from == 0 {
		var err error
		if from, err = behindHole(ctx, buf, t); err != nil {
			return nil, err
		}
	}
	limit := max(r.left, 1<<20)
	if rest := f.size - from; !f.packed() && rest <= limit {
		limit = rest
	}
	if limit == 0 {
		return nil, nil
	}
	r.n++
	p, err := newPart(r.sink, fmt.Sprintf("%04d-%s.zst", r.n, plain(path.Base(f.path))), f.path, from)
	if err != nil {
		return nil, err
	}
	n, err := copyLines(io.MultiWriter(p, t), buf, limit)
	if err == nil && n < limit && !f.packed() {
		err = errMoved
	}
	f.waits = f.packed() && n >= limit || !f.packed() && from+n < f.size
	err = f.unpacking(ctx, err)
	if errors.As(err, &f.bad) {
		err = nil
	}
	if cerr := p.close(); err == nil {
		err = cerr
	}
	p.Entries = p.lines
	if err == nil && n == 0 {
		return nil, p.sink.Drop(p.File)
	}
	r.left -= p.Bytes
	return p, err
}

const maxLine = 1 << 20

// copyLines copies so many bytes, and what is left of the last line.
func copyLines(to io.Writer, from *bufio.Reader, limit int64) (int64, error) {
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{io.LimitReader(from, limit)}, make([]byte, 256<<10))
	if err != nil || n < limit {
		return n, err
	}
	rest, err := from.ReadSlice('\n')
	if err == io.EOF || errors.Is(err, bufio.ErrBufferFull) {
		err = nil
	}
	more, werr := to.Write(rest)
	return n + int64(more), cmp.Or(err, werr)
}

// behindHole passes over what a writer leaves that goes on at its old place in a file
// that was truncated: as many zeros as were there before.
func behindHole(ctx context.Context, buf *bufio.Reader, t *tap) (int64, error) {
	for ctx.Err() == nil {
		if _, err := buf.Peek(1); err != nil {
			return t.n, nil // who reads on meets it again
		}
		b, _ := buf.Peek(buf.Buffered())
		zeros := len(b) - len(bytes.TrimLeft(b, "\x00"))
		if zeros == 0 {
			return t.n, nil
		}
		t.Write(b[:zeros])
		if _, err := buf.Discard(zeros); err != nil {
			return 0, err
		}
	}
	return 0, context.Cause(ctx)
}

// plain makes a name of a file of the batch.
func plain(name string) string {
	return strings.TrimLeft(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '_'
	}, name), ".")
}
