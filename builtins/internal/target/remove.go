package target

import (
	"context"
	"errors"
	"path"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Remove deletes a copy: its manifest first, so that it is never seen half. What
// is gone already is no error; was tells that there was something. It refuses everything
// that is no copy's folder.
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
	if t.InPlace() {
		return nil, nil
	}
	infos, err := t.store.List(ctx, partsFolder)
	if failure.Is(err, CodeNotFound) {
		return nil, nil
	}
	for _, info := range infos {
		if !info.Dir || !plain(info.Name) || keep(info.Name) {
			continue
		}
		if rerr := t.removeFolder(ctx, path.Join(partsFolder, info.Name)); rerr != nil {
			err = errors.Join(err, rerr)
			continue
		}
		gone = append(gone, info.Name)
	}
	return gone, err
}

func (t *Target) removeInPlace(ctx context.Context, c ledger.Copy) (was bool, err error) {
	if err := t.checkPlace(c); err != nil {
		return false, err
	}
	if t.env.Remove == nil {
		return false, &failure.Error{Code: CodeDown, System: system(t.spec.Name), Doing: "remove " + c.Ref, Said: "nothing here deletes from Proxmox storages"}
	}
	if was, err = t.env.Remove(ctx, c.Ref); err != nil {
		return was, t.placeError("remove "+c.Ref, err)
	}
	return was, nil
}
