package target

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// A pve:// target is a storage of the source itself: the artifact lies there
// already, so nothing is moved and there is no manifest.

// checkOrigin holds that an artifact lies in the storage.
func (t *Target) checkOrigin(a ledger.Artifact) error {
	volid := a.Origin.Volume
	storage, _, ok := strings.Cut(volid, ":")
	switch {
	case !ok || !printable(volid):
		return &failure.Error{Code: CodeNotFound, System: system(t.spec.Name), Doing: "count the artifact in place", Said: "the artifact lies in no Proxmox storage"}
	case storage != t.storage:
		return &failure.Error{Code: CodeNotFound, System: system(t.spec.Name), Doing: "count the artifact in place",
			Said: fmt.Sprintf("the artifact lies in storage %s, not in %s", storage, t.storage), Hint: "let the snapshot write to the storage of the target"}
	case len(t.seals) > 0 || t.spec.PartSize > 0:
		return badTarget(t.spec.Name, "what lies in a Proxmox storage is neither sealed nor cut into parts")
	}
	return nil
}

// inPlace counts the source's own archive.
func (j *job) inPlace(p *pass) {
	c := j.newCopy()
	c.Ref, c.InPlace = j.src.Artifact.Origin.Volume, true
	for _, f := range j.src.Artifact.Files {
		c.Files = append(c.Files, ledger.StoredFile{Name: f.Name, Of: f.Name, Size: p.sizes[f.Name], SHA256: p.clear[f.Name]})
		c.Bytes += p.sizes[f.Name]
	}
	j.copy = c
}

// checkPlace holds that a copy is of this storage.
func (t *Target) checkPlace(c ledger.Copy) error {
	if storage, _, ok := strings.Cut(c.Ref, ":"); !ok || storage != t.storage || !c.InPlace {
		return &failure.Error{Code: CodeNotFound, System: system(t.spec.Name), Doing: "find copy " + c.ID, Said: fmt.Sprintf("%q is not in storage %s", c.Ref, t.storage)}
	}
	return nil
}

func (t *Target) openInPlace(ctx context.Context, c ledger.Copy, file string) (io.ReadCloser, error) {
	if err := t.checkPlace(c); err != nil {
		return nil, err
	}
	if t.env.InPlace == nil {
		return nil, &failure.Error{Code: CodeDown, System: system(t.spec.Name), Doing: "read " + c.Ref, Said: "nothing here reads from Proxmox storages"}
	}
	rc, err := t.env.InPlace(ctx, c.Ref, 0)
	if err != nil {
		return nil, t.placeError("read "+c.Ref, err)
	}
	return &inPlaceReader{rc, t, c.Ref}, nil
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
