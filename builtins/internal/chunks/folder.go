package chunks

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/blob/sharded"
	"github.com/neosofia/runner/builtins/internal/durable"
)

// storageType names the storage in the configuration, which nobody else reads. On disk
// it is kopia's "filesystem".
const storageType = "runner-folder"

// maxBlob bounds a blob that is read whole. Packs have 20 MiB; an index of a million
// chunks has 40.
const maxBlob = 1 << 30

// maxFormat bounds the two blobs that are read before the password was tried.
const maxFormat = 1 << 20

// storageOptions is what the configuration file says of the storage.
type storageOptions struct {
	Path string `json:"path"`
}

// storage is kopia's storage in a folder.
type storage struct {
	sharded.Storage
	blob.DefaultProviderImplementation
	folder *folder
}

var registerStorage = sync.OnceFunc(func() {
	blob.AddSupportedStorage(storageType, storageOptions{}, func(ctx context.Context, o *storageOptions, _ bool) (blob.Storage, error) {
		now, _ := ctx.Value(clockKey{}).(func() time.Time)
		return openStorage(o.Path, now)
	})
})

// clockKey finds the clock in the context that opens a storage: the configuration file, which is
// all that kopia hands on else, holds no function.
type clockKey struct{}

func openStorage(dir string, now func() time.Time) (blob.Storage, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{root: root, dir: dir, now: now}
	return &storage{Storage: sharded.New(f, ".", sharded.Options{}, true), folder: f}, nil
}

// ConnectionInfo implements blob.Storage.
func (s *storage) ConnectionInfo() blob.ConnectionInfo {
	return blob.ConnectionInfo{Type: storageType, Config: &storageOptions{s.folder.dir}}
}

// DisplayName implements blob.Storage.
func (s *storage) DisplayName() string { return s.folder.dir }

// Close implements blob.Storage.
func (s *storage) Close(context.Context) error { return s.folder.root.Close() }

// folder keeps blobs as files. os.Root holds it there, whatever links a hostile medium has.
type folder struct {
	root    *os.Root
	dir     string
	now     func() time.Time // kopia's clock: maintenance compares the files' times with it
	buffers sync.Pool
}

var _ sharded.Impl = (*folder)(nil)

// GetBlobFromPath implements sharded.Impl: from the medium, not from the page cache.
func (f *folder) GetBlobFromPath(ctx context.Context, _, name string, offset, length int64, out blob.OutputBuffer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	out.Reset()
	file, err := f.root.OpenFile(path.Clean(name), os.O_RDONLY|durable.OpenFlags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", name, blob.ErrBlobNotFound)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: it is a %s, not a file", name, info.Mode().Type())
	}
	if length < 0 {
		if offset, length = 0, info.Size(); length > whole(name) {
			return fmt.Errorf("%s: %d bytes are more than kopia writes", name, length)
		}
	}
	if offset < 0 || offset > info.Size() || length > info.Size()-offset {
		return fmt.Errorf("%s has %d bytes, %d from %d on are wanted: %w", name, info.Size(), length, offset, blob.ErrInvalidRange)
	}
	return f.read(file, offset, length, out)
}

func whole(name string) int64 {
	if strings.HasPrefix(path.Base(name), "kopia.") || path.Base(name) == sharded.ParametersFile {
		return maxFormat
	}
	return maxBlob
}

func (f *folder) read(file *os.File, offset, length int64, out io.Writer) error {
	if err := uncache(file, offset, length); err != nil {
		return err
	}
	buf, ok := f.buffers.Get().(*[]byte)
	if !ok {
		b := make([]byte, 256<<10)
		buf = &b
	}
	defer f.buffers.Put(buf)
	for at := offset; at < offset+length; {
		b := (*buf)[:min(int64(len(*buf)), offset+length-at)]
		n, err := file.ReadAt(b, at)
		if n < len(b) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read %s: %w", file.Name(), err)
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
		at += int64(n)
	}
	return uncache(file, offset, length)
}

// GetMetadataFromPath implements sharded.Impl.
func (f *folder) GetMetadataFromPath(_ context.Context, _, name string) (blob.Metadata, error) {
	info, err := f.root.Lstat(path.Clean(name))
	if errors.Is(err, fs.ErrNotExist) {
		return blob.Metadata{}, blob.ErrBlobNotFound
	}
	if err != nil {
		return blob.Metadata{}, err
	}
	return blob.Metadata{Length: info.Size(), Timestamp: info.ModTime()}, nil
}

// unfinished is in the names of files that are being written; kopia ignores them.
const unfinished = ".tmp."

// PutBlobInPath implements sharded.Impl. When it returns, file and name are on the medium.
func (f *folder) PutBlobInPath(ctx context.Context, _, name string, data blob.Bytes, o blob.PutOptions) error {
	if o.HasRetentionOptions() || o.DoNotRecreate {
		return blob.ErrUnsupportedPutBlobOption
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	name = path.Clean(name)
	dir := path.Dir(name)
	if err := durable.MakeFolders(f.root, dir); err != nil {
		return err
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	temp := name + unfinished + hex.EncodeToString(random[:])
	err := f.write(temp, data, o)
	if err == nil {
		err = f.root.Rename(temp, name)
	}
	if err != nil {
		if rerr := f.root.Remove(temp); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		return err
	}
	if o.GetModTime != nil {
		info, err := f.root.Lstat(name)
		if err != nil {
			return err
		}
		*o.GetModTime = info.ModTime()
	}
	return durable.SyncFolder(f.root, dir)
}

func (f *folder) write(temp string, data blob.Bytes, o blob.PutOptions) error {
	file, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = data.WriteTo(file)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = uncache(file, 0, int64(data.Length()))
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	t := o.SetModTime
	if t.IsZero() && f.now != nil {
		t = f.now()
	}
	if err == nil && !t.IsZero() {
		err = f.root.Chtimes(temp, t, t)
	}
	return err
}

// DeleteBlobInPath implements sharded.Impl.
func (f *folder) DeleteBlobInPath(_ context.Context, _, name string) error {
	name = path.Clean(name)
	err := f.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return durable.SyncFolder(f.root, path.Dir(name))
}

// ReadDir implements sharded.Impl. Links are left out: kopia makes none.
func (f *folder) ReadDir(_ context.Context, dir string) ([]os.FileInfo, error) {
	d, err := f.root.OpenFile(path.Clean(dir), os.O_RDONLY|durable.OpenFlags, 0)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	all, err := d.Readdir(-1)
	if err != nil {
		return nil, err
	}
	kept := all[:0]
	for _, info := range all {
		if info.IsDir() || info.Mode().IsRegular() {
			kept = append(kept, info)
		}
	}
	return kept, nil
}

// sweep removes what killed writers left half written. The caller holds the lease.
func (f *folder) sweep(ctx context.Context, dir string) error {
	all, err := f.ReadDir(ctx, dir)
	if err != nil {
		return err
	}
	for _, info := range all {
		name := path.Join(dir, info.Name())
		switch {
		case info.IsDir():
			err = f.sweep(ctx, name)
		case strings.Contains(info.Name(), sharded.CompleteBlobSuffix+unfinished):
			err = f.root.Remove(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
