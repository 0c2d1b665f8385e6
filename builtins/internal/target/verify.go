package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/mirror"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Verify proves that a copy is what the ledger says, at a level of package
// ledger: Stored (manifest and sizes, and digests where the target computes
// them), Read (every byte read back past the cache) or Opened (in the same pass
// decrypted with ids where sealed, compared with the digest of the clear bytes,
// and parsed completely by check).
//
// Errors are *failure.Error: E_DAMAGED where anything differs, E_NO_IDENTITY, those of
// the target; and ctx's.
func (t *Target) Verify(ctx context.Context, c ledger.Copy, level int, ids []age.Identity, check func() Checker) (Verified, error) {
	if level < ledger.Stored || level > ledger.Opened {
		return Verified{}, fmt.Errorf("verify copy %s: level %d is not for a target to prove", c.ID, level)
	}
	begin := t.env.Now()
	v := &verification{t: t, c: c, ids: ids}
	if check != nil {
		v.check = check()
	}
	err := v.run(ctx, level)
	return Verified{Level: v.level, Bytes: v.bytes, Nanos: int64(t.env.Now().Sub(begin)), Note: v.note}, err
}

// ReadPart reads a part of a copy back: of c.Files those from an index on, as long as they
// have most bytes together; their digests are compared. Next is the index of the first that
// was not read. Where none fits, nothing is asked. Errors are those of Verify.
func (t *Target) ReadPart(ctx context.Context, c ledger.Copy, from int, most int64) (next int, part Verified, err error) {
	if next = Fit(c.Files, from, most); next == from {
		return from, Verified{}, nil
	}
	begin := t.env.Now()
	v := &verification{t: t, c: c}
	if err := v.stored(ctx); err != nil {
		return from, Verified{}, err
	}
	for _, f := range c.Files[from:next] {
		if err := v.readStored(ctx, f); err != nil {
			return from, Verified{Bytes: v.bytes}, err
		}
	}
	return next, Verified{Level: ledger.Read, Bytes: v.bytes, Nanos: int64(t.env.Now().Sub(begin))}, nil
}

// Fit is the index behind the last of the files from one on that have most bytes together.
func Fit(files []ledger.StoredFile, from int, most int64) (next int) {
	for next = from; next < len(files) && files[next].Size <= most; next++ {
		most -= files[next].Size
	}
	return next
}

type verification struct {
	t     *Target
	c     ledger.Copy
	ids   []age.Identity
	check Checker
	clear map[string]string // file -> SHA-256 of its clear bytes
	level int
	bytes int64
	note  string
	blobs []mirror.Entry // of a mirror: what the copy needs
}

func (v *verification) run(ctx context.Context, level int) error {
	if err := v.stored(ctx); err != nil {
		return err
	}
	v.level = ledger.Stored
	if level == ledger.Opened && v.check == nil {
		level, v.note = ledger.Read, "read back; there is nothing that opens this kind"
	}
	if level == ledger.Stored {
		return v.natives(ctx)
	}
	if v.t.mirror != nil && level == ledger.Opened && len(v.ids) == 0 {
		return v.sealedOnly()
	}
	if v.t.mirror != nil && level == ledger.Read {
		if err := v.readMirror(ctx); err != nil {
			return err
		}
		v.level = level
		return nil
	}
	for _, file := range filesOf(v.c) {
		var err error
		if level == ledger.Opened {
			err = v.open(ctx, file)
		} else {
			err = v.read(ctx, file)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case level == ledger.Opened && v.note != "":
		level = ledger.Read
	case level == ledger.Opened:
		if err := v.t.unopened(v.c.Item, v.check.End()); err != nil {
			return err
		}
		if n, ok := v.check.(interface{ Note() string }); ok {
			v.note = n.Note()
		}
	}
	v.level = level
	return nil
}

// filesOf returns the names of the artifact's files in order.
func filesOf(c ledger.Copy) (names []string) {
	for _, f := range c.Files {
		if !slices.Contains(names[max(0, len(names)-1):], f.Of) {
			names = append(names, f.Of)
		}
	}
	return names
}

// stored holds the manifest on the target against the ledger, and the sizes
// against the manifest.
func (v *verification) stored(ctx context.Context) error {
	if v.t.InPlace() {
		return v.t.checkPlace(v.c)
	}
	m, err := v.t.find(ctx, v.c)
	if err != nil {
		return err
	}
	v.clear = map[string]string{}
	for _, f := range m.Artifact.Files {
		v.clear[f.Name] = f.SHA256
	}
	if v.t.mirror != nil {
		return v.storedMirror(ctx)
	}
	for _, f := range v.c.Files {
		name := path.Join(v.c.Ref, f.Name)
		info, err := v.t.store.Stat(ctx, name)
		if failure.Is(err, CodeNotFound) {
			return damaged(v.t.spec.Name, "look up "+name, "it is missing")
		}
		if err != nil {
			return err
		}
		if !info.Regular || info.Size != f.Size {
			return damaged(v.t.spec.Name, "look up "+name, "it has %d bytes; it was stored with %d", info.Size, f.Size)
		}
		if v.t.caps.Digest == nil || f.Native == "" {
			continue
		}
		// A digest of another kind than then says nothing: the vendor has changed it.
		kind, _, _ := strings.Cut(f.Native, ":")
		if sum, err := v.t.caps.Digest(ctx, name); err != nil {
			return err
		} else if strings.HasPrefix(sum, kind+":") && sum != f.Native {
			return damaged(v.t.spec.Name, "digest "+name, "the store says %s; it was stored as %s", sum, f.Native)
		}
	}
	return nil
}

// find reads the manifest of a copy and holds it against what is known of the copy.
func (t *Target) find(ctx context.Context, c ledger.Copy) (Manifest, error) {
	if err := checkFolder(c.Ref, c.Artifact); err != nil {
		return Manifest{}, &failure.Error{Code: CodeNotFound, System: system(t.spec.Name), Doing: "find copy " + c.ID, Said: err.Error()}
	}
	m, err := t.manifest(ctx, c.Ref)
	switch {
	case failure.Is(err, CodeNotFound):
		return m, damaged(t.spec.Name, "read "+path.Join(c.Ref, manifestFile), "it is missing: there is no complete copy")
	case failure.Is(err, CodeBadManifest):
		e, _ := errorAs[*failure.Error](err)
		return m, damaged(t.spec.Name, e.Doing, "%s", e.Said)
	}
	if err != nil {
		return m, err
	}
	if m.Copy.ID != c.ID || m.Copy.Artifact != c.Artifact || m.Copy.Kind != c.Kind || m.Copy.Asset != c.Asset || m.Copy.Item != c.Item ||
		!m.Copy.Taken.Equal(c.Taken) || !slices.Equal(m.Copy.SealedTo, c.SealedTo) || !slices.Equal(m.Copy.Files, c.Files) {
		return m, damaged(t.spec.Name, "read "+path.Join(c.Ref, manifestFile), "it differs from what the ledger says of copy %s", c.ID)
	}
	return m, nil
}

// read reads the stored files of a file back; their digests are compared on the way.
func (v *verification) read(ctx context.Context, file string) error {
	for _, f := range v.c.Files {
		if f.Of != file {
			continue
		}
		if err := v.readStored(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) readStored(ctx context.Context, f ledger.StoredFile) error {
	r, err := v.t.openStored(ctx, v.c, f, v.ids)
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(discard{}, r, make([]byte, chunkSize))
	r.Close()
	v.bytes += n
	return err
}

// open reads a file back, opens and parses it, and takes both digests in one pass.
func (v *verification) open(ctx context.Context, file string) error {
	if rc, ok, err := v.t.openDecoded(ctx, v.c, file, v.ids); err != nil {
		return err
	} else if ok {
		return v.openArchive(ctx, file, rc)
	}
	clear := newClear(ctx, v.t, v.c, ledger.File{Name: file, SHA256: v.clear[file]}, v.ids)
	defer clear.Close()
	err := v.check.File(ctx, file, clear)
	// What lies on the target comes first: bytes that differ explain why they
	// could not be parsed.
	_, rest := io.CopyBuffer(discard{}, clear, make([]byte, chunkSize))
	v.bytes += clear.bytes
	if rest != nil {
		return rest
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, ErrNotHere) {
		v.note = fmt.Sprintf("read back; %v", err)
		return nil
	}
	return v.t.unopened(file, err)
}

// openArchive parses an archive that is made of what lies decoded. Its digest is nobody's; the parts' are compared
// on the way.
func (v *verification) openArchive(ctx context.Context, file string, rc io.ReadCloser) error {
	defer rc.Close()
	err := v.check.File(ctx, file, rc)
	_, rest := io.CopyBuffer(discard{}, rc, make([]byte, chunkSize))
	for _, f := range v.c.Files {
		if f.Of == file {
			v.bytes += f.Size
		}
	}
	switch {
	case rest != nil:
		return rest
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	}
	return v.t.unopened(file, err)
}

// unopened words what a checker says: in its own code, or as damage.
func (t *Target) unopened(what string, err error) error {
	if err == nil {
		return nil
	}
	if own, ok := errorAs[*failure.Error](err); ok {
		here := *own
		here.System = system(t.spec.Name)
		return &here
	}
	e := damaged(t.spec.Name, "open "+what, "%v", err)
	e.Cause = err
	return e
}

// discard has no ReadFrom, so that the buffer it is given is used: io.Discard
// reads 8 KiB at a time.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
