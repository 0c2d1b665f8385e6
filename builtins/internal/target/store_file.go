package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/neosofia/runner/builtins/internal/durable"
)

// step is how much is written before the kernel is told to start, and how much
// stays in its cache behind a reader. What was written two steps ago is waited
// for: dirty memory is bounded, and the machine's own work keeps its cache. The
// same few pages are used again and again, which costs half the processor time
// of fresh ones.
const step = 8 << 20

// fileStore keeps names below one folder. os.Root holds it there, whatever links
// a hostile medium has.
type fileStore struct {
	target string
	root   *os.Root
	guard  func(ctx context.Context) error // before every write: still the same medium
}

func (s *fileStore) fail(doing, name string, err error) error {
	return localError(s.target, doing+" "+name, err)
}

// Put implements Store.
func (s *fileStore) Put(ctx context.Context, name string, offset, size int64, r io.Reader) (int64, error) {
	if err := s.guard(ctx); err != nil {
		return 0, err
	}
	if err := durable.MakeFolders(s.root, path.Dir(name)); err != nil {
		return 0, s.fail("make folder of", name, err)
	}
	f, fresh, err := s.openToWrite(name)
	if err != nil {
		return 0, s.fail("write", name, err)
	}
	n, err := fill(ctx, f, offset, size, r)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && fresh {
		err = durable.SyncFolder(s.root, path.Dir(name))
	}
	return n, s.fail("write", name, err)
}

func (s *fileStore) openToWrite(name string) (f *os.File, fresh bool, err error) {
	info, err := s.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fresh = true
	case err != nil:
		return nil, false, err
	case !info.Mode().IsRegular():
		return nil, false, fmt.Errorf("there is a %s, not a file", info.Mode().Type())
	}
	f, err = s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|durable.OpenFlags, 0o600)
	return f, fresh, err
}

// fill writes from offset on. After an error the file ends where its bytes end,
// so that they can be compared and the reserved space is free again.
func fill(ctx context.Context, f *os.File, offset, size int64, r io.Reader) (int64, error) {
	if err := f.Truncate(offset); err != nil {
		return 0, err
	}
	if size > offset {
		if err := reserve(f, offset, size-offset); err != nil {
			return 0, err
		}
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return 0, err
	}
	w := &fileWriter{ctx: ctx, f: f, offset: offset, started: offset, gone: offset}
	var err error
	if to, ok := r.(io.WriterTo); ok {
		_, err = to.WriteTo(w)
	} else {
		_, err = io.CopyBuffer(w, struct{ io.Reader }{r}, make([]byte, chunkSize))
	}
	n := w.offset - offset
	if err != nil || w.offset < size {
		if terr := f.Truncate(w.offset); err == nil {
			err = terr
		}
	}
	if err != nil {
		return n, err
	}
	return n, f.Sync()
}

type fileWriter struct {
	ctx     context.Context
	f       *os.File
	offset  int64
	started int64 // writeback was started up to here
	gone    int64 // out of the cache up to here
}

func (w *fileWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.f.Write(p)
	w.offset += int64(n)
	if err != nil {
		return n, err
	}
	if w.offset-w.started >= step {
		err = w.flush()
	}
	return n, err
}

// flush starts writing what came last, and waits for what came before it.
func (w *fileWriter) flush() error {
	if err := startWriteback(w.f, w.started, w.offset-w.started); err != nil {
		return err
	}
	last := w.started
	w.started = w.offset
	if last == w.gone {
		return nil
	}
	from := w.gone
	w.gone = last
	return letGo(w.f, from, last-from)
}

// Get implements Store.
func (s *fileStore) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	f, err := s.root.OpenFile(name, os.O_RDONLY|durable.OpenFlags, 0)
	if err != nil {
		return nil, s.fail("read", name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("it is a %s, not a file", info.Mode().Type())
	}
	if err == nil {
		err = advise(f)
	}
	if err == nil && offset > 0 {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, s.fail("read", name, errors.Join(err, f.Close()))
	}
	r := &fileReader{ctx: ctx, s: s, f: f, name: name, offset: offset, gone: offset}
	if length >= 0 {
		return &struct {
			io.Reader
			io.Closer
		}{io.LimitReader(r, length), f}, nil
	}
	return r, nil
}

type fileReader struct {
	ctx  context.Context
	s    *fileStore
	f    *os.File
	name string

	offset, gone int64 // read, and out of the cache, up to here
}

func (r *fileReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.f.Read(p)
	if r.offset += int64(n); err == nil && r.offset-r.gone >= step {
		err = forget(r.f, r.gone, r.offset-r.gone)
		r.gone = r.offset
	}
	if err != nil && err != io.EOF {
		err = r.s.fail("read", r.name, err)
	}
	return n, err
}

func (r *fileReader) Close() error { return r.f.Close() }
