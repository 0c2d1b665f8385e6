package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

// Memory is a Store that lives as long as the process: policy tests use it.
type Memory struct {
	mu      sync.RWMutex
	entries []Entry
	blobs   [][]byte
	head    Head
	rows    map[string]*rowList // by kind
}

// rowList holds the rows of a kind in the order in which Rows gives them. A row is not
// changed: another takes its place.
type rowList struct {
	byID    map[string]*Row
	ordered []*Row
}

func before(a, b *Row) int {
	if c := a.Time.Compare(b.Time); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

func (l *rowList) put(r *Row) {
	l.drop(r.ID)
	l.byID[r.ID] = r
	i, _ := slices.BinarySearchFunc(l.ordered, r, before)
	l.ordered = slices.Insert(l.ordered, i, r)
}

func (l *rowList) drop(id string) {
	old := l.byID[id]
	if old == nil {
		return
	}
	delete(l.byID, id)
	i, _ := slices.BinarySearchFunc(l.ordered, old, before)
	l.ordered = slices.Delete(l.ordered, i, i+1)
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{rows: map[string]*rowList{}} }

// Append implements Store.
func (m *Memory) Append(ctx context.Context, entries []Entry) (Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return m.head, err
	}
	var changes []Change
	for i := range entries {
		entries[i].Seq = m.head.Size + int64(i)
		c, err := Project(entries[i])
		if err != nil {
			return m.head, err
		}
		changes = append(changes, c...)
	}
	blobs, head, err := grow(m.head.Size, entries, m.hash)
	if err != nil {
		return m.head, err
	}
	m.entries, m.blobs, m.head = append(m.entries, entries...), append(m.blobs, blobs...), head
	for _, c := range changes {
		m.apply(c)
	}
	return head, nil
}

func (m *Memory) apply(c Change) {
	kind := m.rows[c.Kind]
	if kind == nil {
		kind = &rowList{byID: map[string]*Row{}}
		m.rows[c.Kind] = kind
	}
	switch {
	case !c.Drop:
		c.decoded = &decoded{}
		kind.put(&c.Row)
	case c.ID != "":
		kind.drop(c.ID)
	case c.Ref != "":
		for _, r := range slices.Clone(kind.ordered) {
			if r.Ref == c.Ref {
				kind.drop(r.ID)
			}
		}
	}
}

// Head implements Store.
func (m *Memory) Head(context.Context) (Head, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.head, nil
}

// Entries implements Store.
func (m *Memory) Entries(_ context.Context, f Filter, fn func(Entry) error) error {
	m.mu.RLock()
	entries := m.entries
	m.mu.RUnlock()
	for _, e := range entries {
		if e.Seq < f.From || f.Run != "" && e.Run != f.Run || f.Type != "" && e.Type != f.Type {
			continue
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// Rows implements Store.
func (m *Memory) Rows(_ context.Context, q Query, fn func(Row) error) error {
	m.mu.RLock()
	var out []*Row
	if kind := m.rows[q.Kind]; kind != nil && q.ID != "" {
		if r := kind.byID[q.ID]; r != nil && q.matches(r) {
			out = append(out, r)
		}
	} else if kind != nil {
		for _, r := range kind.ordered {
			if q.matches(r) {
				out = append(out, r)
			}
		}
	}
	m.mu.RUnlock()
	for _, r := range out {
		if err := fn(*r); err != nil {
			return err
		}
	}
	return nil
}

func (q Query) matches(r *Row) bool {
	eq := func(want, have string) bool { return want == "" || want == have }
	return q.Kind == r.Kind && eq(q.ID, r.ID) && eq(q.Asset, r.Asset) && eq(q.Item, r.Item) &&
		eq(q.Run, r.Run) && eq(q.Ref, r.Ref) && eq(q.Target, r.Target)
}

func (m *Memory) hash(index int64) (tlog.Hash, error) {
	seq, level := holder(index)
	if seq >= int64(len(m.blobs)) {
		return tlog.Hash{}, fmt.Errorf("no entry %d", seq)
	}
	return hashAt(m.blobs[seq], level)
}

// Hash implements Store.
func (m *Memory) Hash(_ context.Context, index int64) (tlog.Hash, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.hash(index)
}

// Scan implements Store.
func (m *Memory) Scan(ctx context.Context, from, to int64, fn func(Leaf) error) error {
	m.mu.RLock()
	entries, blobs := m.entries, m.blobs
	m.mu.RUnlock()
	for i := from; i < min(to, int64(len(entries))); i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(Leaf{i, entries[i].raw, blobs[i], entries[i].Type, entries[i].Run}); err != nil {
			return err
		}
	}
	return nil
}

// snapshot is the store as of now.
func (m *Memory) snapshot(context.Context) (Store, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := &Memory{entries: m.entries, blobs: m.blobs, head: m.head, rows: map[string]*rowList{}}
	for kind, l := range m.rows {
		out.rows[kind] = &rowList{maps.Clone(l.byID), slices.Clone(l.ordered)}
	}
	return out, nil
}

// Close implements Store.
func (m *Memory) Close() error { return nil }
