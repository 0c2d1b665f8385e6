package target

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/mirror"
	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// mirrored is what a target is that holds the sealed mirror of another one's repository. What lies there
// is told in package mirror; copies are small: a manifest, which names what comes out of the
// repository, and a README.
type mirrored struct {
	t *Target

	mu       sync.Mutex // of what follows
	keys     *mirror.Keys
	readings map[string]*reading // repositories that copies come back from, by state
	doubted  map[string]bool     // folders of copies whose blobs are to be read before they are believed
}

// maxList bounds a list of blobs: 100,000 of them have 25 MB.
const maxList = 1 << 30

func (t *Target) openMirror() {
	m := &mirrored{t: t, readings: map[string]*reading{}, doubted: map[string]bool{}}
	t.mirror = m
	if t.spec.MirrorOf != "" {
		t.caps.Maintain = m.maintain
	}
	end := t.caps.Close
	t.caps.Close = func() error {
		err := m.close()
		if end != nil {
			err = errors.Join(err, end())
		}
		return err
	}
}

// contents is the store that the files of a copy are read from: for a mirror the repository that
// its blobs make, once they are opened.
func (t *Target) contents(ctx context.Context, c ledger.Copy, ids []age.Identity) (store.Store, error) {
	if t.mirror == nil {
		return t.store, nil
	}
	return t.mirror.repository(ctx, c.Ref, ids)
}

// Doubt has the blobs of a copy read back before the next one believes that they are there: one of them was found
// damaged. It is for mirrors; elsewhere a copy is removed and made again.
func (t *Target) Doubt(c ledger.Copy) {
	if t.mirror != nil {
		t.mirror.mu.Lock()
		defer t.mirror.mu.Unlock()
		t.mirror.doubted[c.Ref] = true
	}
}

// Mirrors reports that a target is the mirror of another one, which then is where it copies from.
func (t *Target) Mirrors() bool { return t.mirror != nil }

// original is the repository that is mirrored.
type original struct {
	*Target
	at *beside
}

func (m *mirrored) original(ctx context.Context) (*original, error) {
	if m.t.env.Mirrored == nil {
		return nil, badTarget(m.t.spec.Name, "the repository of %s, which it mirrors, is not here", m.t.spec.MirrorOf)
	}
	l, err := m.t.env.Mirrored(ctx)
	if err != nil {
		return nil, err
	}
	at, ok := l.store.(*beside)
	if !ok || l.caps.Packs == nil {
		return nil, errors.Join(badTarget(m.t.spec.Name, "%s, which it mirrors, is no repository of chunks", m.t.spec.MirrorOf), l.Close())
	}
	return &original{l, at}, nil
}

// ready derives the keys, once for each password of a run.
func (m *mirrored) ready(ctx context.Context) (mirror.Keys, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys != nil {
		return *m.keys, nil
	}
	if m.t.spec.Password == nil {
		return mirror.Keys{}, badTarget(m.t.spec.Name, "the password of the repository that it mirrors is not known")
	}
	password, err := m.t.spec.Password(ctx)
	if err != nil {
		return mirror.Keys{}, err
	}
	defer clear(password)
	keys, err := m.t.env.Repositories.keysOf(password)
	if err == nil {
		m.keys = &keys
	}
	return keys, err
}

func (r *Repositories) keysOf(password []byte) (mirror.Keys, error) {
	if r == nil {
		return mirror.KeysOf(password)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := sha256.Sum256(password)
	if keys, ok := r.keys[id]; ok {
		return keys, nil
	}
	keys, err := mirror.KeysOf(password)
	if err == nil {
		if r.keys == nil {
			r.keys = map[[sha256.Size]byte]mirror.Keys{}
		}
		r.keys[id] = keys
	}
	return keys, err
}

// alone waits until no other step of the run writes a mirror.
func (r *Repositories) alone(ctx context.Context, target string) (release func(), err error) {
	if r == nil {
		return func() {}, nil
	}
	r.mu.Lock()
	if r.busy == nil {
		r.busy = map[string]chan struct{}{}
	}
	if r.busy[target] == nil {
		r.busy[target] = make(chan struct{}, 1)
	}
	slot := r.busy[target]
	r.mu.Unlock()
	select {
	case slot <- struct{}{}:
		return func() { <-slot }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// readBefore reports that a blob was read back in this run; sum is what it had.
func (r *Repositories) readBefore(target string, e mirror.Entry) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read[target+" "+e.Name+" "+e.SHA256]
}

func (r *Repositories) wasRead(target string, e mirror.Entry) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.read == nil {
		r.read = map[string]bool{}
	}
	r.read[target+" "+e.Name+" "+e.SHA256] = true
}

// state is one that the mirror has whole, as far as its list goes.
type state struct {
	name string
	list mirror.List
}

// states lists what could be states, the newest first.
func (m *mirrored) states(ctx context.Context) (names []string, err error) {
	infos, err := m.t.store.List(ctx, mirror.States)
	if err != nil && !failure.Is(err, CodeNotFound) {
		return nil, err
	}
	for _, info := range infos {
		if stamp, _, ok := strings.Cut(info.Name, "-"); ok && info.Dir && safePart(info.Name) && len(stamp) == len(dateLayout) {
			names = append(names, info.Name)
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names, nil
}

// list reads a list of blobs; keys are those that it must be signed with, nil: it is not asked.
func (m *mirrored) list(ctx context.Context, name string, keys *mirror.Keys) (mirror.List, error) {
	text, err := m.t.small(ctx, name, maxList)
	if err != nil {
		return mirror.List{}, err
	}
	if keys != nil {
		if err := keys.Verify(text); err != nil {
			return mirror.List{}, damaged(m.t.spec.Name, "read "+name, "%v", err)
		}
	}
	l, err := mirror.ParseList(text)
	if err != nil {
		return l, damaged(m.t.spec.Name, "read "+name, "%v", err)
	}
	return l, nil
}

// find is the newest state for which ok holds; found is false where there is none. A state whose list cannot be
// believed is passed over, and told in notes.
func (m *mirrored) find(ctx context.Context, keys *mirror.Keys, ok func(mirror.List) bool) (s state, found bool, notes []string,
	err error) {
	names, err := m.states(ctx)
	if err != nil {
		return s, false, nil, err
	}
	for _, name := range names {
		l, err := m.list(ctx, path.Join(mirror.States, name, mirror.ListFile), keys)
		switch {
		case failure.Is(err, CodeNotFound): // it was not written to its end
		case failure.Is(err, CodeDamaged):
			notes = append(notes, fmt.Sprintf("state %s of the mirror is not believed: %s", name, failure.OneLine(err)))
		case err != nil:
			return s, false, notes, err
		case ok(l):
			return state{name, l}, true, notes, nil
		}
	}
	return s, false, notes, nil
}

// holding is the newest state that a copy comes back from.
func (m *mirrored) holding(ctx context.Context, keys *mirror.Keys, ref string) (state, error) {
	s, found, notes, err := m.find(ctx, keys, func(l mirror.List) bool { return slices.Contains(l.Holds, ref) })
	if err == nil && !found {
		said := "no state of the mirror holds it"
		if len(notes) > 0 {
			said += "; " + strings.Join(notes, "; ")
		}
		e := damaged(m.t.spec.Name, "find "+ref, "%s", said)
		e.Hint = "have it copied there again, or, where its original is gone, remove its folder there: until then prune gives nothing back"
		err = e
	}
	return s, err
}

// present are the sealed blobs that lie there, with their sizes.
func (m *mirrored) present(ctx context.Context) (map[string]int64, error) {
	there := map[string]int64{}
	for _, digit := range mirror.Digits {
		dir := path.Join(mirror.Blobs, string(digit))
		infos, err := m.t.store.List(ctx, dir)
		if err != nil && !failure.Is(err, CodeNotFound) {
			return nil, err
		}
		for _, info := range infos {
			if info.Regular {
				there[path.Join(dir, info.Name)] = info.Size
			}
		}
	}
	return there, nil
}
