package decoded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/neosofia/runner/builtins/internal/format/vma"
	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// Verify reads all parts back and compares their digests: level read.
func Verify(ctx context.Context, s store.Store, folder string, ix Index) (bytes int64, err error) {
	if err := ix.Valid(); err != nil {
		return 0, err
	}
	for _, p := range ix.Parts {
		rc, err := openPart(ctx, s, folder, p)
		if err != nil {
			return bytes, err
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, rc, make([]byte, 256<<10))
		bytes += n
		if cerr := rc.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return bytes, err
		}
	}
	return bytes, nil
}

// openPart opens a part; it ends with io.EOF only where size and digest agree.
func openPart(ctx context.Context, s store.Store, folder string, p Part) (io.ReadCloser, error) {
	name := path.Join(folder, p.Name)
	rc, err := s.Get(ctx, name, 0, -1)
	if failure.Is(err, target.CodeNotFound) {
		return nil, damaged(name, "it is missing")
	}
	if err != nil {
		return nil, err
	}
	return &checked{summed: summed{r: rc, h: sha256.New()}, name: name, want: p, rc: rc}, nil
}

func damaged(name, format string, args ...any) error {
	return &failure.Error{Code: target.CodeDamaged, Doing: "read " + name, Said: fmt.Sprintf(format, args...),
		Hint: "do not trust this copy; make it again and look at the medium"}
}

// checked compares size and digest at the end.
type checked struct {
	summed
	name string
	want Part
	rc   io.Closer
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.summed.Read(p)
	switch {
	case c.n > c.want.Size || err == io.EOF && c.n != c.want.Size:
		return n, damaged(c.name, "it has %d bytes or more; it was stored with %d", c.n, c.want.Size)
	case err == io.EOF && c.hex() != c.want.SHA256:
		return n, damaged(c.name, "its SHA-256 is %s; it was stored as %s", c.hex(), c.want.SHA256)
	}
	return n, err
}

func (c *checked) Close() error { return c.rc.Close() }

// Archive makes the archive, whose name is ix.Plain, while it is read. It ends with io.EOF only where every
// part had its digest: what was read before an error is no archive. The caller closes it.
func Archive(ctx context.Context, s store.Store, folder string, ix Index) (io.ReadCloser, error) {
	if err := ix.Valid(); err != nil {
		return nil, err
	}
	if ix.Parts[0].Kind == target.PartTree {
		return openPart(ctx, s, folder, ix.Parts[0])
	}
	h, err := header(ctx, s, folder, ix)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(vma.Encode(ctx, w, h, func(d vma.Device) (io.ReadCloser, error) {
			i := slices.IndexFunc(ix.Parts, func(p Part) bool { return p.Kind == target.PartDisk && p.ID == d.ID })
			return openPart(ctx, s, folder, ix.Parts[i])
		}))
	}()
	return &made{PipeReader: r, stop: func() error {
		cancel()
		r.CloseWithError(errClosed)
		<-done
		return nil
	}}, nil
}

var errClosed = errors.New("the archive was closed")

// made is an archive that is being made.
type made struct {
	*io.PipeReader
	stop func() error
}

func (m *made) Close() error { return m.stop() }

// header reads the small files, which stand in front.
func header(ctx context.Context, s store.Store, folder string, ix Index) (vma.Header, error) {
	h := vma.Header{Created: ix.Created}
	_, _ = hex.Decode(h.UUID[:], []byte(ix.UUID)) // Valid looked at it
	for _, p := range ix.Parts {
		if p.Kind == target.PartDisk {
			h.Devices = append(h.Devices, vma.Device{ID: p.ID, Name: p.Of, Size: p.Size})
			continue
		}
		rc, err := openPart(ctx, s, folder, p)
		if err != nil {
			return h, err
		}
		data, err := io.ReadAll(rc)
		if cerr := rc.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return h, err
		}
		h.Configs = append(h.Configs, vma.Config{Name: p.Of, Data: data})
	}
	return h, nil
}
