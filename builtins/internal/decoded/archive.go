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
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/vma"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// maxParts bounds an index: a VMA has at most 254 devices and 256 files.
const maxParts = 512

// maxConfig is how large a file of configuration in a VMA can be.
const maxConfig = 65535

// Valid says whether an index can be believed as far as its form goes: its names are of files in the
// folder, and there is something to make an archive of. Whether it is true, the digests say.
func (ix Index) Valid() error {
	names := map[string]bool{}
	disks, trees, last := 0, 0, 0
	for _, p := range ix.Parts {
		sum, err := hex.DecodeString(p.SHA256)
		switch {
		case p.Name == "" || p.Name != path.Base(p.Name) || strings.ContainsAny(p.Name, `/\`) || p.Name == "." || p.Name == ".." || names[p.Name]:
			return fmt.Errorf("part %q has a name that cannot be, or is there twice", p.Name)
		case err != nil || len(sum) != sha256.Size || p.Size < 0:
			return fmt.Errorf("part %q has a size or digest that cannot be", p.Name)
		case p.Kind == Disk && p.ID <= last:
			return fmt.Errorf("disk %q is out of order", p.Name)
		case p.Kind == Disk:
			disks, last = disks+1, p.ID
		case p.Kind == Tree:
			trees++
		case p.Kind != Config:
			return fmt.Errorf("part %q is of kind %q, which is not known", p.Name, p.Kind)
		case p.Size > maxConfig:
			return fmt.Errorf("part %q is larger than a file of an archive's header can be", p.Name)
		}
		names[p.Name] = true
	}
	uuid, err := hex.DecodeString(ix.UUID)
	tree := trees == 1 && len(ix.Parts) == 1 && strings.HasSuffix(ix.Plain, ".tar")
	machine := trees == 0 && len(ix.Parts) > 0 && strings.HasSuffix(ix.Plain, ".vma") && err == nil && len(uuid) == 16
	if len(ix.Parts) > maxParts || !tree && !machine {
		return fmt.Errorf("its parts make no archive %q", ix.Plain)
	}
	return nil
}

// Verify reads all parts back and compares their digests: level read.
func Verify(ctx context.Context, s target.Store, folder string, ix Index) (bytes int64, err error) {
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
func openPart(ctx context.Context, s target.Store, folder string, p Part) (io.ReadCloser, error) {
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
func Archive(ctx context.Context, s target.Store, folder string, ix Index) (io.ReadCloser, error) {
	if err := ix.Valid(); err != nil {
		return nil, err
	}
	if ix.Parts[0].Kind == Tree {
		return openPart(ctx, s, folder, ix.Parts[0])
	}
	h, err := ix.header(ctx, s, folder)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(vma.Encode(ctx, w, h, func(d vma.Device) (io.ReadCloser, error) {
			i := slices.IndexFunc(ix.Parts, func(p Part) bool { return p.Kind == Disk && p.ID == d.ID })
			return openPart(ctx, s, folder, ix.Parts[i])
		}))
	}()
	return &made{PipeReader: r, stop: func() {
		cancel()
		r.CloseWithError(errors.New("the archive was closed"))
		<-done
	}}, nil
}

// made is an archive that is being made.
type made struct {
	*io.PipeReader
	stop func()
}

func (m *made) Close() error {
	m.stop()
	return nil
}

// header reads the small files, which stand in front.
func (ix Index) header(ctx context.Context, s target.Store, folder string) (vma.Header, error) {
	h := vma.Header{Created: ix.Created}
	_, _ = hex.Decode(h.UUID[:], []byte(ix.UUID)) // Valid looked at it
	for _, p := range ix.Parts {
		if p.Kind == Disk {
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
