package copying

import (
	"context"
	"errors"
	"io"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// read reads a file of the artifact from where it was made; where that is gone, from a
// copy in clear, of the same bytes, on another target. The digests that were recorded with
// that copy are compared as it is read.
func (c *job) read(ctx context.Context, file string, offset int64) (io.ReadCloser, error) {
	r, err := c.w.OpenFile(ctx, c.art.Origin, file, offset)
	if !failure.Is(err, target.CodeArchiveMissing) {
		return r, err
	}
	catalog, cerr := c.s.Catalog(ctx)
	if cerr != nil {
		return nil, cerr
	}
	copies, cerr := catalog.ProvenCopies(ctx, ledger.Query{Item: c.art.Item, Ref: c.art.ID})
	if cerr != nil {
		return nil, cerr
	}
	for _, p := range copies {
		if p.InPlace || len(p.SealedTo) > 0 || p.Decoded() || p.Level < ledger.Stored {
			continue
		}
		r, oerr := c.readCopy(ctx, p.Copy, file, offset)
		if oerr == nil {
			c.s.Detail("%s: %s is read from its copy on %s: %v", c.art.Item, file, p.Target, failure.OneLine(err))
			return r, nil
		}
		err = errors.Join(err, oerr)
	}
	return nil, err
}

func (c *job) readCopy(ctx context.Context, cp ledger.Copy, file string, offset int64) (io.ReadCloser, error) {
	t, err := c.w.OpenTarget(ctx, c.s, cp.Target)
	if err != nil {
		return nil, err
	}
	want := ledger.File{Name: file}
	for _, f := range c.art.Files {
		if f.Name == file {
			want = f
		}
	}
	r, err := t.OpenFile(ctx, cp, want, nil)
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		return nil, errors.Join(err, r.Close(), t.Close())
	}
	return &copyFile{r, t}, nil
}

// copyFile holds the target open while the file is read.
type copyFile struct {
	io.ReadCloser
	t *target.Target
}

func (f *copyFile) Close() error { return errors.Join(f.ReadCloser.Close(), f.t.Close()) }
