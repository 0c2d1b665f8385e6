package logs

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

const printLen = logbatch.MaxPrint

// digest is the beginning of a SHA-256: enough to tell files apart that nobody made
// for it, and who writes a log can make two that are equal anyway.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawStdEncoding.EncodeToString(sum[:12])
}

// isDigest compares, also with the whole hexadecimal SHA-256 of earlier batches.
func isDigest(b []byte, was string) bool {
	if len(was) == 2*sha256.Size {
		sum := sha256.Sum256(b)
		return hex.EncodeToString(sum[:]) == was
	}
	return digest(b) == was
}

// tap keeps the beginning and the end of what flows through it.
type tap struct {
	head, tail []byte
	n          int64
}

func (t *tap) Write(b []byte) (int, error) {
	if room := printLen - len(t.head); room > 0 {
		t.head = append(t.head, b[:min(room, len(b))]...)
	}
	t.n += int64(len(b))
	t.tail = append(t.tail, b[max(0, len(b)-printLen):]...)
	t.tail = append(t.tail[:0], t.tail[max(0, len(t.tail)-printLen):]...)
	return len(b), nil
}

// before is what is digested of the bytes before an offset, which was reached now.
func (t *tap) before(offset int64) []byte {
	return t.tail[max(0, int64(len(t.tail))-min(offset, printLen)):]
}

// head is the beginning of a file's clear bytes. One that cannot be unpacked gives
// what it can, and is bad.
func (r *fileRead) head(ctx context.Context, f *file) ([]byte, error) {
	if f.looked {
		return f.head, nil
	}
	in, err := r.open(ctx, f, 0)
	if err == nil {
		f.head, err = io.ReadAll(io.LimitReader(in, printLen))
		err = f.unpacking(ctx, errors.Join(err, in.Close()))
	}
	if errors.As(err, &f.bad) {
		err = nil
	}
	f.looked = err == nil
	return f.head, err
}

// at is up to printLen bytes before an offset of a file that is not packed.
func (r *fileRead) at(ctx context.Context, f *file, offset int64) ([]byte, error) {
	from := max(0, offset-printLen)
	in, err := r.open(ctx, f, from)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(in, offset-from))
	return b, errors.Join(err, in.Close())
}

// tails are what lies before each of the offsets, as far as the file goes. A packed
// one is unpacked to its end, once, so that its length is known then.
func (r *fileRead) tails(ctx context.Context, f *file, offsets []int64) (map[int64][]byte, error) {
	out := map[int64][]byte{}
	if f.packed() {
		return out, r.unpackThrough(ctx, f, offsets, out)
	}
	for _, o := range offsets {
		if out[o] != nil {
			continue
		}
		b, err := r.at(ctx, f, o)
		if err != nil {
			return nil, err
		}
		if int64(len(b)) == min(o, printLen) {
			out[o] = b
		}
	}
	return out, nil
}

func (r *fileRead) unpackThrough(ctx context.Context, f *file, offsets []int64, out map[int64][]byte) error {
	in, err := r.open(ctx, f, 0)
	if err == nil {
		t := &tap{}
		for _, o := range slices.Sorted(slices.Values(offsets)) {
			if _, err = io.CopyN(t, in, o-t.n); err != nil {
				break
			}
			out[o] = slices.Clone(t.tail)
		}
		if err == nil {
			_, err = io.Copy(t, in)
		}
		if err == io.EOF { // it ends before an offset
			err = nil
		}
		f.clear, f.end = t.n, t.tail
		err = f.unpacking(ctx, errors.Join(err, in.Close()))
	}
	if errors.As(err, &f.bad) {
		return nil
	}
	return err
}

// beginning reports whether all that a file holds is the beginning of another one.
func (r *fileRead) beginning(ctx context.Context, f, of *file) (bool, error) {
	if f.packed() || of.packed() || f.size == 0 || f.size > of.size {
		return false, nil
	}
	a, err := r.head(ctx, f)
	if err != nil {
		return false, err
	}
	b, err := r.head(ctx, of)
	if err != nil || !strings.HasPrefix(string(b), string(a)) {
		return false, err
	}
	if a, err = r.at(ctx, f, f.size); err != nil {
		return false, err
	}
	b, err = r.at(ctx, of, f.size)
	return string(a) == string(b), err
}
