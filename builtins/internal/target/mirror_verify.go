package target

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/mirror"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// storedMirror holds that the sealed blobs that a copy needs are there, with the sizes, and as far as the store has
// them the digests, that they were stored with.
func (v *verification) storedMirror(ctx context.Context) error {
	entries, err := v.t.mirror.needed(ctx, v.c.Ref)
	if err != nil {
		return err
	}
	there, err := v.t.mirror.present(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries {
		size, ok := there[e.Name]
		switch {
		case !ok:
			return damaged(v.t.spec.Name, "look up "+e.Name, "it is missing")
		case size != e.Size:
			return damaged(v.t.spec.Name, "look up "+e.Name, "it has %d bytes; it was stored with %d", size, e.Size)
		}
	}
	v.blobs = entries
	return nil
}

// natives asks the store itself for its digests, where nothing is read.
func (v *verification) natives(ctx context.Context) error {
	for _, e := range v.blobs {
		if v.t.caps.Digest == nil || e.Native == "" {
			continue
		}
		kind, _, _ := strings.Cut(e.Native, ":")
		if sum, err := v.t.caps.Digest(ctx, e.Name); err != nil {
			return err
		} else if strings.HasPrefix(sum, kind+":") && sum != e.Native {
			return damaged(v.t.spec.Name, "digest "+e.Name, "the store says %s; it was stored as %s", sum, e.Native)
		}
	}
	return nil
}

// readMirror reads those blobs back. What was read for another copy of this run is not read again: copies share
// most of them.
func (v *verification) readMirror(ctx context.Context) error {
	for _, e := range v.blobs {
		if v.t.env.Repositories.readBefore(v.t.spec.Name, e) {
			continue
		}
		n, err := v.t.mirror.readBlob(ctx, e)
		v.bytes += n
		if err != nil {
			return err
		}
		v.t.env.Repositories.wasRead(v.t.spec.Name, e)
	}
	return nil
}

// readBlob reads a sealed blob back, and compares.
func (m *mirrored) readBlob(ctx context.Context, e mirror.Entry) (int64, error) {
	r, err := m.openBlob(ctx, e)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return io.CopyBuffer(discard{}, r, make([]byte, min(e.Size, chunkSize)))
}

// openBlob reads a sealed blob; only io.EOF means that it is as it was stored.
func (m *mirrored) openBlob(ctx context.Context, e mirror.Entry) (*stored, error) {
	rc, err := m.t.store.Get(ctx, e.Name, 0, -1)
	if failure.Is(err, CodeNotFound) {
		return nil, damaged(m.t.spec.Name, "read "+e.Name, "it is missing")
	}
	if err != nil {
		return nil, err
	}
	return &stored{Closer: rc, t: m.t, f: ledger.StoredFile{Name: e.Name, Size: e.Size, SHA256: e.SHA256}, r: rc, h: sha256.New()}, nil
}

// needed are the blobs without which a copy does not come back. Which packs these are, the original's index says; where
// that is not at hand, or was compacted since, all packs of the state count.
func (m *mirrored) needed(ctx context.Context, ref string) ([]mirror.Entry, error) {
	var keys *mirror.Keys
	if m.t.spec.Password != nil {
		k, err := m.ready(ctx)
		if err != nil {
			return nil, err
		}
		keys = &k
	}
	s, err := m.holding(ctx, keys, ref)
	if err != nil {
		return nil, err
	}
	all := s.list.Sorted()
	packs, err := m.packsOf(ctx, keys, ref)
	if err != nil || packs == nil {
		return all, err
	}
	for name := range packs {
		if _, ok := s.list.Entries[name]; !ok {
			return all, nil
		}
	}
	return slices.DeleteFunc(all, func(e mirror.Entry) bool { return e.Pack && !packs[e.Name] }), nil
}

// packsOf asks the original; nil: it is not at hand.
func (m *mirrored) packsOf(ctx context.Context, keys *mirror.Keys, ref string) (map[string]bool, error) {
	if keys == nil || m.t.env.Mirrored == nil {
		return nil, nil
	}
	from, err := m.original(ctx)
	if err == nil {
		defer from.Close()
		s := &round{m: m, from: from, keys: *keys}
		if err = s.local(ctx, chunksFolder); err == nil {
			var ids []string
			if ids, err = from.caps.Packs(ctx, []string{ref}); err == nil {
				if names, ok := s.named(ids); ok {
					return names, nil
				}
				return nil, nil
			}
		}
	}
	// A repository that is away, lost or damaged is what a mirror is for. One that is busy answers later.
	var own *failure.Error
	if ctx.Err() != nil || !errors.As(err, &own) || failure.Is(err, CodeBusy) {
		return nil, err
	}
	return nil, nil
}

// named are the names on the mirror of packs, where all of them are here.
func (s *round) named(ids []string) (map[string]bool, bool) {
	byID := map[string]string{}
	for _, b := range s.blobs {
		id, _ := mirror.ID(b.path)
		byID[id] = b.entry
	}
	names := map[string]bool{}
	for _, id := range ids {
		if !mirror.Pack(id) {
			continue // names and lists: all of them are needed
		}
		if byID[id] == "" {
			return nil, false
		}
		names[byID[id]] = true
	}
	return names, true
}

// sealedOnly refuses to open where nothing here can.
func (v *verification) sealedOnly() error {
	return &failure.Error{Code: CodeNoIdentity, System: system(v.t.spec.Name), Doing: "open " + v.c.Ref,
		Said: fmt.Sprintf("the mirror of %s is sealed and there is no identity", v.t.spec.MirrorOf), Hint: "give the recovery identity"}
}
