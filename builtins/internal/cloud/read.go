package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/hash"
)

// Get implements store.Store.
func (r *remote) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	ctx = r.within(ctx)
	o, err := r.f.NewObject(ctx, name)
	if err != nil {
		return nil, explain("read "+name, err)
	}
	end := o.Size()
	if length >= 0 && length < end-offset {
		end = offset + length
	}
	if offset >= end { // no server has a range of nothing
		return io.NopCloser(strings.NewReader("")), nil
	}
	var options []fs.OpenOption
	if offset > 0 || end < o.Size() {
		options = append(options, &fs.RangeOption{Start: offset, End: end - 1})
	}
	rc, err := o.Open(ctx, options...)
	if err != nil {
		return nil, explain("read "+name, err)
	}
	return &bounded{rc, "read " + name, end - offset}, nil
}

// bounded holds that a server sends what was asked for: some ignore a range.
type bounded struct {
	io.ReadCloser
	doing string
	left  int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	switch {
	case b.left < 0:
		return n, damaged(b.doing, "the server sends more than was asked for")
	case err == io.EOF && b.left > 0:
		return n, &failure.Error{Code: target.CodeDown, Doing: b.doing, Said: fmt.Sprintf("the server ended %d bytes too early", b.left),
			Temporary: true}
	case err != nil && err != io.EOF:
		return n, explain(b.doing, err)
	}
	return n, err
}

// Stat implements store.Store.
func (r *remote) Stat(ctx context.Context, name string) (store.Info, error) {
	ctx = r.within(ctx)
	o, err := r.f.NewObject(ctx, name)
	switch {
	case err == nil:
		return store.Info{Name: path.Base(name), Size: o.Size(), Regular: true}, nil
	case errors.Is(err, fs.ErrorIsDir):
		return store.Info{Name: path.Base(name), Dir: true}, nil
	case !errors.Is(err, fs.ErrorObjectNotFound):
		return store.Info{}, explain("look up "+name, err)
	}
	// Backends without folders of their own know one by what is in it.
	list, lerr := r.f.List(ctx, name)
	if lerr == nil && (len(list) > 0 || r.f.Features().CanHaveEmptyDirectories) {
		return store.Info{Name: path.Base(name), Dir: true}, nil
	}
	return store.Info{}, explain("look up "+name, err)
}

// List implements store.Store.
func (r *remote) List(ctx context.Context, dir string) ([]store.Info, error) {
	if dir == "." {
		dir = ""
	}
	list, err := r.f.List(r.within(ctx), dir)
	if errors.Is(err, fs.ErrorDirNotFound) && dir == "" {
		return nil, nil // nothing was written there yet
	}
	if err != nil {
		return nil, explain("list "+dir, err)
	}
	if len(list) > store.MaxEntries {
		return nil, &failure.Error{Code: target.CodeFailed, Doing: "list " + dir,
			Said: fmt.Sprintf("the folder has more than %d entries", store.MaxEntries)}
	}
	all := make([]store.Info, 0, len(list))
	for _, e := range list {
		info := store.Info{Name: path.Base(e.Remote()), Size: e.Size()}
		_, info.Regular = e.(fs.Object)
		_, info.Dir = e.(fs.Directory)
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b store.Info) int { return strings.Compare(a.Name, b.Name) })
	if len(all) == 0 && !r.f.Features().CanHaveEmptyDirectories {
		return nil, explain("list "+dir, fs.ErrorDirNotFound)
	}
	return all, nil
}

// Rename implements store.Store. It is not offered: not every store has it.
func (r *remote) Rename(_ context.Context, from, _ string) error {
	return &failure.Error{Code: target.CodeFailed, Doing: "rename " + from, Said: "this store renames nothing"}
}

// Delete implements store.Store.
func (r *remote) Delete(ctx context.Context, name string) error {
	ctx = r.within(ctx)
	o, err := r.f.NewObject(ctx, name)
	switch {
	case err == nil:
		err = o.Remove(ctx)
	case errors.Is(err, fs.ErrorIsDir) || errors.Is(err, fs.ErrorObjectNotFound):
		err = r.f.Rmdir(ctx, name)
	}
	if errors.Is(err, fs.ErrorDirNotFound) || errors.Is(err, fs.ErrorObjectNotFound) {
		return nil
	}
	if err != nil {
		return explain("delete "+name, err)
	}
	return nil
}

// Space implements engine.Engine.
func (r *remote) Space(ctx context.Context) (free, total int64, err error) {
	about := r.f.Features().About
	if about == nil {
		return -1, -1, nil
	}
	u, err := about(r.within(ctx))
	if err != nil {
		return -1, -1, explain("look up its space", err)
	}
	free, total = -1, -1
	if u.Free != nil {
		free = *u.Free
	}
	if u.Total != nil {
		total = *u.Total
	}
	return free, total, nil
}

// Sum implements engine.Engine.
func (r *remote) Sum(ctx context.Context, name string) (string, error) {
	if r.sum == hash.None {
		return "", nil
	}
	r.mu.Lock()
	last, sum := r.last, r.lastSum
	r.last = ""
	r.mu.Unlock()
	if last == name && sum != "" {
		return sum, nil
	}
	ctx = r.within(ctx)
	o, err := r.f.NewObject(ctx, name)
	if err != nil {
		return "", explain("digest "+name, err)
	}
	if sum, err = r.digest(ctx, o); err != nil {
		return "", explain("digest "+name, err)
	}
	return sum, nil
}

// Close implements engine.Engine.
func (r *remote) Close() error {
	if end := r.f.Features().Shutdown; end != nil {
		return end(r.ctx)
	}
	return nil
}
