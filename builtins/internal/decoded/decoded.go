package decoded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/neosofia/runner/builtins/internal/format/archive"
	"github.com/neosofia/runner/builtins/internal/format/vma"
	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/builtins/internal/target"
)

// Index is what an archive was decoded into, and Part one file of it.
type (
	Index = target.Decoded
	Part  = target.DecodedPart
)

// Put decodes an archive into a folder of a store. The reader is read to its end, so that its digest can
// be taken in the same pass, unless an error comes first. On an error what was put is to be deleted.
//
// Errors: those of package archive where the archive is at fault, of the store, of the reader; and target.ErrAsItIs.
func Put(ctx context.Context, s store.Store, folder, file string, r io.Reader, spool *vma.Spool) (Index, error) {
	plain, disks := archive.Plain(file)
	ix := Index{File: file, Plain: plain}
	var err error
	switch {
	case plain == "":
		return ix, target.ErrNoGuest
	case disks:
		err = putDisks(ctx, &ix, s, folder, r, spool)
	default:
		err = putTree(ctx, &ix, s, folder, r)
	}
	if errors.Is(err, archive.ErrUnsupported) || errors.Is(err, vma.ErrSpoolFull) {
		err = fmt.Errorf("%w: %w", target.ErrAsItIs, err)
	}
	return ix, err
}

// putTree stores a container's tar.
func putTree(ctx context.Context, ix *Index, s store.Store, folder string, r io.Reader) error {
	clear, err := archive.Clear(ctx, ix.File, r)
	if err != nil {
		return err
	}
	defer clear.Close()
	sum := &summed{r: clear, h: sha256.New()}
	const name = "tree.tar"
	if _, err := s.Put(ctx, path.Join(folder, name), 0, -1, sum); err != nil {
		return err
	}
	ix.Parts = []Part{{Name: name, Kind: target.PartTree, Of: ix.Plain, Size: sum.n, SHA256: sum.hex()}}
	return nil
}

// putDisks stores the disks of a VMA, all at once, and then its small files. A disk gets its end
// only when the whole archive was good.
func putDisks(ctx context.Context, ix *Index, s store.Store, folder string, r io.Reader, spool *vma.Spool) error {
	var lanes []*lane
	var puts sync.WaitGroup
	h, err := archive.OrderDisks(ctx, ix.File, r, spool, func(d vma.Device) (io.Writer, error) {
		if d.Name == memory {
			return nil, fmt.Errorf("%w: it holds the machine's memory", target.ErrAsItIs)
		}
		in, out := io.Pipe()
		l := &lane{Part: Part{Name: named("disk", d.Name, d.ID) + ".raw", Kind: target.PartDisk, ID: d.ID, Of: d.Name, Size: d.Size}, out: out,
			sum: &summed{r: in, h: sha256.New()}}
		lanes = append(lanes, l)
		puts.Go(func() {
			_, l.err = s.Put(ctx, path.Join(folder, l.Name), 0, d.Size, l.sum)
			in.CloseWithError(l.err) // who writes on is told
		})
		return out, nil
	})
	for _, l := range lanes {
		l.out.CloseWithError(err) // nil is the end
	}
	puts.Wait()
	for _, l := range lanes {
		if l.err != nil && (err == nil || errors.Is(err, l.err)) {
			err = l.err // as the store says it
		}
		l.SHA256 = l.sum.hex()
		ix.Parts = append(ix.Parts, l.Part)
	}
	if err != nil {
		return err
	}
	ix.UUID, ix.Created = hex.EncodeToString(h.UUID[:]), h.Created.UTC()
	return putConfigs(ctx, ix, s, folder, h.Configs)
}

// named makes a name that any store takes, and that says whose it is where that can be said.
func named(kind, of string, n int) string {
	plain := !strings.ContainsFunc(of, func(r rune) bool {
		return !(r == '.' || r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z')
	})
	if plain && len(of) <= 120 {
		return kind + "-" + of
	}
	return fmt.Sprintf("%s--%d", kind, n)
}

// memory is the device of a VMA that is no disk.
const memory = "vmstate"

// lane is a disk on its way into the store.
type lane struct {
	Part
	out *io.PipeWriter
	sum *summed
	err error
}

func putConfigs(ctx context.Context, ix *Index, s store.Store, folder string, configs []vma.Config) error {
	for i, c := range configs {
		sum := &summed{r: &bytesReader{c.Data}, h: sha256.New()}
		name := named("config", c.Name, i)
		if _, err := s.Put(ctx, path.Join(folder, name), 0, int64(len(c.Data)), sum); err != nil {
			return err
		}
		ix.Parts = append(ix.Parts, Part{Name: name, Kind: target.PartConfig, Of: c.Name, Size: sum.n, SHA256: sum.hex()})
	}
	return nil
}

// bytesReader has no WriteTo: the bytes go through the digest.
type bytesReader struct{ b []byte }

func (r *bytesReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

// summed takes the digest of what is read.
type summed struct {
	r io.Reader
	h hash.Hash
	n int64
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	_, _ = s.h.Write(p[:n]) // it never fails
	s.n += int64(n)
	return n, err
}

func (s *summed) hex() string { return hex.EncodeToString(s.h.Sum(nil)) }
