package logs

import (
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// open reads a log from an offset of its clear bytes.
func (r *fileRead) open(ctx context.Context, f file, offset int64) (io.ReadCloser, error) {
	if !f.packed() {
		return r.h.Open(ctx, f.path, offset)
	}
	raw, err := r.h.Open(ctx, f.path, 0)
	if err != nil {
		return nil, err
	}
	in, err := unpack(path.Ext(f.path), raw)
	if err == nil {
		_, err = io.CopyN(io.Discard, in, offset)
	}
	if err != nil {
		raw.Close()
		return nil, &ReadError{f.path, "it cannot be unpacked: " + err.Error()}
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
		return xz.ReaderConfig{DictCap: 64 << 20}.NewReader(raw)
	case ".bz2":
		return bzip2.NewReader(raw), nil
	}
	z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, err
	}
	return z, nil
}

// read copies a file from an offset to the end that it had when it was looked at,
// or, when it is packed, to its end. Without new bytes there is no part.
func (r *fileRead) read(ctx context.Context, f file, offset int64) (p *part, end int64, err error) {
	if !f.packed() && f.size <= offset {
		return nil, offset, nil
	}
	in, err := r.open(ctx, f, offset)
	if err != nil {
		return nil, offset, err
	}
	defer in.Close()
	r.n++
	p, err = newPart(r.sink, fmt.Sprintf("%04d-%s.zst", r.n, plain(path.Base(f.path))), f.path, offset)
	if err != nil {
		return nil, offset, err
	}
	limit := max(r.left, 1<<20)
	if rest := f.size - offset; !f.packed() && rest <= limit {
		limit = rest
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{p}, struct{ io.Reader }{io.LimitReader(in, limit)}, make([]byte, 256<<10))
	switch {
	case err != nil:
	case !f.packed() && offset+n < min(f.size, offset+limit):
		err = os.ErrNotExist // it was truncated while it was read: look again
	case !f.packed() && offset+n < f.size, f.packed() && n == limit:
		r.c.More = true
	}
	if cerr := p.close(); err == nil {
		err = cerr
	}
	p.Entries = p.lines
	r.left -= p.Bytes
	if err != nil && f.packed() && !errors.Is(err, os.ErrNotExist) && ctx.Err() == nil {
		err = &ReadError{f.path, err.Error()}
	}
	if err == nil && n == 0 { // a packed file that was read to its end before
		return nil, offset, p.sink.Drop(p.File)
	}
	if r.lines && !f.packed() {
		n -= p.unended
	}
	return p, offset + n, err
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
