package sftp

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	pkgsftp "github.com/pkg/sftp"

	"github.com/neosofia/runner/builtins/lab/fault"
)

// handlers do the file operations of one session.
type handlers struct {
	ctx  context.Context
	cfg  Config
	root *os.Root
	cut  func() // ends the connection

	mu      sync.Mutex
	written map[*file]bool // open for writing
}

// deeds that an operation can meet.
var deeds = []string{"cut", "enospc", "deny", "truncate", "hang", "slow", "append-only", "grow"}

// meet asks for the faults of one operation: place "sftp offsite.lab put". The
// error is what the client gets instead of the operation.
func (h *handlers) meet(op string) ([]fault.Deed, error) {
	due, err := h.cfg.Faults.Due("sftp "+h.cfg.Name+" "+op, deeds...)
	if err != nil {
		return nil, err
	}
	for _, d := range due {
		switch d.Name {
		case "deny":
			return nil, pkgsftp.ErrSSHFxPermissionDenied
		case "hang":
			<-h.ctx.Done()
			return nil, h.ctx.Err()
		case "slow":
			wait, err := d.Duration(time.Second)
			if err != nil {
				return nil, err
			}
			if err := h.cfg.Sleep(h.ctx, wait); err != nil {
				return nil, err
			}
		case "cut":
			if d.Args == "" {
				h.cut()
				return nil, io.ErrClosedPipe
			}
		}
	}
	return due, nil
}

// appendOnly says whether the account may only add files.
func appendOnly(due []fault.Deed) bool {
	for _, d := range due {
		if d.Name == "append-only" {
			return true
		}
	}
	return false
}

// rel is a client's path below the root.
func rel(p string) string {
	if p = strings.TrimPrefix(path.Clean("/"+p), "/"); p != "" {
		return p
	}
	return "."
}

// status turns an error into one that sftp has a code for.
func status(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return os.ErrNotExist
	case errors.Is(err, fs.ErrPermission):
		return pkgsftp.ErrSSHFxPermissionDenied
	}
	return err
}

// Fileread opens a file for reading.
func (h *handlers) Fileread(r *pkgsftp.Request) (io.ReaderAt, error) {
	due, err := h.meet("get")
	if err != nil {
		return nil, err
	}
	f, err := h.root.Open(rel(r.Filepath))
	if err != nil {
		return nil, status(err)
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		f.Close()
		return nil, errors.Join(err, errors.New("is a directory"))
	}
	for _, d := range due {
		if d.Name == "grow" {
			if err := h.grow(rel(r.Filepath)); err != nil {
				return nil, errors.Join(err, f.Close())
			}
		}
	}
	return &file{File: f, h: h, limits: limits(due)}, nil
}

// grow writes to the end of a file, as somebody else does.
func (h *handlers) grow(name string) error {
	f, err := h.root.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("more")
	return errors.Join(err, f.Close())
}

// Filewrite opens a file for writing.
func (h *handlers) Filewrite(r *pkgsftp.Request) (io.WriterAt, error) {
	return h.openWrite(r)
}

// OpenFile opens a file for reading and writing.
func (h *handlers) OpenFile(r *pkgsftp.Request) (pkgsftp.WriterAtReaderAt, error) {
	return h.openWrite(r)
}

func (h *handlers) openWrite(r *pkgsftp.Request) (*file, error) {
	due, err := h.meet("put")
	if err != nil {
		return nil, err
	}
	flags, p := r.Pflags(), os.O_WRONLY
	if flags.Read {
		p = os.O_RDWR
	}
	for _, o := range []struct {
		set  bool
		flag int
	}{{flags.Creat, os.O_CREATE}, {flags.Trunc, os.O_TRUNC}, {flags.Excl, os.O_EXCL}} {
		if o.set {
			p |= o.flag
		}
	}
	name := rel(r.Filepath)
	if appendOnly(due) {
		if _, err := h.root.Lstat(name); err == nil {
			return nil, pkgsftp.ErrSSHFxPermissionDenied
		}
	}
	mode := fs.FileMode(0o644)
	if r.AttrFlags().Permissions {
		mode = r.Attributes().FileMode().Perm()
	}
	f, err := h.root.OpenFile(name, p, mode)
	if err != nil {
		return nil, status(err)
	}
	w := &file{File: f, h: h, limits: limits(due)}
	if flags.Append {
		if info, err := f.Stat(); err == nil {
			w.base = info.Size()
		}
	}
	h.mu.Lock()
	h.written[w] = true
	h.mu.Unlock()
	return w, nil
}

// limits are the deeds that count bytes.
func limits(due []fault.Deed) map[string]int64 {
	out := map[string]int64{}
	for _, d := range due {
		if n, err := strconv.ParseInt(d.Args, 10, 64); err == nil {
			out[d.Name] = n
		}
	}
	return out
}

// file is one open file and the faults that wait in it.
type file struct {
	*os.File
	h      *handlers
	limits map[string]int64 // deed -> after how many bytes
	base   int64            // of a file opened for appending

	mu   sync.Mutex
	done int64 // bytes moved
}

// moved counts bytes, and does what is due after so many.
func (f *file) moved(n int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done += int64(n)
	if max, ok := f.limits["cut"]; ok && f.done > max {
		f.h.cut()
		return io.ErrClosedPipe
	}
	if max, ok := f.limits["enospc"]; ok && f.done > max {
		return syscall.ENOSPC
	}
	return nil
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	if max, ok := f.limits["truncate"]; ok && off+int64(len(b)) > max {
		if off >= max {
			return 0, io.EOF
		}
		b = b[:max-off]
	}
	n, err := f.File.ReadAt(b, off)
	if cut := f.moved(n); cut != nil {
		return 0, cut
	}
	return n, err
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	if err := f.moved(len(b)); err != nil {
		return 0, err
	}
	whole := len(b)
	if keep, ok := f.limits["truncate"]; ok && off+int64(len(b)) > keep {
		b = b[:min(int64(len(b)), max(keep-off, 0))] // lost without a word
	}
	if _, err := f.File.WriteAt(b, f.base+off); err != nil {
		return 0, err
	}
	return whole, nil
}

func (f *file) Close() error {
	f.h.mu.Lock()
	delete(f.h.written, f)
	f.h.mu.Unlock()
	return f.File.Close()
}

// sync brings all files open for writing to disk, for fsync@openssh.com.
func (h *handlers) sync() error {
	if _, err := h.meet("fsync"); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for f := range h.written {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}
