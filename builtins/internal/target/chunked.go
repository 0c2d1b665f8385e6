package target

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/runtime/failure"
)

// LayoutChunks is the layout of a deduplicating repository.
const LayoutChunks = "chunks"

// chunksFolder holds the repository, beside the README, the program and the checkpoints.
const chunksFolder = "chunks"

// openChunks puts the repository in front of the folder that was opened.
func (t *Target) openChunks(ctx context.Context) error {
	if t.env.Chunks == nil {
		return badTarget(t.spec.Name, "nothing here opens a repository of chunks")
	}
	files, ok := t.store.(*fileStore)
	if !ok {
		return badTarget(t.spec.Name, "a layout of chunks is for folders of this machine")
	}
	if err := files.guard(ctx); err != nil {
		return err
	}
	if err := files.folders(chunksFolder); err != nil {
		return files.fail("make folder", chunksFolder, err)
	}
	chunks, caps, err := t.env.Chunks(ctx, t.spec.Name, filepath.Join(files.root.Name(), chunksFolder))
	if err != nil {
		return err
	}
	t.store = &beside{files: files, chunks: chunks}
	folder := t.caps
	t.caps = Capabilities{Rename: true, Whole: true, Space: folder.Space, Guard: folder.Guard, Program: folder.Program, Maintain: caps.Maintain,
		Close: func() error {
			var cerr error
			if caps.Close != nil {
				cerr = caps.Close()
			}
			return errors.Join(cerr, folder.Close())
		}}
	return nil
}

// beside is a repository in a folder: what has a folder in its name goes into the repository, and what lies at
// the root stays a file. Copies that the folder had before are still read, and removed.
type beside struct {
	files  *fileStore
	chunks store.Store
}

var _ store.Store = (*beside)(nil)

// write is the store that a name is written to.
func (b *beside) write(name string) store.Store {
	if strings.Contains(name, "/") {
		return b.chunks
	}
	return b.files
}

// guarded looks at the medium before the repository is written: it writes to a path.
func (b *beside) guarded(ctx context.Context, name string) (store.Store, error) {
	s := b.write(name)
	if s == store.Store(b.files) {
		return s, nil // it looks by itself
	}
	return s, b.files.guard(ctx)
}

// Put implements store.Store.
func (b *beside) Put(ctx context.Context, name string, offset, size int64, r io.Reader) (int64, error) {
	s, err := b.guarded(ctx, name)
	if err != nil {
		return 0, err
	}
	return s.Put(ctx, name, offset, size, r)
}

// Get implements store.Store.
func (b *beside) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	rc, err := b.write(name).Get(ctx, name, offset, length)
	if failure.Is(err, CodeNotFound) && b.write(name) == b.chunks {
		return b.files.Get(ctx, name, offset, length)
	}
	return rc, err
}

// Stat implements store.Store.
func (b *beside) Stat(ctx context.Context, name string) (store.Info, error) {
	if b.write(name) == store.Store(b.files) {
		if info, err := b.files.Stat(ctx, name); err == nil && !info.Dir || err != nil && !failure.Is(err, CodeNotFound) {
			return info, err
		}
	}
	info, err := b.chunks.Stat(ctx, name)
	if failure.Is(err, CodeNotFound) {
		return b.files.Stat(ctx, name)
	}
	return info, err
}

// List implements store.Store.
func (b *beside) List(ctx context.Context, dir string) ([]store.Info, error) {
	all, err := b.chunks.List(ctx, dir)
	if err != nil && !failure.Is(err, CodeNotFound) {
		return nil, err
	}
	had, ferr := b.files.List(ctx, dir)
	if failure.Is(ferr, CodeNotFound) {
		return all, err
	}
	if ferr != nil {
		return nil, ferr
	}
	for _, info := range had {
		same := func(other store.Info) bool { return other.Name == info.Name }
		if !(dir == "." && info.Name == chunksFolder) && !slices.ContainsFunc(all, same) {
			all = append(all, info)
		}
	}
	return all, nil
}

// Rename implements store.Store.
func (b *beside) Rename(ctx context.Context, from, to string) error {
	s, err := b.guarded(ctx, from)
	if err != nil {
		return err
	}
	if s != b.write(to) {
		return badTarget(b.files.target, "%s cannot become %s: one is a file of the folder, and one of its repository", from, to)
	}
	return s.Rename(ctx, from, to)
}

// Delete implements store.Store.
func (b *beside) Delete(ctx context.Context, name string) error {
	if err := b.files.guard(ctx); err != nil {
		return err
	}
	if strings.Split(name, "/")[0] == chunksFolder {
		return badTarget(b.files.target, "%s is the repository's", name)
	}
	if err := b.chunks.Delete(ctx, name); err != nil {
		return err
	}
	return b.files.Delete(ctx, name)
}
