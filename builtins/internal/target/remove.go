package target

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Remove deletes a copy: its manifest first, so that it is never seen half. What
// is gone already is not an error; was says that there was something. It refuses everything
// that is not a copy's folder.
func (t *Target) Remove(ctx context.Context, c ledger.Copy) (was bool, err error) {
	if t.InPlace() {
		return t.removeInPlace(ctx, c)
	}
	refused := func(said string) (bool, error) {
		return false, &failure.Error{Code: CodeNotFound, System: system(t.spec.Name), Doing: "remove copy " + c.ID, Said: said}
	}
	if err := checkFolder(c.Ref, c.Artifact); err != nil {
		return refused(err.Error())
	}
	if !plain(c.ID) {
		return refused("its id is not one")
	}
	m, err := t.manifest(ctx, c.Ref)
	switch {
	case err == nil && m.Copy.ID != c.ID:
		return refused("the folder holds copy " + m.Copy.ID)
	case err != nil && !failure.Is(err, CodeNotFound, CodeBadManifest):
		return false, err
	}
	infos, err := t.store.List(ctx, c.Ref)
	if err != nil && code(err) != CodeNotFound {
		return false, err
	}
	was = len(infos) > 0
	if err := t.store.Delete(ctx, path.Join(c.Ref, manifestFile)); err != nil {
		return was, err
	}
	if err := t.removeFolder(ctx, c.Ref); err != nil {
		return was, err
	}
	if err := t.removeFolder(ctx, path.Join(partsFolder, c.ID)); err != nil {
		return was, err
	}
	return was, t.removeEmpty(ctx, path.Dir(c.Ref))
}

// removeEmpty deletes the folders of an item and a kind of which this was the last.
func (t *Target) removeEmpty(ctx context.Context, dir string) error {
	for ; dir != "."; dir = path.Dir(dir) {
		infos, err := t.store.List(ctx, dir)
		if failure.Is(err, CodeNotFound) {
			continue
		}
		if err != nil || len(infos) > 0 {
			return err
		}
		if err := t.store.Delete(ctx, dir); err != nil {
			return err
		}
	}
	return nil
}

// CleanUp deletes what broken transfers left, but for the copies that keep names,
// and returns the ids of those that are gone.
func (t *Target) CleanUp(ctx context.Context, keep func(copyID string) bool) (gone []string, err error) {
	broken, err := t.broken(ctx)
	for folder, id := range broken {
		if keep(id) {
			continue
		}
		if rerr := t.removeFolder(ctx, folder); rerr != nil {
			err = errors.Join(err, rerr)
			continue
		}
		gone = append(gone, id)
	}
	slices.Sort(gone)
	return gone, err
}

// broken returns the folders of transfers that are not complete, with the copies that
// they were to make. Without drafts they are those that lack their manifest.
func (t *Target) broken(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	if !t.drafts() && !t.spec.Immutable {
		l := &lister{t: t}
		err := l.walk(ctx, ".", 0)
		for _, folder := range l.open {
			_, artifact, _ := strings.Cut(path.Base(folder), "-")
			out[folder] = ledger.CopyID(artifact, t.spec.Name)
		}
		return out, err
	}
	infos, err := t.store.List(ctx, partsFolder)
	if failure.Is(err, CodeNotFound) {
		return out, nil
	}
	for _, info := range infos {
		if info.Dir && plain(info.Name) {
			out[path.Join(partsFolder, info.Name)] = info.Name
		}
	}
	return out, err
}

func (t *Target) removeInPlace(ctx context.Context, c ledger.Copy) (was bool, err error) {
	if err := t.checkPlace(c); err != nil {
		return false, err
	}
	if t.env.Remove == nil {
		return false, t.unreachable("remove " + c.Ref)
	}
	if was, err = t.env.Remove(ctx, c.Ref); err != nil {
		return was, t.placeError("remove "+c.Ref, err)
	}
	return was, nil
}
