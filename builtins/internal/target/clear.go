package target

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"path"

	"filippo.io/age"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// OpenFile returns the clear bytes of a file of a copy, over parts and sealing.
// The bytes are to be trusted only when the reader has come to io.EOF: a stored
// file whose digest is not that of c, or clear bytes whose digest is not that of f,
// end with E_DAMAGED instead. A file without a digest is held against c alone.
func (t *Target) OpenFile(ctx context.Context, c ledger.Copy, f ledger.File, ids []age.Identity) (io.ReadCloser, error) {
	if rc, ok, err := t.openDecoded(ctx, c, f.Name, ids); ok || err != nil {
		return rc, err
	}
	r := newClear(ctx, t, c, f, ids)
	if len(r.left) == 0 {
		return nil, &failure.Error{Code: CodeNotFound, System: system(t.spec.Name), Doing: "open " + f.Name, Said: "the copy has no such file"}
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	return r, nil
}

// clearReader reads the stored files of a file one after the other.
type clearReader struct {
	ctx   context.Context
	t     *Target
	c     ledger.Copy
	f     ledger.File
	ids   []age.Identity
	left  []ledger.StoredFile
	cur   *stored
	r     io.Reader // of the clear bytes of cur
	sum   hash.Hash // of the clear bytes; nil: they have nothing to be compared with
	bytes int64     // read from the target
	err   error
}

func newClear(ctx context.Context, t *Target, c ledger.Copy, f ledger.File, ids []age.Identity) *clearReader {
	r := &clearReader{ctx: ctx, t: t, c: c, f: f, ids: ids}
	known := f.SHA256 == ""
	for _, s := range c.Files {
		if s.Of == f.Name {
			r.left = append(r.left, s)
			// Where one stored file has that very digest, reading it compares already.
			known = known || s.SHA256 == f.SHA256 && s.Part == 0 && !s.Sealed
		}
	}
	if !known {
		r.sum = sha256.New()
	}
	return r
}

// open begins the next stored file.
func (r *clearReader) open() error {
	f := r.left[0]
	cur, err := r.t.openStored(r.ctx, r.c, f, r.ids)
	if err != nil {
		return err
	}
	r.left, r.cur, r.r = r.left[1:], cur, cur
	if f.Sealed {
		r.r, err = r.t.openSealed(f.Name, cur, r.ids)
	}
	return err
}

func (r *clearReader) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.cur == nil {
			if len(r.left) == 0 {
				r.err = r.compared()
			} else {
				r.err = r.open()
			}
			continue
		}
		n, err := r.r.Read(p)
		if err == io.EOF {
			// age stops at its last chunk; what follows has to be nothing.
			if _, err = io.Copy(io.Discard, r.cur); err == nil {
				r.finish()
			}
		}
		if err != nil {
			r.err = r.blame(err)
		}
		if n > 0 {
			if r.sum != nil {
				r.sum.Write(p[:n])
			}
			return n, nil
		}
	}
	return 0, r.err
}

// compared is how the clear bytes end.
func (r *clearReader) compared() error {
	if r.sum == nil {
		return io.EOF
	}
	if got := hex.EncodeToString(r.sum.Sum(nil)); got != r.f.SHA256 {
		return damaged(r.t.spec.Name, "open "+r.f.Name, "the SHA-256 of the clear bytes is %s; the source had %s", got, r.f.SHA256)
	}
	return io.EOF
}

// blame says whether bytes that could not be decrypted are those that were stored.
func (r *clearReader) blame(err error) error {
	if code(err).Name != "" || r.ctx.Err() != nil {
		return err
	}
	if _, rest := io.Copy(io.Discard, r.cur); rest != nil {
		return rest
	}
	return r.t.opening(r.cur.f.Name, err)
}

func (r *clearReader) finish() {
	r.bytes += r.cur.n
	r.cur.Close()
	r.cur = nil
}

// Close implements io.Closer.
func (r *clearReader) Close() error {
	if r.err == nil {
		r.err = io.ErrClosedPipe
	}
	if r.cur != nil {
		r.finish()
	}
	return nil
}

// stored reads one stored file and holds it against its size and digest.
type stored struct {
	io.Closer
	t *Target
	f ledger.StoredFile
	r io.Reader
	h hash.Hash
	n int64
}

func (t *Target) openStored(ctx context.Context, c ledger.Copy, f ledger.StoredFile, ids []age.Identity) (*stored, error) {
	var rc io.ReadCloser
	var err error
	if t.InPlace() {
		if err = t.checkPlace(c); err == nil {
			rc, err = t.store.Get(ctx, c.Ref, 0, -1)
		}
	} else {
		rc, err = t.openListed(ctx, c, f, ids)
	}
	if err != nil {
		return nil, err
	}
	return &stored{Closer: rc, t: t, f: f, r: rc, h: sha256.New()}, nil
}

func (t *Target) openListed(ctx context.Context, c ledger.Copy, f ledger.StoredFile, ids []age.Identity) (io.ReadCloser, error) {
	if err := checkFolder(c.Ref, c.Artifact); err != nil || !safePart(f.Name) {
		return nil, &failure.Error{Code: CodeNotFound, System: system(t.spec.Name), Doing: "open copy " + c.ID,
			Said: "its names do not belong to the layout"}
	}
	s, err := t.contents(ctx, c, ids)
	if err != nil {
		return nil, err
	}
	rc, err := s.Get(ctx, path.Join(c.Ref, f.Name), 0, -1)
	if failure.Is(err, CodeNotFound) {
		return nil, damaged(t.spec.Name, "read "+path.Join(c.Ref, f.Name), "it is missing")
	}
	return rc, err
}

func (s *stored) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.h.Write(p[:n])
	s.n += int64(n)
	switch {
	case s.n > s.f.Size:
		return n, damaged(s.t.spec.Name, "read "+s.f.Name, "it has more than the %d bytes that it was stored with", s.f.Size)
	case err == io.EOF && s.n < s.f.Size:
		return n, damaged(s.t.spec.Name, "read "+s.f.Name, "it ends after %d of %d bytes", s.n, s.f.Size)
	case err == io.EOF:
		if sum := hex.EncodeToString(s.h.Sum(nil)); sum != s.f.SHA256 {
			return n, damaged(s.t.spec.Name, "read "+s.f.Name, "its SHA-256 is %s; it was stored as %s", sum, s.f.SHA256)
		}
	}
	return n, err
}
