package target

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/mirror"
	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/runtime/failure"
)

// reading is the repository of one state, in a scratch folder, as far as copies were asked for. What lies there is
// still encrypted by the repository: its password is in memory alone.
type reading struct {
	m        *mirrored
	dir      string
	root     *os.Root
	files    map[string]mirror.File // by their names in the repository
	packs    map[string]string      // id -> name in the repository
	have     map[string]bool
	password []byte
	ids      []age.Identity
	store    store.Store
	caps     Capabilities
}

// repository is the one that a copy comes back from, with all that the copy needs in it.
func (m *mirrored) repository(ctx context.Context, ref string, ids []age.Identity) (store.Store, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.holding(ctx, nil, ref)
	if err != nil {
		return nil, err
	}
	r := m.readings[s.name]
	if r == nil {
		if r, err = m.read(ctx, s.name, ids); err != nil {
			return nil, err
		}
		m.readings[s.name] = r
	}
	return r.store, r.fetchPacks(ctx, ref)
}

// read opens the repository of a state: what holds its names is fetched, and no data.
func (m *mirrored) read(ctx context.Context, name string, ids []age.Identity) (r *reading, err error) {
	r = &reading{m: m, files: map[string]mirror.File{}, packs: map[string]string{}, have: map[string]bool{}, ids: ids}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	dir := path.Join(mirror.States, name)
	text, err := m.openSmall(ctx, path.Join(dir, mirror.IndexFile), ids)
	if err != nil {
		return r, err
	}
	files, err := mirror.ParseIndex(text)
	if err != nil {
		return r, damaged(m.t.spec.Name, "read "+path.Join(dir, mirror.IndexFile), "%v", err)
	}
	if r.password, err = m.openSmall(ctx, path.Join(dir, mirror.PasswordFile), ids); err != nil {
		return r, err
	}
	if err := r.scratch(); err != nil {
		return r, err
	}
	var names []mirror.File
	for _, f := range files {
		r.files[f.Path] = f
		if f.Pack {
			id, _ := mirror.ID(f.Path)
			r.packs[id] = f.Path
		} else {
			names = append(names, f)
		}
	}
	if err := r.fetch(ctx, names); err != nil {
		return r, err
	}
	return r, r.open(ctx)
}

// openSmall opens a sealed file whole.
func (m *mirrored) openSmall(ctx context.Context, name string, ids []age.Identity) ([]byte, error) {
	sealed, err := m.t.small(ctx, name, maxList)
	if failure.Is(err, CodeNotFound) {
		return nil, damaged(m.t.spec.Name, "read "+name, "it is missing")
	}
	if err != nil {
		return nil, err
	}
	r, err := m.t.openSealed(name, bytes.NewReader(sealed), ids)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxList))
	if err != nil {
		return nil, m.t.opening(name, err)
	}
	return b, nil
}

func (r *reading) scratch() (err error) {
	t := r.m.t
	if t.env.Scratch == "" {
		e := badTarget(t.spec.Name, "there is no folder for pieces of its repository while they are read")
		e.Hint = "name one with --scratch DIR: it takes what the copies need, encrypted, and is emptied in the end"
		return e
	}
	if err := os.MkdirAll(t.env.Scratch, 0o700); err != nil {
		return localError(t.spec.Name, "make "+t.env.Scratch, err)
	}
	if r.dir, err = os.MkdirTemp(t.env.Scratch, "runner-mirror-"); err != nil {
		return localError(t.spec.Name, "make a folder in "+t.env.Scratch, err)
	}
	if r.dir, err = filepath.Abs(r.dir); err == nil {
		r.root, err = os.OpenRoot(r.dir)
	}
	return localError(t.spec.Name, "open "+r.dir, err)
}

// open starts the engine of repositories on what was fetched.
func (r *reading) open(ctx context.Context) (err error) {
	t := r.m.t
	start := t.env.Chunks
	if start == nil {
		spec := Spec{Name: t.spec.Name, Read: true, Password: func(context.Context) ([]byte, error) { return bytes.Clone(r.password), nil }}
		start = (&Target{spec: spec, env: t.env}).startChunks
	}
	r.store, r.caps, err = start(ctx, t.spec.Name, r.dir)
	return err
}

// fetchPacks fetches the data of a copy.
func (r *reading) fetchPacks(ctx context.Context, ref string) error {
	ids, err := r.caps.Packs(ctx, []string{ref})
	if err != nil {
		return err
	}
	var want []mirror.File
	for _, id := range ids {
		name, ok := r.packs[id]
		switch {
		case ok:
			want = append(want, r.files[name])
		case mirror.Pack(id):
			return damaged(r.m.t.spec.Name, "find "+ref, "its pack %s is not on the mirror", id)
		}
	}
	return r.fetch(ctx, want)
}

func (r *reading) fetch(ctx context.Context, files []mirror.File) error {
	var done, total int64
	for _, f := range files {
		if !r.have[f.Path] {
			total += f.Size
		}
	}
	for _, f := range files {
		if r.have[f.Path] {
			continue
		}
		if err := r.fetchOne(ctx, f); err != nil {
			return err
		}
		r.have[f.Path] = true
		done += f.Size
		if report := r.m.t.env.Progress; report != nil {
			report(r.m.t.spec.Name, "blobs of its repository", done, total)
		}
	}
	return nil
}

// fetchOne brings one blob; both digests are compared.
func (r *reading) fetchOne(ctx context.Context, f mirror.File) error {
	t := r.m.t
	sealed, err := r.m.openBlob(ctx, f.Entry)
	if err != nil {
		return err
	}
	defer sealed.Close()
	bare, err := t.openSealed(f.Name, sealed, r.ids)
	if err != nil {
		return err
	}
	if err := r.root.MkdirAll(path.Dir(f.Path), 0o700); err != nil {
		return localError(t.spec.Name, "write "+f.Path, err)
	}
	out, err := r.root.OpenFile(f.Path+draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return localError(t.spec.Name, "write "+f.Path, err)
	}
	h := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(&local{t, f.Path, out}, h), struct{ io.Reader }{bare}, make([]byte, min(f.Size, chunkSize)))
	if cerr := out.Close(); err == nil {
		err = localError(t.spec.Name, "write "+f.Path, cerr)
	}
	if err == nil { // age stops at its last chunk
		_, err = io.Copy(io.Discard, sealed)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return t.opening(f.Name, err)
	case n != f.Bytes || hex.EncodeToString(h.Sum(nil)) != f.Clear:
		return damaged(t.spec.Name, "open "+f.Name, "it holds other bytes than %s had", f.Path)
	}
	return localError(t.spec.Name, "write "+f.Path, r.root.Rename(f.Path+draft, f.Path))
}

// local words the errors of a file of this machine.
type local struct {
	t    *Target
	name string
	f    *os.File
}

func (l *local) Write(p []byte) (int, error) {
	n, err := l.f.Write(p)
	return n, localError(l.t.spec.Name, "write "+l.name, err)
}

// close ends the engine and removes what was fetched.
func (r *reading) close() error {
	var errs []error
	clear(r.password)
	if r.caps.Close != nil {
		errs = append(errs, r.caps.Close())
	}
	if r.root != nil {
		errs = append(errs, r.root.Close())
	}
	if r.dir != "" {
		if err := os.RemoveAll(r.dir); err != nil {
			errs = append(errs, fmt.Errorf("remove %s, which held pieces of the repository: %w", r.dir, err))
		}
	}
	return errors.Join(errs...)
}

func (m *mirrored) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, r := range m.readings {
		errs = append(errs, r.close())
	}
	clear(m.readings)
	return errors.Join(errs...)
}
