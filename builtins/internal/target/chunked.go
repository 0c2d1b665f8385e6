package target

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/neosofia/runner/builtins/internal/durable"
	"github.com/neosofia/runner/builtins/internal/engine"
	"github.com/neosofia/runner/builtins/internal/mirror"
	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/runtime/failure"
)

// LayoutChunks is the layout of a deduplicating repository.
const LayoutChunks = "chunks"

// chunksFolder holds the repository, beside the README, the program and the checkpoints.
const chunksFolder = "chunks"

// openChunks puts the repository in front of the folder that was opened.
func (t *Target) openChunks(ctx context.Context) error {
	files, ok := t.store.(*fileStore)
	if !ok {
		return badTarget(t.spec.Name, "a layout of chunks is for folders of this machine")
	}
	if err := files.guard(ctx); err != nil {
		return err
	}
	if err := durable.MakeFolders(files.root, chunksFolder); err != nil {
		return files.fail("make folder", chunksFolder, err)
	}
	start := t.env.Chunks
	if start == nil {
		start = t.startChunks
	}
	chunks, caps, err := t.env.Repositories.share(ctx, t.spec.Name, filepath.Join(files.root.Name(), chunksFolder), start)
	if err != nil {
		return err
	}
	t.store = &beside{files: files, chunks: chunks}
	folder := t.caps
	t.caps = Capabilities{Rename: true, Whole: true, Maintain: caps.Maintain, Packs: caps.Packs, Space: folder.Space, Guard: folder.Guard,
		Program: folder.Program,
		Answers: func(ctx context.Context) error {
			// Nothing has this name; one that was never written is no fault.
			if _, err := chunks.Stat(ctx, "none/none"); !failure.Is(err, CodeNotFound) {
				return err
			}
			return nil
		},
		Close: func() error {
			var cerr error
			if caps.Close != nil {
				cerr = caps.Close()
			}
			return errors.Join(cerr, folder.Close())
		}}
	return nil
}

// ChunksKind names the engine of repositories, and ChunksPassword the only option of its login.
const (
	ChunksKind     = "chunks"
	ChunksPassword = "password"
)

// Repositories are those that a process has open: one writer has a repository at a time, and the steps of a run
// share it. The zero value is ready; a nil one shares nothing.
type Repositories struct {
	mu   sync.Mutex
	open map[string]*repository
	keys map[[sha256.Size]byte]mirror.Keys // by digest of their password
	read map[string]bool                   // sealed blobs of mirrors that were read back
	busy map[string]chan struct{}          // mirrors that are written: a run's lease does not keep its own steps apart
}

// repository is one that is open, and how many targets use it.
type repository struct {
	store store.Store
	caps  Capabilities
	users int
}

type opener func(ctx context.Context, target, folder string) (store.Store, Capabilities, error)

// share opens a repository, or joins those who have it open. Close of the Capabilities leaves it.
func (r *Repositories) share(ctx context.Context, target, folder string, open opener) (store.Store, Capabilities, error) {
	if r == nil {
		return open(ctx, target, folder)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	have := r.open[folder]
	if have == nil {
		s, caps, err := open(ctx, target, folder)
		if err != nil {
			return nil, caps, err
		}
		have = &repository{store: s, caps: caps}
		if r.open == nil {
			r.open = map[string]*repository{}
		}
		r.open[folder] = have
	}
	have.users++
	caps := have.caps
	caps.Close = sync.OnceValue(func() error { return r.leave(folder) })
	return have.store, caps, nil
}

func (r *Repositories) leave(folder string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	have := r.open[folder]
	if have.users--; have.users > 0 {
		return nil
	}
	delete(r.open, folder)
	if have.caps.Close == nil {
		return nil
	}
	return have.caps.Close()
}

// startChunks has the repository opened in a process of its own, when it is first used.
func (t *Target) startChunks(_ context.Context, _, folder string) (store.Store, Capabilities, error) {
	if t.spec.Password == nil {
		return nil, Capabilities{}, badTarget(t.spec.Name, "its repository has no password")
	}
	f := &foreign{t: t, folder: folder}
	return f, Capabilities{Maintain: f.maintain, Packs: f.packs, Close: f.Close}, nil
}

// repository is the configuration that opens one.
func (f *foreign) repository(ctx context.Context) (engine.Config, error) {
	password, err := f.t.spec.Password(ctx)
	if err != nil {
		return engine.Config{}, err
	}
	login := engine.Login{Kind: ChunksKind, Options: map[string]string{ChunksPassword: string(password)}}
	clear(password)
	return engine.Config{Target: f.t.spec.Name, Root: strings.TrimPrefix(f.folder, "/"), Login: login, Local: true,
		Read: f.t.spec.Read}, nil
}

func (f *foreign) maintain(ctx context.Context) (int64, error) {
	c, err := f.session(ctx)
	if err != nil {
		return 0, err
	}
	freed, err := c.Maintain(ctx)
	return freed, f.judge(err)
}

func (f *foreign) packs(ctx context.Context, folders []string) ([]string, error) {
	c, err := f.session(ctx)
	if err != nil {
		return nil, err
	}
	packs, err := c.Packs(ctx, folders)
	return packs, f.judge(err)
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

// Put implements Store.
func (b *beside) Put(ctx context.Context, name string, offset, size int64, r io.Reader) (int64, error) {
	s, err := b.guarded(ctx, name)
	if err != nil {
		return 0, err
	}
	return s.Put(ctx, name, offset, size, r)
}

// Get implements Store.
func (b *beside) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	rc, err := b.write(name).Get(ctx, name, offset, length)
	if failure.Is(err, CodeNotFound) && b.write(name) == b.chunks {
		return b.files.Get(ctx, name, offset, length)
	}
	return rc, err
}

// Stat implements Store.
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

// List implements Store.
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

// Rename implements Store.
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

// Delete implements Store.
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
