package chunks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
)

// maxListing bounds the list of a folder, in bytes.
const maxListing = 256 << 20

// snapshots are those of one source, the newest first; only that one is looked into.
type snapshots struct {
	all []*snapshot.Manifest
}

func (s *snapshots) newest() *snapshot.Manifest { return s.all[0] }

// nameOf is the folder that shows a source: its path for ours, user@host/path for others.
func nameOf(s snapshot.SourceInfo) string {
	p := strings.TrimPrefix(path.Clean("/"+s.Path), "/")
	if s.UserName == user && s.Host == host {
		return clean(p)
	}
	return path.Join(s.UserName+"@"+s.Host, p)
}

func clean(name string) string {
	if name = path.Clean(name); name == "" {
		return "."
	}
	return name
}

// load reads all manifests. One that cannot be read is an error: kopia would leave it out.
func (r *Repository) load(ctx context.Context) error {
	const doing = "list the snapshots"
	found, err := r.rep.FindManifests(ctx, nil)
	if err != nil {
		return r.fail(doing, err)
	}
	folders := map[string]*snapshots{}
	for _, m := range found {
		r.mu.Lock()
		if r.floor.Before(m.ModTime) {
			r.floor = m.ModTime
		}
		r.mu.Unlock()
		if m.Labels[manifest.TypeLabelKey] != snapshot.ManifestType {
			continue
		}
		s, err := snapshot.LoadSnapshot(ctx, r.rep, m.ID)
		if err == nil && s.RootEntry == nil {
			err = errors.New("it has no root")
		}
		if err != nil {
			return r.fail(doing, fmt.Errorf("snapshot %s: %w", m.ID, err))
		}
		name := nameOf(s.Source)
		if folders[name] == nil {
			folders[name] = &snapshots{}
		}
		folders[name].all = append(folders[name].all, s)
	}
	for _, f := range folders {
		f.all = snapshot.SortByTime(f.all, true)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.folders = folders
	return nil
}

// count is how many snapshots there are.
func (r *Repository) count() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.folders {
		n += len(f.all)
	}
	return n
}

// refresh lets a reader see what was written since; a writer is alone.
func (r *Repository) refresh(ctx context.Context) error {
	if r.options.Write {
		return nil
	}
	if err := r.rep.Refresh(ctx); err != nil {
		return r.fail("read the index", err)
	}
	return r.load(ctx)
}

// listing reads a folder of kopia's.
func listing(ctx context.Context, rep repo.Repository, id object.ID) ([]*snapshot.DirEntry, error) {
	o, err := rep.OpenObject(ctx, id)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	var m snapshot.DirManifest
	if err := json.NewDecoder(io.LimitReader(o, maxListing)).Decode(&m); err != nil {
		return nil, fmt.Errorf("list of a folder: %w", err)
	}
	for _, e := range m.Entries {
		if e == nil || e.Name == "" || strings.ContainsRune(e.Name, '/') || e.Name == "." || e.Name == ".." {
			return nil, errors.New("list of a folder: it holds a bad name")
		}
	}
	return m.Entries, nil
}

func isFolder(e *snapshot.DirEntry) bool { return e.Type == snapshot.EntryTypeDirectory }

// find looks a name up: the entry of kopia's, or that it is a folder above snapshots.
func (r *Repository) find(ctx context.Context, name string) (e *snapshot.DirEntry, above bool, err error) {
	name = clean(name)
	for at, rest := name, ""; ; {
		r.mu.Lock()
		s := r.folders[at]
		r.mu.Unlock()
		if s != nil {
			if e, err := r.descend(ctx, s.newest().RootEntry, rest); e != nil || err != nil {
				return e, false, err
			}
		}
		if at == "." {
			break
		}
		rest = path.Join(path.Base(at), rest)
		at = path.Dir(at)
	}
	return nil, name == "." || len(r.below(name)) > 0, nil
}

func (r *Repository) descend(ctx context.Context, e *snapshot.DirEntry, rest string) (*snapshot.DirEntry, error) {
	for rest != "" {
		if !isFolder(e) {
			return nil, nil
		}
		entries, err := listing(ctx, r.rep, e.ObjectID)
		if err != nil {
			return nil, err
		}
		first, more, _ := strings.Cut(rest, "/")
		i := slices.IndexFunc(entries, func(e *snapshot.DirEntry) bool { return e.Name == first })
		if i < 0 {
			return nil, nil
		}
		e, rest = entries[i], more
	}
	return e, nil
}

// below names the folders with snapshots below one, relative to it.
func (r *Repository) below(name string) []string {
	prefix := name + "/"
	if name == "." {
		prefix = ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for f := range r.folders {
		if rest, ok := strings.CutPrefix(f, prefix); ok && f != "." {
			out = append(out, rest)
		}
	}
	slices.Sort(out)
	return out
}
