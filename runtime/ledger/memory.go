package ledger

import (
	"context"
	"fmt"
	"maps"
	"sort"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

// Memory is a Store that lives as long as the process: policy tests use it.
type Memory struct {
	mu      sync.RWMutex
	entries []Entry
	blobs   [][]byte
	head    Head
	rows    map[string]map[string]Row // kind -> id
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{rows: map[string]map[string]Row{}} }

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
		kind = map[string]Row{}
		m.rows[c.Kind] = kind
	}
	switch {
	case !c.Drop:
		kind[c.ID] = c.Row
	case c.ID != "":
		delete(kind, c.ID)
	case c.Ref != "":
		for id, r := range kind {
			if r.Ref == c.Ref {
				delete(kind, id)
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
	var out []Row
	for _, r := range m.rows[q.Kind] {
		if q.matches(r) {
			out = append(out, r)
		}
	}
	m.mu.RUnlock()
	sort.Slice(out, func(i, j int) bool {
		if !out[i].Time.Equal(out[j].Time) {
			return out[i].Time.Before(out[j].Time)
		}
		return out[i].ID < out[j].ID
	})
	for _, r := range out {
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

func (q Query) matches(r Row) bool {
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
	out := &Memory{entries: m.entries, blobs: m.blobs, head: m.head, rows: map[string]map[string]Row{}}
	for kind, rows := range m.rows {
		out.rows[kind] = maps.Clone(rows)
	}
	return out, nil
}

// Close implements Store.
func (m *Memory) Close() error { return nil }
