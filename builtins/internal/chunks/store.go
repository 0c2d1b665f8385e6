package chunks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/object"

	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// Put implements store.Store. The file takes the place of one of its name, or of none, when all
// of it is on the medium.
func (r *Repository) Put(ctx context.Context, name string, offset, _ int64, src io.Reader) (n int64, err error) {
	doing := "write " + name
	defer r.rescue(doing, &err)
	if err := r.writable(doing, name); err != nil {
		return 0, err
	}
	if offset != 0 {
		return 0, &failure.Error{Code: target.CodeBadTarget, System: r.system(), Doing: doing, Said: "a repository of chunks cannot append"}
	}
	ctx, w, err := r.rep.NewDirectWriter(ctx, repo.WriteSessionOptions{Purpose: "put"})
	if err != nil {
		return 0, r.fail(doing, err)
	}
	defer func() {
		if cerr := w.Close(ctx); err == nil {
			err = r.fail(doing, cerr)
		}
	}()
	in := &reader{ctx: ctx, r: src}
	id, n, err := write(ctx, w, name, in)
	if err != nil {
		return n, r.fail(doing, err)
	}
	return n, r.fail(doing, r.commit(ctx, w, change{put: map[string]file{clean(name): {id, n}}}))
}

// reader marks errors of the source, and ends with the context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		err = &sourceError{err}
	}
	return n, err
}

func (r *Repository) writable(doing, name string) error {
	said := ""
	first, _, _ := strings.Cut(name, "/")
	switch {
	case !r.options.Write:
		said = "it was opened to be read"
	case name != clean(name) || name == "." || path.IsAbs(name) || first == "..":
		said = "the name is not a path below the repository"
	case strings.Contains(first, "@"):
		said = "names with @ in front are the snapshots of others"
	default:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.fatal
	}
	return &failure.Error{Code: target.CodeDenied, System: r.system(), Doing: doing, Said: said}
}

// Get implements store.Store. Every chunk is read from the medium, and authenticated.
func (r *Repository) Get(ctx context.Context, name string, offset, length int64) (rc io.ReadCloser, err error) {
	doing := "read " + name
	defer r.rescue(doing, &err)
	e, _, err := r.lookup(ctx, doing, name)
	if err != nil {
		return nil, err
	}
	if e == nil || isFolder(e) {
		return nil, &failure.Error{Code: target.CodeNotFound, System: r.system(), Doing: doing, Said: "it is a folder"}
	}
	o, err := r.rep.OpenObject(ctx, e.ObjectID)
	if err == nil && o.Length() != e.FileSize {
		err = fmt.Errorf("it has %d bytes, its snapshot says %d", o.Length(), e.FileSize)
	}
	if err == nil && offset > 0 {
		_, err = o.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, r.fail(doing, err)
	}
	f := &opened{r: r, ctx: ctx, doing: doing, o: o}
	if length < 0 {
		return f, nil
	}
	return &struct {
		io.Reader
		io.Closer
	}{io.LimitReader(f, length), f}, nil
}

// opened reads one file.
type opened struct {
	r     *Repository
	ctx   context.Context
	doing string
	o     object.Reader
}

func (f *opened) Read(p []byte) (n int, err error) {
	defer f.r.rescue(f.doing, &err)
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	n, err = f.o.Read(p)
	if err != nil && err != io.EOF {
		err = f.r.fail(f.doing, err)
	}
	return n, err
}

func (f *opened) Close() error { return f.o.Close() }

// Stat implements store.Store.
func (r *Repository) Stat(ctx context.Context, name string) (info store.Info, err error) {
	doing := "look up " + name
	defer r.rescue(doing, &err)
	e, _, err := r.lookup(ctx, doing, name)
	if err != nil {
		return store.Info{}, err
	}
	if e == nil || isFolder(e) {
		return store.Info{Name: path.Base(name), Dir: true}, nil
	}
	return store.Info{Name: path.Base(name), Size: e.FileSize, Regular: e.Type == "f"}, nil
}

// List implements store.Store.
func (r *Repository) List(ctx context.Context, dir string) (all []store.Info, err error) {
	doing := "list " + dir
	defer r.rescue(doing, &err)
	if err := r.refresh(ctx); err != nil {
		return nil, err
	}
	e, _, err := r.lookup(ctx, doing, dir)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	add := func(i store.Info) {
		if !seen[i.Name] {
			seen[i.Name] = true
			all = append(all, i)
		}
	}
	for _, name := range r.below(clean(dir)) {
		first, _, _ := strings.Cut(name, "/")
		add(store.Info{Name: first, Dir: true})
	}
	if e != nil && !isFolder(e) {
		return nil, &failure.Error{Code: target.CodeNotFound, System: r.system(), Doing: doing, Said: "it is a file"}
	}
	if e != nil {
		entries, err := listing(ctx, r.rep, e.ObjectID)
		if err != nil {
			return nil, r.fail(doing, err)
		}
		for _, e := range entries {
			add(store.Info{Name: e.Name, Size: e.FileSize, Dir: isFolder(e), Regular: e.Type == "f"})
		}
	}
	slices.SortFunc(all, func(a, b store.Info) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Rename implements store.Store, in one flush.
func (r *Repository) Rename(ctx context.Context, from, to string) (err error) {
	doing := "rename " + from + " to " + to
	defer r.rescue(doing, &err)
	if err := errors.Join(r.writable(doing, from), r.writable(doing, to)); err != nil {
		return err
	}
	e, above, err := r.lookup(ctx, doing, from)
	if err != nil {
		return err
	}
	c := change{rename: map[string]string{}}
	if e != nil && !isFolder(e) {
		c = change{put: map[string]file{to: {e.ObjectID, e.FileSize}}, remove: []string{from}}
	} else {
		other, taken, err := r.find(ctx, to)
		if err != nil {
			return r.fail(doing, err)
		}
		if other != nil || taken {
			return &failure.Error{Code: target.CodeFailed, System: r.system(), Doing: doing, Said: "the new name is taken"}
		}
		if !above {
			c.rename[from] = to
		}
		for _, name := range r.below(from) {
			c.rename[path.Join(from, name)] = path.Join(to, name)
		}
	}
	return r.fail(doing, r.change(ctx, c))
}

// Delete implements store.Store. The chunks stay until Maintain.
func (r *Repository) Delete(ctx context.Context, name string) (err error) {
	doing := "delete " + name
	defer r.rescue(doing, &err)
	if err := r.writable(doing, name); err != nil {
		return err
	}
	e, above, err := r.find(ctx, name)
	if err != nil {
		return r.fail(doing, err)
	}
	if above || e != nil && isFolder(e) {
		return &failure.Error{Code: target.CodeFailed, System: r.system(), Doing: doing, Said: "the folder is not empty"}
	}
	if e == nil {
		return nil
	}
	return r.fail(doing, r.change(ctx, change{remove: []string{name}}))
}

// lookup finds a name, once more after a refresh where it is not there.
func (r *Repository) lookup(ctx context.Context, doing, name string) (*entry, bool, error) {
	e, above, err := r.find(ctx, name)
	if err == nil && e == nil && !above && !r.options.Write {
		if err := r.refresh(ctx); err != nil {
			return nil, false, err
		}
		e, above, err = r.find(ctx, name)
	}
	if err != nil {
		return nil, false, r.fail(doing, err)
	}
	if e == nil && !above {
		return nil, false, r.missing("find", name)
	}
	return e, above, nil
}
