package target

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// A pve:// target is a storage of the source itself: the artifact lies there
// already, so nothing is moved and there is no manifest.
func openStorage(_ context.Context, t *Target) error {
	_, storage := t.place.Storage()
	t.store = &volumes{t}
	t.device = ledger.Device{ID: "pve:" + storage}
	return nil
}

// volumes is the store of a pve:// target: its names are volumes, which it reads.
type volumes struct{ t *Target }

var _ store.Store = (*volumes)(nil)

// Put implements Store.
func (v *volumes) Put(context.Context, string, int64, int64, io.Reader) (int64, error) {
	return 0, badTarget(v.t.spec.Name, "archives are counted where they are made; nothing is written there")
}

// Get implements Store.
func (v *volumes) Get(ctx context.Context, volume string, offset, length int64) (io.ReadCloser, error) {
	if v.t.env.InPlace == nil {
		return nil, v.t.unreachable("read " + volume)
	}
	rc, err := v.t.env.InPlace(ctx, volume, offset)
	if err != nil {
		return nil, v.t.placeError("read "+volume, err)
	}
	r := &inPlaceReader{rc, v.t, volume}
	if length < 0 {
		return r, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, length), r}, nil
}

// Stat implements Store.
func (v *volumes) Stat(_ context.Context, name string) (store.Info, error) {
	return store.Info{}, &failure.Error{Code: CodeNotFound, System: system(v.t.spec.Name), Doing: "look up " + name,
		Said: "nothing of runner lies there"}
}

// List implements Store: none of what is there is runner's.
func (v *volumes) List(context.Context, string) ([]store.Info, error) { return nil, nil }

// Rename implements Store.
func (v *volumes) Rename(ctx context.Context, from, _ string) error {
	_, err := v.Put(ctx, from, 0, 0, nil)
	return err
}

// Delete implements Store. RemoveInPlace removes volumes: it says whether they were there.
func (v *volumes) Delete(ctx context.Context, name string) error {
	_, err := v.Put(ctx, name, 0, 0, nil)
	return err
}

// checkOrigin holds that an artifact lies in the storage.
func (t *Target) checkOrigin(a ledger.Artifact) error {
	volid := a.Origin.Volume
	storage, _, ok := strings.Cut(volid, ":")
	_, own := t.place.Storage()
	switch {
	case !ok || !printable(volid):
		return &failure.Error{Code: CodeNotFound, System: system(t.spec.Name), Doing: "count the artifact in place",
			Said: "the artifact lies in no Proxmox storage"}
	case storage != own:
		return &failure.Error{Code: CodeNotFound, System: system(t.spec.Name), Doing: "count the artifact in place",
			Said: fmt.Sprintf("the artifact lies in storage %s, not in %s", storage, own),
			Hint: "let the snapshot write to the storage of the target"}
	case len(t.seals) > 0 || t.spec.PartSize > 0:
		return badTarget(t.spec.Name, "what lies in a Proxmox storage is neither sealed nor cut into parts")
	}
	return nil
}

// inPlace counts the source's own archive.
func (j *job) inPlace(p *pass) {
	c := j.newCopy()
	c.Ref, c.InPlace = j.src.Artifact.Origin.Volume, true
	c.Foreign, c.Lost = j.src.Artifact.Foreign, j.src.Artifact.Lost
	for _, f := range j.src.Artifact.Files {
		c.Files = append(c.Files, ledger.StoredFile{Name: f.Name, Of: f.Name, Size: p.sizes[f.Name], SHA256: p.clear[f.Name]})
		c.Bytes += p.sizes[f.Name]
	}
	j.copy = c
}

// checkPlace holds that a copy is of this storage.
func (t *Target) checkPlace(c ledger.Copy) error {
	_, own := t.place.Storage()
	if storage, _, ok := strings.Cut(c.Ref, ":"); !ok || storage != own || !c.InPlace {
		return &failure.Error{Code: CodeNotFound, System: system(t.spec.Name), Doing: "find copy " + c.ID,
			Said: fmt.Sprintf("%q is not in storage %s", c.Ref, own)}
	}
	return nil
}

// unreachable is the error where the world has no way to the storage: on a bare medium.
func (t *Target) unreachable(doing string) error {
	return &failure.Error{Code: CodeDown, System: system(t.spec.Name), Doing: doing, Said: "nothing here reaches Proxmox storages"}
}

// placeError keeps an error that says its own code.
func (t *Target) placeError(doing string, err error) error {
	if err, ok := settled(t.spec.Name, err); ok {
		return err
	}
	return &failure.Error{Code: CodeDown, System: system(t.spec.Name), Doing: doing, Said: err.Error(), Temporary: true, Cause: err}
}

type inPlaceReader struct {
	io.ReadCloser
	t   *Target
	ref string
}

func (r *inPlaceReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = r.t.placeError("read "+r.ref, err)
	}
	return n, err
}
