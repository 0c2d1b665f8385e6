// Package medium brings things back from one copy's medium alone: no site, no
// ledger, no keyring, no network but the medium's own. What it knows it reads
// from manifests, which it does not believe: every byte is checked against the
// digests before it counts, and every name stays below the folder that the
// operator gave.
package medium

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/kinds"
	"github.com/neosofia/runner/builtins/systems"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/format/sheet"
	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// Medium is an open place that holds copies.
type Medium struct {
	Place string
	Bad   []error // what lies there and cannot be read
	list  []target.Manifest
	notes map[string]string // artifact -> "read on 2026-…", as its maker noted it
	t     *target.Target
	ids   []age.Identity
	ask   kind.Options
}

// Options say how a medium is opened.
type Options struct {
	HostKey string // sftp
	Key     []byte // sftp: private key
	Login   []byte // of a cloud store
	Keep    func(login []byte) error
	// Password opens a repository of chunks; it is called where there is one.
	Password func(ctx context.Context) ([]byte, error)
	Ask      kind.Options // of the ways back
	Env      target.Env
	Progress func(file string, done, total int64)
}

// Open reads the manifests of a place: a folder, or an sftp URL.
func Open(ctx context.Context, place string, o Options) (*Medium, error) {
	if !strings.Contains(place, "://") {
		abs, err := filepath.Abs(place)
		if err != nil {
			return nil, err
		}
		place = abs
	}
	o.Env.Now, o.Env.Decoder = runtime.RealClock{}.Now, systems.Decoder("")
	if o.Progress != nil {
		o.Env.Progress = func(_, file string, done, total int64) { o.Progress(file, done, total) }
	}
	layout := ""
	if !strings.Contains(place, "://") && target.HasChunks(o.Env.Root, place) && o.Password != nil {
		layout = target.LayoutChunks
	}
	t, err := target.OpenPath(ctx, place, o.Env, target.Access{HostKey: o.HostKey, Key: func(context.Context) ([]byte, error) {
		if len(o.Key) == 0 {
			return nil, errors.New("an sftp place needs --key FILE, and --host-key")
		}
		return append([]byte(nil), o.Key...), nil
	}, Login: func(context.Context) ([]byte, error) {
		if len(o.Login) == 0 {
			return nil, errors.New("a cloud store needs --login FILE: runner cloud login --out FILE makes it")
		}
		return append([]byte(nil), o.Login...), nil
	}, Keep: o.Keep, Layout: layout, Password: o.Password})
	if err != nil {
		return nil, err
	}
	m := &Medium{Place: place, t: t, ask: o.Ask}
	m.ask.Root, m.ask.Device = o.Env.Root, o.Env.Device
	if m.list, m.Bad, err = t.List(ctx); err != nil {
		t.Close()
		return nil, err
	}
	m.readProofs(ctx)
	sort.SliceStable(m.list, func(i, j int) bool {
		a, b := m.list[i].Artifact, m.list[j].Artifact
		if a.Kind != b.Kind || a.Item != b.Item {
			return a.Kind+"\x00"+a.Item < b.Kind+"\x00"+b.Item
		}
		return a.Created.After(b.Created)
	})
	return m, nil
}

// Odd counts of what is Bad that which is not a copy, and was none.
func (m *Medium) Odd() (n int) {
	for _, err := range m.Bad {
		if odd := (*target.OddError)(nil); errors.As(err, &odd) {
			n++
		}
	}
	return n
}

// readProofs reads what the maker noted of proofs. It is only told: what a medium
// says of itself proves nothing.
func (m *Medium) readProofs(ctx context.Context) {
	m.notes = map[string]string{}
	texts, err := m.t.Checkpoints(ctx)
	if err != nil {
		m.Bad = append(m.Bad, err)
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) { // a later list says the newer proof
		if !strings.HasSuffix(name, "-proofs") && !strings.Contains(name, "-proofs-") {
			continue
		}
		for _, line := range strings.Split(texts[name], "\n") {
			f := strings.Fields(line)
			if len(f) != 3 {
				continue
			}
			at, err := time.Parse(time.RFC3339, f[2])
			if _, known := ledger.ParseLevel(f[1]); known && err == nil {
				m.notes[f[0]] = f[1] + " on " + at.UTC().Format("2006-01-02")
			}
		}
	}
}

// Close lets go of the medium.
func (m *Medium) Close() error { return m.t.Close() }

// Locked says that some of the copies want a key, and there is none yet.
func (m *Medium) Locked(entries []Entry, keys sheet.Keys) bool {
	return slices.ContainsFunc(entries, func(e Entry) bool {
		return e.Sealed && len(keys.Identities) == 0 || keys.Empty() && keyed(e.Kind)
	})
}

func keyed(name string) bool {
	k, known := kinds.Find(name)
	return known && k.Keyed
}

// Unlock gives the keys that sealed copies, and the secrets in them, open with.
func (m *Medium) Unlock(keys sheet.Keys) {
	m.ids, m.ask.Identities, m.ask.Shares = keys.Identities, keys.Identities, keys.Shares
}

// Newer lists folders of copies of the same item that are newer, or may be, and
// cannot be read.
func (m *Medium) Newer(e Entry) (out []string) {
	for _, err := range m.Bad {
		var bad *target.BadFolder
		if !errors.As(err, &bad) {
			continue
		}
		sibling := path.Dir(bad.Folder) == path.Dir(e.Folder) && path.Base(bad.Folder) > path.Base(e.Folder)
		if sibling || strings.HasPrefix(e.Folder, bad.Folder+"/") {
			out = append(out, bad.Folder)
		}
	}
	return out
}

func (m *Medium) find(id string) (target.Manifest, error) {
	for _, x := range m.list {
		if x.Artifact.ID == id {
			return x, nil
		}
	}
	return target.Manifest{}, fmt.Errorf("no copy %s on %s", id, m.Place)
}

// Verify reads a copy back: to "opened" when it can be opened here, else to
// "read". Beyond the digests of the medium it compares the clear digest.
func (m *Medium) Verify(ctx context.Context, id string) (target.Verified, error) {
	x, err := m.find(id)
	if err != nil {
		return target.Verified{}, err
	}
	level := ledger.Opened
	if len(x.Copy.SealedTo) > 0 && len(m.ids) == 0 {
		level = ledger.Read
	}
	return m.t.Verify(ctx, x.Copy, level, m.ids, kinds.Checker(x.Artifact.Kind))
}

// LevelWords names a level as reports do: a sealed copy that was only read says
// when its clear stream was opened.
func LevelWords(level int, sealed, opened bool) string {
	if sealed && opened && level == ledger.Read {
		return "read, opened before sealing"
	}
	return ledger.LevelName(level)
}
