package ledger

import (
	"crypto/sha256"
	"encoding/binary"
)

type (
	rowKey    [16]byte
	rowDigest [16]byte
)

// rowSet holds what the rows of a projection must be, as digests: of a million
// rows some 80 MB, where the rows themselves would not fit.
type rowSet struct {
	rows    map[rowKey]rowState
	dropped map[uint64]int64 // by reference: when
	clock   int64
}

type rowState struct {
	digest rowDigest
	ref    uint64
	at     int64 // when it was put
}

func newRowSet() *rowSet { return &rowSet{map[rowKey]rowState{}, map[uint64]int64{}, 0} }

func shortSum(parts ...string) (k [16]byte) {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	copy(k[:], h.Sum(nil))
	return k
}

func keyOf(kind, id string) rowKey { return shortSum("row", kind, id) }

// refOf is 0 where a row refers to nothing.
func refOf(kind, ref string) uint64 {
	if ref == "" {
		return 0
	}
	k := shortSum("ref", kind, ref)
	return binary.BigEndian.Uint64(k[:]) | 1
}

func digestOf(r Row) rowDigest {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(r.Time.UnixMicro()))
	return shortSum(r.Kind, r.ID, r.Asset, r.Item, r.Run, r.Ref, r.Target, string(at[:]), string(r.Body))
}

func (s *rowSet) apply(c Change) {
	s.clock++
	switch {
	case !c.Drop:
		s.rows[keyOf(c.Kind, c.ID)] = rowState{digestOf(c.Row), refOf(c.Kind, c.Ref), s.clock}
	case c.ID != "":
		delete(s.rows, keyOf(c.Kind, c.ID))
	case c.Ref != "":
		s.dropped[refOf(c.Kind, c.Ref)] = s.clock
	}
}

// get returns what the row must be; false: there must be none.
func (s *rowSet) get(k rowKey) (rowState, bool) {
	v, ok := s.rows[k]
	return v, ok && (v.ref == 0 || s.dropped[v.ref] < v.at)
}
