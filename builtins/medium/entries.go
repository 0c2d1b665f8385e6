package medium

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/neosofia/runner/builtins/internal/format/zone"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// Entry is one copy on the medium.
type Entry struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	Item        string    `json:"item"`
	Taken       time.Time `json:"taken"`
	Written     time.Time `json:"written"`
	Bytes       int64     `json:"bytes"`
	Files       []string  `json:"files"`
	Sealed      bool      `json:"sealed"`
	Opened      bool      `json:"opened_before_sealing"`
	Consistency string    `json:"consistency,omitempty"`
	Gaps        []string  `json:"gaps,omitempty"`
	Run         string    `json:"run"`
	Proven      string    `json:"proven,omitempty"` // as its maker noted it on the medium
	Folder      string    `json:"folder"`
}

// Entries lists what is there: by kind and item, the newest first.
func (m *Medium) Entries() []Entry {
	var out []Entry
	for _, x := range m.list {
		e := Entry{ID: x.Artifact.ID, Kind: x.Artifact.Kind, Item: x.Artifact.Item, Taken: x.Artifact.Created, Written: x.Copy.Created,
			Bytes:  x.Copy.Bytes,
			Sealed: len(x.Copy.SealedTo) > 0, Opened: x.Copy.Opened, Consistency: x.Artifact.Consistency, Run: x.Artifact.Run, Folder: x.Copy.Ref,
			Proven: m.notes[x.Artifact.ID]}
		for _, f := range x.Copy.Files {
			e.Files = append(e.Files, f.Name)
		}
		for _, g := range x.Artifact.Gaps {
			e.Gaps = append(e.Gaps, g.What+": "+g.Why)
		}
		out = append(out, e)
	}
	return out
}

// Mirror reports that the copies come back from the sealed mirror of a repository: what they need of it lies in
// Options.Env.Scratch meanwhile.
func (m *Medium) Mirror() bool { return m.t.Mirrors() }

// Older are those of the list that are older copies of the same item.
func (e Entry) Older(list []Entry) (out []Entry) {
	for _, o := range list {
		if o.Kind == e.Kind && o.Item == e.Item && o.ID != e.ID && !o.Taken.After(e.Taken) {
			out = append(out, o)
		}
	}
	return out
}

// Newest keeps of every item its newest copy. The list is in the order of Entries.
func Newest(list []Entry) (out []Entry) {
	for i, e := range list {
		if i == 0 || e.Kind != list[i-1].Kind || e.Item != list[i-1].Item {
			out = append(out, e)
		}
	}
	return out
}

// ErrNotDamaged says that a copy is sound: what failed was something else.
var ErrNotDamaged = errors.New("the copy itself is sound")

// Sound reads the older copies of an item back, the newest first, until one is sound,
// when the copy given is not: that one is read back again before.
func (m *Medium) Sound(ctx context.Context, e Entry) (Entry, error) {
	_, err := m.Verify(ctx, e.ID)
	if known := (*failure.Error)(nil); err == nil || errors.As(err, &known) && failure.Is(err, target.CodeNoIdentity) {
		return Entry{}, ErrNotDamaged
	}
	older := e.Older(m.Entries())
	for _, o := range older {
		if _, err := m.Verify(ctx, o.ID); err == nil {
			return o, nil
		}
	}
	if len(older) == 0 {
		return Entry{}, fmt.Errorf("there is no older copy of %s on this medium", e.Item)
	}
	return Entry{}, fmt.Errorf("none of the %d older copies of %s on this medium is sound", len(older), e.Item)
}

// Pick returns the copies that are meant: those of an item, or the one with an id;
// with neither, all. newest keeps of every item the newest alone.
func (m *Medium) Pick(item, id string, newest bool) ([]Entry, error) {
	var out []Entry
	for _, e := range m.Entries() {
		named := e.Item == item || e.Kind == "zone" && zone.Name(e.Item) == zone.Name(item) // in Unicode or Punycode
		if (id == "" || e.ID == id) && (item == "" || named) {
			out = append(out, e)
		}
	}
	if newest && id == "" {
		out = Newest(out)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no copy of %s%s\nhint: runner recover --from %s lists what is there", m.Place, item, id, m.Place)
	}
	return out, nil
}
