package target

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/mirror"
)

// note writes down what was sealed since the last note: its digests are known to nobody else until a
// state has them.
func (s *round) note(ctx context.Context) error {
	if len(s.fresh) == 0 || s.since == 0 {
		return nil
	}
	name := path.Join(mirror.Sums, s.m.t.env.Now().UTC().Format(dateLayout)+".txt")
	for slices.Contains(s.old, name) {
		name = strings.TrimSuffix(name, ".txt") + "-.txt"
	}
	if err := s.m.t.putSmall(ctx, name, s.keys.Encode(mirror.List{Entries: s.fresh})); err != nil {
		return err
	}
	s.old, s.since, s.fresh = append(s.old, name), 0, map[string]mirror.Entry{}
	return nil
}

// finish writes the new state, where it is one.
func (s *round) finish(ctx context.Context) error {
	now := mirror.List{Holds: s.holds, Entries: s.entries}
	text := s.keys.Encode(now)
	if s.first || !bytes.Equal(text, s.keys.Encode(s.last.list)) {
		if err := s.write(ctx, now, text); err != nil {
			return err
		}
	}
	for _, name := range s.old { // the state has what they say
		if err := s.m.t.store.Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// write makes a state: its list is the last, and makes it one.
func (s *round) write(ctx context.Context, now mirror.List, text []byte) error {
	t := s.m.t
	sum := sha256.Sum256(text)
	name := s.m.stamp(s.last.name) + "-" + hex.EncodeToString(sum[:4])
	dir := path.Join(mirror.States, name)
	password, err := t.spec.Password(ctx)
	if err != nil {
		return err
	}
	defer clear(password)
	slices.SortFunc(s.files, func(a, b mirror.File) int { return strings.Compare(a.Path, b.Path) })
	for _, part := range []struct {
		name string
		text []byte
	}{{mirror.PasswordFile, password}, {mirror.IndexFile, mirror.EncodeIndex(s.files)}} {
		sealed, err := t.sealBytes(part.text)
		if err != nil {
			return err
		}
		if err := t.putSmall(ctx, path.Join(dir, part.name), sealed); err != nil {
			return err
		}
	}
	if err := t.putSmall(ctx, path.Join(dir, mirror.ListFile), text); err != nil {
		return err
	}
	s.last, s.first = state{name, now}, false
	return nil
}

// stamp is the time of a new state: later than that of the last one, also where a clock was set back.
func (m *mirrored) stamp(last string) string {
	now := m.t.env.Now().UTC()
	before, _, _ := strings.Cut(last, "-")
	if at, err := time.Parse(dateLayout, before); err == nil && !now.Truncate(time.Microsecond).After(at) {
		now = at.Add(time.Microsecond)
	}
	return now.Format(dateLayout)
}

// sealBytes seals what is small.
func (t *Target) sealBytes(b []byte) ([]byte, error) {
	r, err := age.EncryptReader(bytes.NewReader(b), t.seals...)
	if err != nil {
		return nil, badTarget(t.spec.Name, "seal for its recipients: %v", err)
	}
	return io.ReadAll(r)
}

// putBlob writes a sealed file whose size is known. Most blobs are small: these need no buffer to be copied in.
func (t *Target) putBlob(ctx context.Context, name string, size int64, r io.Reader) error {
	if size <= chunkSize {
		b := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
		if _, err := b.ReadFrom(r); err != nil {
			return err
		}
		r = b
	}
	_, err := t.store.Put(ctx, name, 0, size, t.limit.wrap(ctx, r))
	return err
}
