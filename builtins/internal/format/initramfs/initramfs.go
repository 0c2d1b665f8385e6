// Package initramfs reads the initial RAM disk of a Linux rescue system: cpio
// archives of the "newc" form, one after another, each plain or compressed.
//
// Its rule: everything is read once, forward, in bounded memory, and an image is
// called whole only when every byte of it was understood. What the kernel would
// skip silently (bytes behind the last archive that are not an archive) is an error
// here, because it is what a cut or overwritten image looks like.
//
// Source of facts: Documentation/driver-api/early-userspace/buffer-format.rst of
// the Linux kernel, and what ReaR's pack/GNU/Linux/900_create_initramfs.sh makes:
// one gzip member by default. Decompression is klauspost/compress, which this
// program already carries. Images of lz4 and lzma (REAR_INITRD_COMPRESSION) and
// of xz are named in the error and not read: runner's own configuration of ReaR
// never asks for them.
package initramfs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Bounds of what is believed of an image.
const (
	MaxEntries = 1 << 20  // of all archives
	MaxBytes   = 16 << 30 // unpacked
	maxName    = 4096
	maxLink    = 4096
	maxWindow  = 128 << 20 // of zstd: what the kernel's own decoder takes
)

// Entry is one file of the image.
type Entry struct {
	Name string      // clean and relative: "usr/bin/tar"; "." is the root
	Mode fs.FileMode // type and permissions
	Size int64       // bytes of content; 0 for links and folders
	Link string      // target of a symbolic link
}

// Error says that the image is at fault, and where.
type Error struct {
	Offset int64 // unpacked bytes before it
	What   string
	Err    error // the cause, or nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("initramfs, unpacked byte %d: %s: %v", e.Offset, e.What, e.Err)
	}
	return fmt.Sprintf("initramfs, unpacked byte %d: %s", e.Offset, e.What)
}

func (e *Error) Unwrap() error { return e.Err }

// Walk calls fn for every entry in order. The reader gives the content; what fn
// leaves of it is skipped. An error of fn ends the walk and is returned as it is.
// Other errors are *Error, or what the source or ctx returned.
func Walk(ctx context.Context, r io.Reader, fn func(e Entry, content io.Reader) error) error {
	src := &source{ctx: ctx, r: r}
	w := &walker{ctx: ctx, fn: fn, src: src}
	packed := bufio.NewReaderSize(src, 64<<10)
	for {
		if err := zeros(packed); err != nil {
			if err == io.EOF {
				break
			}
			return w.blame("read the image", err)
		}
		if err := w.member(packed); err != nil {
			return err
		}
	}
	if w.archives == 0 {
		return w.fault("it holds no archive", nil)
	}
	return nil
}

// source stops at the end of ctx and remembers why reading failed.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		s.err = context.Cause(s.ctx)
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// zeros skips padding between members.
func zeros(r *bufio.Reader) error {
	for {
		b, err := r.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return r.UnreadByte()
		}
	}
}

// member reads what begins here: a plain archive or a compressed run of them.
func (w *walker) member(packed *bufio.Reader) error {
	head, err := packed.Peek(6)
	if err != nil {
		return w.blame("read the beginning of a member", err)
	}
	switch {
	case string(head[:5]) == "07070":
		return w.archive(packed)
	case head[0] == 0x1f && head[1] == 0x8b:
		z, err := gzip.NewReader(packed)
		if err != nil {
			return w.blame("read gzip header", err)
		}
		z.Multistream(false) // the next member begins right behind this one
		return w.unpacked(z)
	case head[0] == 0x28 && head[1] == 0xb5 && head[2] == 0x2f && head[3] == 0xfd:
		z, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return w.blame("read zstd header", err)
		}
		defer z.Close()
		return w.unpacked(z) // all frames to the end of the image
	}
	return w.fault(fmt.Sprintf("a member is %s", nameOf(head)), nil)
}

func nameOf(head []byte) string {
	switch {
	case string(head[1:5]) == "7zXZ":
		return "compressed with xz, which is not read here"
	case head[0] == 0x5d && head[1] == 0 && head[2] == 0:
		return "compressed with lzma, which is not read here"
	case string(head[:4]) == "\x02\x21\x4c\x18" || string(head[:4]) == "\x04\x22\x4d\x18":
		return "compressed with lz4, which is not read here"
	}
	return fmt.Sprintf("neither a newc archive nor compressed by gzip or zstd (it begins with % x)", head)
}

// unpacked reads all archives of one compressed stream to its very end, so that
// its checksum is verified.
func (w *walker) unpacked(z io.Reader) error {
	clear := bufio.NewReaderSize(z, 64<<10)
	for n := 0; ; n++ {
		err := zeros(clear)
		switch {
		case err == io.EOF && n > 0:
			return nil
		case err != nil:
			return w.blame("unpack", err)
		}
		if head, err := clear.Peek(5); err != nil || string(head) != "07070" {
			return w.blame("read an archive: it does not begin with 070701", err)
		}
		if err := w.archive(clear); err != nil {
			return err
		}
	}
}

func (w *walker) fault(what string, err error) error { return &Error{w.total, what, err} }

// blame tells the image's fault from the source's.
func (w *walker) blame(what string, err error) error {
	if w.src.err != nil {
		return w.src.err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return w.fault(what, err)
}
