package chunks

import (
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotfs"
)

type entry = snapshot.DirEntry

// pin keeps kopia's own retention away from what is ours to prune.
const pin = "runner"

type file struct {
	id   object.ID
	size int64
}

// change is what one flush does to the names: all of it, or nothing.
type change struct {
	put    map[string]file
	remove []string
	rename map[string]string // of folders with snapshots
}

func (r *Repository) change(ctx context.Context, c change) error {
	ctx, w, err := r.rep.NewDirectWriter(ctx, repo.WriteSessionOptions{Purpose: "change"})
	if err != nil {
		return err
	}
	err = r.commit(ctx, w, c)
	if cerr := w.Close(ctx); err == nil {
		err = cerr
	}
	return err
}

// commit writes the snapshots of the folders that change, and flushes. Commits come one
// after the other.
func (r *Repository) commit(ctx context.Context, w repo.RepositoryWriter, c change) error {
	r.committing.Lock()
	defer r.committing.Unlock()
	after := map[string]*snapshots{}
	for _, dir := range c.folders() {
		s, err := r.rewrite(ctx, w, dir, c)
		if err != nil {
			return err
		}
		after[dir] = s
	}
	for from, to := range c.rename {
		s, err := r.move(ctx, w, from, to)
		if err != nil {
			return err
		}
		after[from], after[to] = nil, s
	}
	if err := r.expect(r.count() + r.more(after)); err != nil {
		return err
	}
	if err := w.Flush(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	for name, s := range after {
		if s == nil {
			delete(r.folders, name)
		} else {
			r.folders[name] = s
		}
	}
	r.mu.Unlock()
	return r.noted()
}

// more is how many snapshots there will be more, or fewer.
func (r *Repository) more(after map[string]*snapshots) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, s := range after {
		if have := r.folders[name]; have != nil {
			n -= len(have.all)
		}
		if s != nil {
			n += len(s.all)
		}
	}
	return n
}

// folders are those whose entries change.
func (c change) folders() []string {
	var out []string
	for name := range c.put {
		out = append(out, path.Dir(name))
	}
	for _, name := range c.remove {
		out = append(out, path.Dir(name))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// rewrite makes the snapshot of a folder anew; nil: nothing is left in it.
func (r *Repository) rewrite(ctx context.Context, w repo.RepositoryWriter, dir string, c change) (*snapshots, error) {
	now := fs.UTCTimestampFromTime(r.rep.Time())
	s := &snapshot.Manifest{Source: sourceOf(dir), Description: "copied by runner", StartTime: now, Pins: []string{pin}}
	var b snapshotfs.DirManifestBuilder
	kept := 0
	r.mu.Lock()
	have := r.folders[dir]
	r.mu.Unlock()
	if have != nil {
		s.StartTime = have.newest().StartTime
		entries, err := listing(ctx, r.rep, have.newest().RootEntry.ObjectID)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name)
			if _, again := c.put[name]; !again && !slices.Contains(c.remove, name) {
				b.AddEntry(e)
				kept++
			}
		}
		for _, old := range have.all {
			if err := w.DeleteManifest(ctx, old.ID); err != nil {
				return nil, err
			}
		}
	}
	for name, f := range c.put {
		if path.Dir(name) == dir {
			b.AddEntry(&entry{Name: path.Base(name), Type: snapshot.EntryTypeFile, Permissions: 0o600, FileSize: f.size, ModTime: now,
				ObjectID: f.id})
			kept++
		}
	}
	if kept == 0 {
		return nil, nil
	}
	m := b.Build(now, "")
	id, err := snapshotfs.WriteDirManifest(ctx, w, dir, m, compressor)
	if err != nil {
		return nil, err
	}
	s.EndTime = now
	s.Stats = snapshot.Stats{TotalFileSize: m.Summary.TotalFileSize, TotalFileCount: int32(m.Summary.TotalFileCount), TotalDirectoryCount: 1}
	s.RootEntry = &entry{Name: path.Base(dir), Type: snapshot.EntryTypeDirectory, Permissions: 0o700, ModTime: now, ObjectID: id,
		DirSummary: m.Summary}
	_, err = snapshot.SaveSnapshot(ctx, w, s)
	return &snapshots{all: []*snapshot.Manifest{s}}, err
}

func sourceOf(dir string) snapshot.SourceInfo {
	return snapshot.SourceInfo{UserName: user, Host: host, Path: path.Join("/", dir)}
}

// move gives the snapshots of a folder another source.
func (r *Repository) move(ctx context.Context, w repo.RepositoryWriter, from, to string) (*snapshots, error) {
	r.mu.Lock()
	have := r.folders[from]
	r.mu.Unlock()
	if have == nil {
		return nil, fmt.Errorf("%s is inside of another's snapshot, and cannot be moved", from)
	}
	moved := &snapshots{}
	for _, old := range have.all {
		s := old.Clone()
		s.Source = sourceOf(to)
		if s.RootEntry != nil {
			s.RootEntry.Name = path.Base(to)
		}
		if err := w.DeleteManifest(ctx, old.ID); err != nil {
			return nil, err
		}
		if _, err := snapshot.SaveSnapshot(ctx, w, s); err != nil {
			return nil, err
		}
		moved.all = append(moved.all, s)
	}
	return moved, nil
}
