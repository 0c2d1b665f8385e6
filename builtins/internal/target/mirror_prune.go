package target

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/mirror"
	"github.com/neosofia/runner/runtime/failure"
)

// maintain removes the sealed blobs that no copy here needs: after a new state was written without them. A copy that the
// original does not have any more keeps the newest state that holds it, with all its blobs.
func (m *mirrored) maintain(ctx context.Context) (freed int64, err error) {
	if err := m.t.inWindow(); err != nil {
		return 0, err
	}
	from, err := m.original(ctx)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	release, err := m.t.env.Repositories.alone(ctx, m.t.spec.Name)
	if err != nil {
		return 0, err
	}
	defer release()
	refs, err := m.copies(ctx)
	if err != nil {
		return 0, err
	}
	r, err := m.follow(ctx, &round{m: m, from: from, whole: true, only: refs})
	if err != nil {
		return 0, err
	}
	keep, names, err := m.kept(ctx, r, refs)
	if err != nil {
		return 0, err
	}
	all, err := m.states(ctx)
	if err != nil {
		return 0, err
	}
	for _, name := range all {
		if !slices.Contains(keep, name) {
			if err := m.dropState(ctx, name); err != nil {
				return 0, err
			}
		}
	}
	return m.dropBlobs(ctx, names)
}

// shortPack is below what a maintenance writes packs anew: 60 % of 20 MiB, kopia says.
const shortPack = 12 << 20

// Movable is how many bytes of a repository a maintenance may write anew at most: its packs that are not full. What moves is
// sealed and sent again by a mirror. 0 of other targets.
func (t *Target) Movable(ctx context.Context) (n int64, err error) {
	at, ok := t.store.(*beside)
	if !ok {
		return 0, nil
	}
	for _, dir := range []string{"p", "q"} {
		some, err := short(ctx, at.files, path.Join(chunksFolder, dir))
		if err != nil {
			return 0, err
		}
		n += some
	}
	return n, nil
}

func short(ctx context.Context, files *fileStore, dir string) (n int64, err error) {
	infos, err := files.List(ctx, dir)
	if failure.Is(err, CodeNotFound) {
		return 0, nil
	}
	for _, info := range infos {
		switch {
		case info.Dir:
			some, err := short(ctx, files, path.Join(dir, info.Name))
			if err != nil {
				return 0, err
			}
			n += some
		case info.Size < shortPack:
			n += info.Size
		}
	}
	return n, err
}

// copies are the folders of all copies here; of those that cannot be read, too.
func (m *mirrored) copies(ctx context.Context) (refs []string, err error) {
	good, bad, err := m.t.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range good {
		refs = append(refs, c.Copy.Ref)
	}
	for _, b := range bad {
		var folder *BadFolder
		if errors.As(b, &folder) {
			if strings.Count(folder.Folder, "/") != 2 {
				return nil, folder.Err // what lies below is not known
			}
			refs = append(refs, folder.Folder)
		}
	}
	return refs, nil
}

// kept are the states that copies come back from, the newest one, and the names of all of their blobs.
func (m *mirrored) kept(ctx context.Context, r *round, refs []string) (keep []string, names map[string]bool, err error) {
	names = map[string]bool{}
	take := func(s state) {
		keep = append(keep, s.name)
		for name := range s.list.Entries {
			names[name] = true
		}
	}
	take(r.last)
	for _, ref := range refs {
		if slices.Contains(r.last.list.Holds, ref) {
			continue
		}
		s, err := m.holding(ctx, &r.keys, ref)
		if err != nil {
			return nil, nil, err
		}
		if !slices.Contains(keep, s.name) {
			take(s)
		}
	}
	return keep, names, nil
}

// dropState removes a state: its list first, without which it is none.
func (m *mirrored) dropState(ctx context.Context, name string) error {
	dir := path.Join(mirror.States, name)
	if err := m.t.store.Delete(ctx, path.Join(dir, mirror.ListFile)); err != nil {
		return err
	}
	return m.t.removeFolder(ctx, dir)
}

// dropBlobs removes what no state needs, and what was not written to its end.
func (m *mirrored) dropBlobs(ctx context.Context, keep map[string]bool) (freed int64, err error) {
	for _, digit := range mirror.Digits {
		dir := path.Join(mirror.Blobs, string(digit))
		infos, err := m.t.store.List(ctx, dir)
		if failure.Is(err, CodeNotFound) {
			continue
		}
		if err != nil {
			return freed, err
		}
		for _, info := range infos {
			name := path.Join(dir, info.Name)
			if !info.Regular || keep[name] {
				continue
			}
			if err := m.t.store.Delete(ctx, name); err != nil {
				return freed, err
			}
			freed += info.Size
		}
	}
	return freed, nil
}
