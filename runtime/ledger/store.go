package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"golang.org/x/mod/sumdb/tlog"
)

// Head is a size of the tree and the root of that many entries.
type Head struct {
	Size int64
	Root tlog.Hash
}

// Query selects rows; empty fields select all.
type Query struct {
	Kind, ID, Asset, Item, Run, Ref, Target string
}

// Filter selects entries from a sequence number on; empty fields select all.
type Filter struct {
	From      int64
	Run, Type string
}

// Store keeps entries, the hashes of the tree and the projected rows.
//
// Append is atomic and durable when it returns: all entries, their hashes and
// the changes of their projection, or nothing. It may be called by several
// processes at once; each sees the entries of the others. Entries and Rows call
// back in order of sequence number, respectively of (Time, ID); a callback's
// error ends them and is returned. Hash returns a stored hash of the tree by its
// tlog index. Scan gives what lies there from an entry on to before another,
// unparsed, for verification.
type Store interface {
	Append(ctx context.Context, entries []Entry) (Head, error)
	Head(ctx context.Context) (Head, error)
	Entries(ctx context.Context, f Filter, fn func(Entry) error) error
	Rows(ctx context.Context, q Query, fn func(Row) error) error
	Hash(ctx context.Context, index int64) (tlog.Hash, error)
	Scan(ctx context.Context, from, to int64, fn func(Leaf) error) error
	Close() error
}

// Leaf is an entry as it lies there: its bytes, the hashes that are stored with it,
// and what stands beside them to find it by. Only the bytes are hashed: the rest has to
// be what they say.
type Leaf struct {
	Seq         int64
	Raw, Hashes []byte
	Type, Run   string
}

// labelled says what is wrong beside the bytes of an entry; "" is nothing.
func (s Leaf) labelled() string {
	var e struct{ Type, Run string }
	if err := json.Unmarshal(s.Raw, &e); err != nil {
		return "not an entry"
	}
	if e.Type != s.Type || e.Run != s.Run {
		return fmt.Sprintf("it is filed as %.40q of run %.80q, and is %.40q of run %.80q", s.Type, s.Run, e.Type, e.Run)
	}
	return ""
}

// grow returns the stored hashes of each new leaf, as one blob a leaf, in the
// order of their levels, and the new head.
func grow(size int64, entries []Entry, read func(index int64) (tlog.Hash, error)) ([][]byte, Head, error) {
	fresh := map[int64]tlog.Hash{}
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			h, ok := fresh[x]
			if !ok {
				var err error
				if h, err = read(x); err != nil {
					return nil, err
				}
			}
			out[i] = h
		}
		return out, nil
	})
	blobs := make([][]byte, len(entries))
	for i, e := range entries {
		n := size + int64(i)
		hashes, err := tlog.StoredHashesForRecordHash(n, e.Hash(), reader)
		if err != nil {
			return nil, Head{}, fmt.Errorf("extend the tree at %d: %w", n, err)
		}
		first := tlog.StoredHashIndex(0, n)
		for j, h := range hashes {
			fresh[first+int64(j)] = h
			blobs[i] = append(blobs[i], h[:]...)
		}
	}
	size += int64(len(entries))
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		return nil, Head{}, fmt.Errorf("compute the root of %d: %w", size, err)
	}
	return blobs, Head{size, root}, nil
}

// holder returns which entry's blob holds a stored hash, and where in it.
func holder(index int64) (seq int64, level int) {
	level, n := tlog.SplitStoredHashIndex(index)
	return (n+1)<<level - 1, level
}

func hashAt(blob []byte, level int) (tlog.Hash, error) {
	var h tlog.Hash
	if len(blob) < (level+1)*tlog.HashSize {
		return h, fmt.Errorf("tree hash missing at level %d", level)
	}
	copy(h[:], blob[level*tlog.HashSize:])
	return h, nil
}

// decoded keeps what a body says, for a row that is read more often than written.
type decoded struct{ value atomic.Pointer[any] }

// read decodes a row's body. Of rows in memory all readers share the slices and maps of
// one value.
func read[T any](r Row) (v T, err error) {
	if r.decoded != nil {
		if have := r.decoded.value.Load(); have != nil {
			if v, ok := (*have).(T); ok {
				return v, nil
			}
		}
	}
	if err := json.Unmarshal(r.Body, &v); err != nil {
		return v, fmt.Errorf("decode %s %s: %w", r.Kind, r.ID, err)
	}
	if r.decoded != nil {
		kept := any(v)
		r.decoded.value.Store(&kept)
	}
	return v, nil
}

// One decodes the first row of a query into v and reports whether there is one.
func One(ctx context.Context, s Store, q Query, v any) (bool, error) {
	found := false
	err := s.Rows(ctx, q, func(r Row) error {
		if found {
			return nil
		}
		found = true
		return json.Unmarshal(r.Body, v)
	})
	return found, err
}

// All decodes every row of a query.
func All[T any](ctx context.Context, s Store, q Query) ([]T, error) {
	var out []T
	err := s.Rows(ctx, q, func(r Row) error {
		v, err := read[T](r)
		out = append(out, v)
		return err
	})
	return out, err
}
