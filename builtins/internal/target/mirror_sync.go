package target

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"

	"github.com/neosofia/runner/builtins/internal/mirror"
	"github.com/neosofia/runner/runtime/failure"
)

// noteEvery is how many bytes are sealed before it is written down which: a transfer that was killed begins
// again with less than this.
const noteEvery = 8 << 20

// blob is a file of the repository that is mirrored.
type blob struct {
	path  string // below the repository's folder
	size  int64
	sum   string // SHA-256 of one that can change under its name; else ""
	entry string // its name on the mirror
}

// round is one of a mirror that follows its original.
type round struct {
	m     *mirrored
	from  *original
	keys  mirror.Keys
	add   string   // folder of a copy that is to be held from now on
	only  []string // these alone are held; nil: those that were, and what is added
	whole bool     // what copies need is found out anew

	last  state // the newest that is there
	first bool  // there is none
	blobs []blob
	known map[string]mirror.Entry // sealed before
	there map[string]int64
	old   []string // notes of what was sealed; the next state has them
	fresh map[string]mirror.Entry
	since int64 // bytes sealed that no note has

	holds   []string
	entries map[string]mirror.Entry
	files   []mirror.File
	sent    int64
	resumed int64
	notes   []string
}

// sync brings the mirror to the state that its original has now: what is new is sealed and sent, and then a state that says what
// belongs together. Both targets' leases are held.
func (m *mirrored) sync(ctx context.Context, from *original, add string) (*round, error) {
	return m.follow(ctx, &round{m: m, from: from, add: add})
}

func (m *mirrored) follow(ctx context.Context, s *round) (*round, error) {
	s.fresh, s.entries = map[string]mirror.Entry{}, map[string]mirror.Entry{}
	if err := s.look(ctx); err != nil {
		return s, err
	}
	want, err := s.wanted(ctx)
	if err != nil {
		return s, err
	}
	if err := s.doubts(ctx, want); err != nil {
		return s, err
	}
	if err := s.space(ctx, want); err != nil {
		return s, err
	}
	if err := s.send(ctx, want); err != nil {
		if ctx.Err() == nil && s.note(ctx) != nil {
			s.notes = append(s.notes, "what was sent could not be written down: it is sent again")
		}
		return s, err
	}
	return s, s.finish(ctx)
}

// look finds out what is here and what is there.
func (s *round) look(ctx context.Context) (err error) {
	if s.keys, err = s.m.ready(ctx); err != nil {
		return err
	}
	if err := s.local(ctx, chunksFolder); err != nil {
		return err
	}
	var found bool
	if s.last, found, s.notes, err = s.m.find(ctx, &s.keys, func(mirror.List) bool { return true }); err != nil {
		return err
	}
	s.first = !found
	s.known = maps.Clone(s.last.list.Entries)
	if s.known == nil {
		s.known = map[string]mirror.Entry{}
	}
	infos, err := s.m.t.store.List(ctx, mirror.Sums)
	if err != nil && !failure.Is(err, CodeNotFound) {
		return err
	}
	for _, info := range infos {
		if !info.Regular || !safePart(info.Name) {
			continue
		}
		name := path.Join(mirror.Sums, info.Name)
		l, err := s.m.list(ctx, name, &s.keys)
		switch {
		case failure.Is(err, CodeDamaged): // as good as nothing: what it told of is sealed again
		case err != nil:
			return err
		}
		maps.Copy(s.known, l.Entries)
		s.old = append(s.old, name)
	}
	s.there, err = s.m.present(ctx)
	return err
}

// local lists the repository's files.
func (s *round) local(ctx context.Context, dir string) error {
	infos, err := s.from.at.files.List(ctx, dir)
	if err != nil {
		return s.moved(err)
	}
	for _, info := range infos {
		name := path.Join(dir, info.Name)
		if info.Dir {
			if err := s.local(ctx, name); err != nil {
				return err
			}
			continue
		}
		b := blob{path: name[len(chunksFolder)+1:], size: info.Size}
		if !info.Regular || !mirror.Mirrored(b.path) {
			continue
		}
		if mirror.Changes(b.path) {
			if b.sum, err = s.digest(ctx, name); err != nil {
				return err
			}
		}
		b.entry = s.keys.Name(b.path, b.sum)
		s.blobs = append(s.blobs, b)
	}
	return nil
}

// maxFormat bounds the files of a repository that can change.
const maxFormat = 1 << 20

func (s *round) digest(ctx context.Context, name string) (string, error) {
	rc, err := s.from.at.files.Get(ctx, name, 0, maxFormat)
	if err != nil {
		return "", s.moved(err)
	}
	defer rc.Close()
	h := sha256.New()
	if _, err := io.Copy(h, rc); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// moved words that a file went away meanwhile: somebody maintains the repository, by hand perhaps.
func (s *round) moved(err error) error {
	if !failure.Is(err, CodeNotFound) {
		return err
	}
	return &failure.Error{Code: CodeBusy, System: system(s.m.t.spec.Name), Doing: "mirror " + s.from.Name(), Temporary: true, Cause: err,
		Said: "its repository was compacted meanwhile: " + failure.OneLine(err), Hint: "nothing is lost; the next run mirrors what is there then"}
}

// wanted are the blobs that the new state needs.
func (s *round) wanted(ctx context.Context) ([]blob, error) {
	if err := s.held(ctx); err != nil {
		return nil, err
	}
	here, kept := map[string]bool{}, map[string]bool{}
	for _, b := range s.blobs {
		here[b.entry] = true
	}
	whole := s.whole
	for name, e := range s.last.list.Entries {
		if e.Pack && here[name] {
			kept[name] = true
		} else if e.Pack {
			whole = true // it was compacted, and what it held is in another pack
		}
	}
	ask := s.holds
	if !whole {
		ask = nil
		if s.add != "" {
			ask = []string{s.add}
		}
	}
	packs, err := s.from.caps.Packs(ctx, ask)
	if err != nil {
		return nil, err
	}
	need := map[string]bool{}
	for _, id := range packs {
		need[id] = true
	}
	var want []blob
	for _, b := range s.blobs {
		id, _ := mirror.ID(b.path)
		if !mirror.Pack(b.path) || need[id] || !whole && kept[b.entry] {
			want = append(want, b)
			delete(need, id)
		}
	}
	for id := range need {
		if mirror.Pack(id) {
			return nil, damaged(s.from.Name(), "mirror it", "pack %s is not there, and a copy needs it", id)
		}
	}
	return want, nil
}

// held are the copies that the new state holds: those of the last one that the original still has.
func (s *round) held(ctx context.Context) error {
	items := map[string]map[string]bool{}
	all := s.last.list.Holds
	if s.whole {
		all = s.only
	}
	if s.add != "" && !slices.Contains(all, s.add) {
		all = append(slices.Clone(all), s.add)
	}
	for _, ref := range all {
		dir := path.Dir(ref)
		if items[dir] == nil {
			items[dir] = map[string]bool{}
			infos, err := s.from.at.chunks.List(ctx, dir)
			if err != nil && !failure.Is(err, CodeNotFound) {
				return err
			}
			for _, info := range infos {
				items[dir][info.Name] = true
			}
		}
		if items[dir][path.Base(ref)] {
			s.holds = append(s.holds, ref)
		}
	}
	slices.Sort(s.holds)
	return nil
}

// doubts reads back what copies need that were found damaged, and forgets what is not as it was sealed.
func (s *round) doubts(ctx context.Context, want []blob) error {
	s.m.mu.Lock()
	doubted := s.m.doubted[s.add]
	s.m.mu.Unlock()
	if !doubted {
		return nil
	}
	for _, b := range want {
		e, ok := s.known[b.entry]
		if !ok || s.there[b.entry] != e.Size {
			continue
		}
		_, err := s.m.readBlob(ctx, e)
		switch {
		case failure.Is(err, CodeDamaged):
			delete(s.known, b.entry)
		case err != nil:
			return err
		}
	}
	return nil
}

// sealed reports that a blob is there, as far as can be told without reading it.
func (s *round) sealed(b blob) (mirror.Entry, bool) {
	e, ok := s.known[b.entry]
	size, there := s.there[b.entry]
	return e, ok && there && size == e.Size
}

func (s *round) space(ctx context.Context, want []blob) error {
	var need int64
	for _, b := range want {
		if _, ok := s.sealed(b); !ok {
			need += s.m.t.sealedSize(b.size)
		}
	}
	free, _, err := s.m.t.Space(ctx)
	if err != nil || free < 0 || need == 0 {
		return err
	}
	if margin := need/100 + 4<<20; need+margin > free {
		return &failure.Error{Code: CodeFull, System: system(s.m.t.spec.Name), Doing: "mirror " + s.from.Name(),
			Said: fmt.Sprintf("%d bytes are needed, %d are free", need+margin, free),
			Hint: "free space on the target, or shorten what it keeps: prune gives back what its copies do not need"}
	}
	return nil
}
