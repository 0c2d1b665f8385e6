package target

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
	"time"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/runtime/ledger"
)

// Decoder keeps archives as what is in them, and makes them again: for stores that deduplicate.
type Decoder interface {
	// Put decodes an archive into a folder. It reads to the end, unless an error comes first; ErrAsItIs
	// says that the archive cannot be decoded, though it may be sound. What was put before an
	// error is left.
	Put(ctx context.Context, s store.Store, folder, file string, r io.Reader) (Decoded, error)
	// Archive makes the archive again, packed as its name says; not the same bytes, but
	// an archive of the same disks or the same tree. Only io.EOF means that it is one.
	Archive(ctx context.Context, s store.Store, folder string, d Decoded) (io.ReadCloser, error)
	// Commands are what to type, without runner, to bring back what lies decoded in the working folder.
	Commands(d Decoded) []string
}

// ErrAsItIs says that an archive is to be kept as it is. It is wrapped, with the reason.
var ErrAsItIs = errors.New("the archive is kept as it is")

// ErrNoGuest is ErrAsItIs for what is no archive of a guest: that is nothing to be told.
var ErrNoGuest = fmt.Errorf("%w: it is of no guest", ErrAsItIs)

// Decoded says what an archive was decoded into. It is what is needed to make it again.
type Decoded struct {
	File    string        `json:"file"`    // of the artifact: "vzdump-qemu-104-….vma.zst"
	Plain   string        `json:"plain"`   // without its compression: "vzdump-qemu-104-….vma"
	UUID    string        `json:"uuid"`    // of a VMA; hex
	Created time.Time     `json:"created"` // of a VMA, whole seconds
	Parts   []DecodedPart `json:"parts"`   // in the order of the archive
}

// DecodedPart is one file of what an archive was decoded into.
type DecodedPart struct {
	Name   string `json:"name"` // in the folder
	Kind   string `json:"kind"`
	ID     int    `json:"id,omitempty"` // of a disk
	Of     string `json:"of"`           // its name in the archive: "drive-scsi0", "qemu-server.conf"
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

// Kinds of what an archive was decoded into.
const (
	PartDisk   = "disk"   // a raw image
	PartConfig = "config" // a file of the guest's configuration
	PartTree   = "tree"   // a tar
)

const (
	maxDecoded = 512   // files: a VMA has at most 254 devices and 256 files of configuration
	maxConfig  = 65535 // bytes of one of these
)

// Valid says whether it can be believed as far as its form goes: its names are of files in the
// folder, and there is something to make an archive of. Whether it is true, the digests say.
func (d Decoded) Valid() error {
	names := map[string]bool{}
	disks, trees, last := 0, 0, 0
	for _, p := range d.Parts {
		sum, err := hex.DecodeString(p.SHA256)
		switch {
		case p.Name != path.Base(p.Name) || !safePart(p.Name) || names[p.Name]:
			return fmt.Errorf("part %q has a name that cannot be, or is there twice", p.Name)
		case err != nil || len(sum) != sha256.Size || p.Size < 0:
			return fmt.Errorf("part %q has a size or digest that cannot be", p.Name)
		case !printable(p.Of):
			return fmt.Errorf("part %q is of %q, which has characters that cannot be shown", p.Name, p.Of)
		case p.Kind == PartDisk && p.ID <= last:
			return fmt.Errorf("disk %q is out of order", p.Name)
		case p.Kind == PartDisk:
			disks, last = disks+1, p.ID
		case p.Kind == PartTree:
			trees++
		case p.Kind != PartConfig:
			return fmt.Errorf("part %q is of kind %q, which is not known", p.Name, p.Kind)
		case p.Size > maxConfig:
			return fmt.Errorf("part %q is larger than a file of an archive's header can be", p.Name)
		}
		names[p.Name] = true
	}
	uuid, err := hex.DecodeString(d.UUID)
	tree := trees == 1 && len(d.Parts) == 1 && strings.HasSuffix(d.Plain, ".tar")
	machine := trees == 0 && len(d.Parts) > 0 && strings.HasSuffix(d.Plain, ".vma") && err == nil && len(uuid) == 16
	if len(d.Parts) > maxDecoded || !printable(d.File+d.Plain) || !tree && !machine {
		return fmt.Errorf("its parts make no archive %q", d.Plain)
	}
	return nil
}

// decoded is what a file of the artifact was decoded into.
func (m *Manifest) decoded(file string) (Decoded, bool) {
	for _, d := range m.Decoded {
		if d.File == file {
			return d, true
		}
	}
	return Decoded{}, false
}

// storedFiles are the parts as the ledger has them.
func (d Decoded) storedFiles() (files []ledger.StoredFile) {
	for i, p := range d.Parts {
		files = append(files, ledger.StoredFile{Name: p.Name, Of: d.File, Part: i + 1, Size: p.Size, SHA256: p.SHA256, Decoded: true})
	}
	return files
}

// validateDecoded holds that what was decoded is what is stored.
func (m *Manifest) validateDecoded() error {
	seen := map[string]bool{}
	for _, d := range m.Decoded {
		if err := d.Valid(); err != nil {
			return err
		}
		var stored []ledger.StoredFile
		for _, f := range m.Copy.Files {
			if f.Of == d.File {
				stored = append(stored, f)
			}
		}
		if seen[d.File] || !slices.Equal(stored, d.storedFiles()) {
			return fmt.Errorf("what %q was decoded into is not what is stored of it", d.File)
		}
		seen[d.File] = true
	}
	return nil
}

// decodes reports that a file is to be decoded; that it cannot be is seen when it is tried.
func (w *writer) decodes(file string) bool {
	return w.t.spec.Layout == LayoutChunks && w.t.env.Decoder != nil && !w.asItIs[file]
}

// writeDecoded stores what an archive holds. One that cannot be decoded is stored as it is, in another pass where
// bytes of it are gone.
func (w *writer) writeDecoded(file ledger.File) error {
	p := &part{f: w.f, left: -1}
	in := &counted{r: w.t.limit.wrap(w.ctx, struct{ io.Reader }{p})}
	d, err := w.t.env.Decoder.Put(w.ctx, w.t.store, w.parts, file.Name, in)
	w.sent += in.n
	if errors.Is(err, ErrAsItIs) {
		w.asItIs[file.Name] = true
		if !errors.Is(err, ErrNoGuest) {
			w.notes = append(w.notes, fmt.Sprintf("%s: %v", file.Name, err))
		}
		if in.n == 0 {
			return w.writeFile(file)
		}
		return errRestart
	}
	switch {
	case err != nil && p.err != nil:
		return p.err
	case err != nil && code(err).Name == "" && w.ctx.Err() == nil:
		return w.p.unopened(file.Name, err) // the source's, and no target's
	case err != nil:
		return err
	}
	if _, err := p.WriteTo(io.Discard); err != nil {
		return err
	}
	if _, err := w.clear(); err != nil {
		return err
	}
	w.files = append(w.files, d.storedFiles()...)
	w.decoded = append(w.decoded, d)
	return nil
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// openDecoded makes the archive of a copy again; ok says that it was decoded.
func (t *Target) openDecoded(ctx context.Context, c ledger.Copy, file string, ids []age.Identity) (rc io.ReadCloser, ok bool, err error) {
	if t.spec.Layout != LayoutChunks {
		return nil, false, nil
	}
	m, err := t.find(ctx, c)
	if err != nil {
		return nil, false, err
	}
	d, ok := m.decoded(file)
	if !ok {
		return nil, false, nil
	}
	if t.env.Decoder == nil {
		return nil, true, badTarget(t.spec.Name, "nothing here makes an archive of what %s was decoded into", file)
	}
	s, err := t.contents(ctx, c, ids)
	if err != nil {
		return nil, true, err
	}
	rc, err = t.env.Decoder.Archive(ctx, s, c.Ref, d)
	return rc, true, err
}
