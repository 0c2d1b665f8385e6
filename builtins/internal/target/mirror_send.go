package target

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/mirror"
	"github.com/neosofia/runner/runtime/failure"
)

// send seals what is not there.
func (s *round) send(ctx context.Context, want []blob) error {
	var todo []blob
	var total, done int64
	for _, b := range want {
		if e, ok := s.sealed(b); ok {
			if e.Bytes != b.size {
				s.notes = append(s.notes, fmt.Sprintf("%s of %s has %d bytes, and had %d when it was sealed: what is sealed stays", b.path,
					s.from.Name(), b.size, e.Bytes))
			}
			s.take(b, e)
			s.resumed += e.Size
			continue
		}
		todo = append(todo, b)
		total += b.size
	}
	// Data first: what broke off leaves no index of what is not there.
	slices.SortStableFunc(todo, func(a, b blob) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.path, b.path))
	})
	for _, b := range todo {
		if err := s.m.t.inWindow(); err != nil { // what was sent stays: the next window goes on here
			return err
		}
		e, err := s.seal(ctx, b)
		if err != nil {
			return err
		}
		s.take(b, e)
		s.fresh[e.Name] = e
		s.sent += e.Size
		if s.since += e.Size; s.since >= noteEvery {
			if err := s.note(ctx); err != nil {
				return err
			}
		}
		done += b.size
		if report := s.m.t.env.Progress; report != nil {
			report(s.m.t.spec.Name, "blobs of "+s.from.Name(), done, total)
		}
	}
	return nil
}

func rank(b blob) int {
	if mirror.Pack(b.path) {
		return 0
	}
	return 1
}

func (s *round) take(b blob, e mirror.Entry) {
	s.entries[e.Name] = e
	s.files = append(s.files, mirror.File{Path: b.path, Entry: e})
}

// seal sends one blob, in one pass.
func (s *round) seal(ctx context.Context, b blob) (e mirror.Entry, err error) {
	t := s.m.t
	rc, err := s.from.at.files.Get(ctx, path.Join(chunksFolder, b.path), 0, -1)
	if err != nil {
		return e, s.moved(err)
	}
	defer rc.Close()
	bare := newSummed(rc)
	r, err := age.EncryptReader(bare, t.seals...)
	if err != nil {
		return e, badTarget(t.spec.Name, "seal for its recipients: %v", err)
	}
	out := newSummed(r)
	name := b.entry
	if t.drafts() {
		name += draft
	}
	if err := t.putBlob(ctx, name, t.sealedSize(b.size), out); err != nil {
		return e, err
	}
	e = mirror.Entry{Name: b.entry, Size: out.n, SHA256: out.hex(), Clear: bare.hex(), Bytes: bare.n, Pack: mirror.Pack(b.path)}
	if e.Bytes != b.size || b.sum != "" && b.sum != e.Clear {
		return e, s.moved(&failure.Error{Code: CodeNotFound, System: s.from.Name(), Doing: "read " + b.path, Said: "it changed"})
	}
	if name != b.entry {
		if err := t.store.Rename(ctx, name, b.entry); err != nil {
			return e, err
		}
	}
	if digest := t.caps.Digest; digest != nil {
		e.Native, err = digest(ctx, b.entry)
	}
	return e, err
}

// draft ends the name of what is not written to its end, where a store can rename.
const draft = ".part"
