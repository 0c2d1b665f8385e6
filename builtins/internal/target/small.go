package target

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/neosofia/runner/runtime/failure"
)

// small reads a file that has to be small.
func (t *Target) small(ctx context.Context, name string, most int64) ([]byte, error) {
	info, err := t.store.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	if !info.Regular || info.Size > most {
		return nil, damaged(t.spec.Name, "read "+name, "not a file of at most %d bytes", most)
	}
	r, err := t.store.Get(ctx, name, 0, most+1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err == nil && int64(len(b)) > most {
		err = damaged(t.spec.Name, "read "+name, "it has more than %d bytes", most)
	}
	return b, err
}

// drafts reports that what is not complete has a name of its own, from which it moves.
func (t *Target) drafts() bool { return t.caps.Rename && !t.spec.Immutable }

// putSmall writes a small file atomically, where the target can rename.
func (t *Target) putSmall(ctx context.Context, name string, b []byte) error {
	switch {
	case t.spec.Immutable:
		return t.putOnce(ctx, name, b)
	case !t.drafts() || t.caps.Whole && strings.Contains(name, "/"):
		_, err := t.store.Put(ctx, name, 0, int64(len(b)), bytes.NewReader(b))
		return err
	}
	draft := path.Join(path.Dir(name), path.Base(name)+".part")
	if _, err := t.store.Put(ctx, draft, 0, int64(len(b)), bytes.NewReader(b)); err != nil {
		return err
	}
	return t.store.Rename(ctx, draft, name)
}

// putOnce writes a small file where nothing can be replaced: one that is there
// already has to be the same.
func (t *Target) putOnce(ctx context.Context, name string, b []byte) error {
	have, err := t.small(ctx, name, maxManifest)
	if err == nil && bytes.Equal(have, b) {
		return nil
	}
	if err != nil && !failure.Is(err, CodeNotFound) {
		return err
	}
	_, err = t.store.Put(ctx, name, 0, int64(len(b)), bytes.NewReader(b))
	return err
}

// manifest reads the manifest of a folder.
func (t *Target) manifest(ctx context.Context, folder string) (Manifest, error) {
	name := path.Join(folder, manifestFile)
	b, err := t.small(ctx, name, maxManifest)
	var m Manifest
	if err == nil {
		m, err = ParseManifest(b)
		if err == nil && m.Copy.Ref != folder {
			err = fmt.Errorf("it is of folder %s", m.Copy.Ref)
		}
	}
	if err != nil && (code(err).Name == "" && ctx.Err() == nil || failure.Is(err, CodeDamaged)) {
		err = &failure.Error{Code: CodeBadManifest, System: system(t.spec.Name), Doing: "read " + name, Said: err.Error(), Cause: err,
			Hint: "somebody changed it, or the medium is damaged: do not trust this copy"}
	}
	return m, err
}

// removeFolder deletes a folder and the files in it; deeper folders are not ours.
func (t *Target) removeFolder(ctx context.Context, dir string) error {
	infos, err := t.store.List(ctx, dir)
	if failure.Is(err, CodeNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, info := range infos {
		if err := t.store.Delete(ctx, path.Join(dir, info.Name)); err != nil {
			return err
		}
	}
	return t.store.Delete(ctx, dir)
}
