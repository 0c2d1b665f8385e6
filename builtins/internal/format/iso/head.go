package iso

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// head reads forward and keeps what it read, so that folders can be looked up in
// any order.
type head struct {
	ctx  context.Context
	r    io.Reader
	kept []byte // bytes 0… of the image
	pos  int64  // of the source; beyond kept once files are handed out
	err  error  // the source's own
}

// Read reads the source itself, in order.
func (h *head) Read(p []byte) (int, error) {
	if h.ctx.Err() != nil {
		h.err = context.Cause(h.ctx)
		return 0, h.err
	}
	n, err := h.r.Read(p)
	h.pos += int64(n)
	if err != nil && err != io.EOF {
		h.err = err
	}
	return n, err
}

// at gives bytes of the part that is kept.
func (h *head) at(lba uint32, size int64, what string) ([]byte, error) {
	from := int64(lba) * block
	to := from + size
	if to > MaxHead {
		return nil, &Error{from, fmt.Sprintf("%s lies behind the first %d MiB: only images that begin with their folders are read", what,
			MaxHead>>20)}
	}
	for need := to - int64(len(h.kept)); need > 0; need = to - int64(len(h.kept)) {
		chunk := make([]byte, min(need, 256<<10)) // what is really there bounds what is kept
		n, err := io.ReadFull(h, chunk)
		h.kept = append(h.kept, chunk[:n]...)
		if err != nil {
			return nil, h.blame(what, err)
		}
	}
	return h.kept[from:to], nil
}

// blame tells the image's fault from the source's.
func (h *head) blame(what string, err error) error {
	switch {
	case h.err != nil:
		return h.err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{h.pos, "it ends within " + what}
	}
	return err
}

// seek makes the next byte of stream that at an offset, which lies ahead, or in
// what is kept.
func (h *head) stream(offset int64) (io.Reader, error) {
	if kept := int64(len(h.kept)); offset < kept {
		return io.MultiReader(&bytesAt{h, offset}, h), nil
	}
	if offset < h.pos {
		return nil, &Error{offset, "two files overlap"}
	}
	if _, err := io.CopyN(io.Discard, h, offset-h.pos); err != nil {
		return nil, h.blame("the space between two files", err)
	}
	return h, nil
}

// bytesAt reads what is kept, to its end.
type bytesAt struct {
	h   *head
	off int64
}

func (b *bytesAt) Read(p []byte) (int, error) {
	if b.off >= int64(len(b.h.kept)) {
		return 0, io.EOF
	}
	n := copy(p, b.h.kept[b.off:])
	b.off += int64(n)
	return n, nil
}
