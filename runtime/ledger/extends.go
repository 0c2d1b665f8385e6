package ledger

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Extends reports whether a head that was left elsewhere is one of this ledger:
// a prefix of it, or in a part that a gap entry says was lost. It believes the
// stored hashes; Verify recomputes them.
func Extends(ctx context.Context, s Store, cp Head) (bool, error) {
	now, err := s.Head(ctx)
	if err != nil {
		return false, err
	}
	if cp.Size <= now.Size {
		root, err := storedRoot(ctx, s, cp.Size)
		if err != nil {
			return false, err
		}
		if cp.Size == 0 || root == cp.Root {
			return true, nil
		}
	}
	v := verifier{}
	err = s.Entries(ctx, Filter{Type: Junction}, func(e Entry) error {
		var gap LedgerGap
		if err := e.Decode(&gap); err != nil {
			return err
		}
		v.joins = append(v.joins, join{e.Seq, gap})
		return nil
	})
	return v.joined(cp), err
}

// storedRoot is the root of the first entries by the hashes stored with them.
func storedRoot(ctx context.Context, s Store, size int64) (tlog.Hash, error) {
	root, err := tlog.TreeHash(size, tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
		out = make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			if out[i], err = s.Hash(ctx, x); err != nil {
				return nil, err
			}
		}
		return out, nil
	}))
	if err != nil {
		return root, fmt.Errorf("compute the root of %d: %w", size, err)
	}
	return root, nil
}
