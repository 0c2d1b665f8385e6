package ledger

import "golang.org/x/mod/sumdb/tlog"

// frontier is the right edge of a growing tree: the roots of the complete
// subtrees that make it up, largest first. It computes what tlog computes with a
// store of hashes, in the memory of one branch.
type frontier struct {
	size int64
	edge []tlog.Hash
}

// add appends a leaf and returns the hashes that are stored with it, level by
// level, as one blob.
func (f *frontier) add(leaf tlog.Hash, blob []byte) []byte {
	h := leaf
	blob = append(blob, h[:]...)
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.edge) - 1
		h = tlog.NodeHash(f.edge[last], h)
		f.edge = f.edge[:last]
		blob = append(blob, h[:]...)
	}
	f.edge = append(f.edge, h)
	f.size++
	return blob
}

// root is that of all leaves so far.
func (f *frontier) root() tlog.Hash {
	if f.size == 0 {
		h, err := tlog.TreeHash(0, nil)
		if err != nil {
			return tlog.Hash{}
		}
		return h
	}
	h := f.edge[len(f.edge)-1]
	for i := len(f.edge) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.edge[i], h)
	}
	return h
}
