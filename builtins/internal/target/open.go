package target

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/mirror"
	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/runtime/failure"
)

// Open opens a target and checks that it is the one that is meant.
//
// Errors are *failure.Error, or ctx's.
func Open(ctx context.Context, spec Spec, env Env) (*Target, error) {
	t := &Target{spec: spec, env: env, limit: newLimiter(spec.Bandwidth)}
	if err := t.declared(); err != nil {
		return nil, err
	}
	if err := t.readySeals(); err != nil {
		return nil, err
	}
	if err := t.place.open(ctx, t); err != nil {
		return nil, err
	}
	switch {
	case spec.MirrorOf != "":
		t.openMirror()
	case spec.Layout == LayoutChunks:
		if err := t.openChunks(ctx); err != nil {
			return nil, errors.Join(err, t.Close())
		}
	}
	return t, nil
}

// declared holds the declaration against the scheme.
func (t *Target) declared() (err error) {
	name := t.spec.Name
	if name == "" || t.env.Now == nil {
		return badTarget(name, "a target needs a name and a clock")
	}
	if t.place, err = ParsePlace(t.spec.URL); err != nil {
		return badTarget(name, "%v", err)
	}
	switch {
	case !t.place.Removable && (t.spec.UUID != "" || t.spec.Serial != ""):
		return badTarget(name, "uuid and serial are for file targets")
	case t.spec.Layout != "" && t.spec.Layout != LayoutChunks:
		return badTarget(name, "layout is %q, or left out", LayoutChunks)
	case t.spec.MirrorOf != "":
		if t.spec.Layout != LayoutChunks || t.place.InPlace || len(t.spec.SealedTo) == 0 || t.spec.PartSize > 0 || t.spec.Immutable {
			return badTarget(name, "a mirror has layout %q and is sealed; it is neither cut into parts nor immutable", LayoutChunks)
		}
	case t.spec.Layout == LayoutChunks && (!t.place.Local || len(t.spec.SealedTo) > 0 || t.spec.PartSize > 0 || t.spec.Immutable):
		return badTarget(name, "a layout of chunks is for folders of this machine; it is neither sealed, immutable nor cut into parts")
	case t.spec.PartSize < 0 || t.spec.Bandwidth < 0:
		return badTarget(name, "part_size and bandwidth are positive numbers of bytes")
	}
	return nil
}

// Access is what OpenPath needs beyond a place.
type Access struct {
	HostKey string                                    // as in Spec
	Key     func(ctx context.Context) ([]byte, error) // as in Spec
	Login   func(ctx context.Context) ([]byte, error) // as in Spec
	Keep    func(login []byte) error                  // as in Spec
	Layout  string                                    // as in Spec
	// Password is as in Spec.
	Password func(ctx context.Context) ([]byte, error)
}

// HasChunks reports that a folder holds a repository of chunks; root is Env.Root.
func HasChunks(root, folder string) bool {
	info, err := os.Stat(filepath.Join(root, folder, chunksFolder))
	return err == nil && info.IsDir()
}

// OpenPath opens a medium of which no site knows: a folder, or a URL.
func OpenPath(ctx context.Context, place string, env Env, access Access) (*Target, error) {
	spec := Spec{Read: true, Layout: access.Layout, Password: access.Password, Name: place, URL: place, HostKey: access.HostKey,
		Key: access.Key, Login: access.Login, Keep: access.Keep}
	if !strings.Contains(place, "://") {
		if !path.IsAbs(place) {
			return nil, badTarget(place, "the path is not absolute")
		}
		spec.URL = (&url.URL{Scheme: "file", Path: place}).String()
	}
	t, err := Open(ctx, spec, env)
	if err != nil || t.InPlace() || access.Layout != "" {
		return t, err
	}
	infos, err := t.store.List(ctx, ".")
	if err != nil && !failure.Is(err, CodeNotFound) {
		return nil, errors.Join(err, t.Close())
	}
	if slices.ContainsFunc(infos, func(i store.Info) bool { return i.Name == mirror.Folder && i.Dir }) {
		t.spec.Layout, t.spec.Password = LayoutChunks, nil // it lies there, sealed
		t.openMirror()
	}
	return t, nil
}
