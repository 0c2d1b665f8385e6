package ledger

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Problem is one thing that is wrong with a ledger. Seq is the entry, or -1.
type Problem struct {
	Seq  int64
	Text string
}

func (p Problem) String() string {
	if p.Seq < 0 {
		return p.Text
	}
	return fmt.Sprintf("entry %d: %s", p.Seq, p.Text)
}

// Report is the outcome of Verify.
type Report struct {
	Head     Head
	Entries  int64
	Gaps     []LedgerGap // joined on purpose: "ok with n gaps"
	Problems []Problem
}

// OK reports that nothing is wrong.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// Verify recomputes every leaf and every inner hash, the root, and all
// projections, and compares them with what is stored. Checkpoints are heads of
// the same ledger that were left elsewhere: each must be a prefix of it.
func Verify(ctx context.Context, s Store, checkpoints map[string]Head) (Report, error) {
	v := verifier{leaves: map[tlog.Hash]int64{}, hashes: map[int64]tlog.Hash{}, again: NewMemory()}
	head, err := s.Head(ctx)
	if err != nil {
		return Report{}, err
	}
	v.report.Head = head
	if err := s.Scan(ctx, func(seq int64, raw, hashes []byte) error {
		v.stored = append(v.stored, scanned{seq, bytes.Clone(raw), bytes.Clone(hashes)})
		return ctx.Err()
	}); err != nil {
		return Report{}, err
	}
	v.leavesOf()
	v.sequence(head.Size)
	v.contents()
	if v.report.OK() {
		v.tree(head)
		v.checkpoints(ctx, checkpoints)
		if err := v.projections(ctx, s); err != nil {
			return v.report, err
		}
	}
	return v.report, nil
}

type scanned struct {
	seq         int64
	raw, hashes []byte
}

type verifier struct {
	stored []scanned
	leaves map[tlog.Hash]int64 // stored leaf hash -> entry that it stands in
	hashes map[int64]tlog.Hash
	again  *Memory
	report Report
}

func (v *verifier) problem(seq int64, format string, args ...any) {
	if len(v.report.Problems) < 100 {
		v.report.Problems = append(v.report.Problems, Problem{seq, fmt.Sprintf(format, args...)})
	}
}

func (v *verifier) leavesOf() {
	for _, e := range v.stored {
		if h, err := hashAt(e.hashes, 0); err == nil {
			v.leaves[h] = e.seq
		}
	}
}

// sequence finds what is missing: numbers must be 0, 1, 2 … up to the size.
func (v *verifier) sequence(size int64) {
	next := int64(0)
	for _, e := range v.stored {
		for ; next < e.seq; next++ {
			v.problem(next, "removed: no entry has this number")
		}
		next = e.seq + 1
	}
	v.report.Entries = int64(len(v.stored))
	if next < size {
		v.problem(-1, "truncated: the last entry is %d, but %d were written", next-1, size)
	}
	if next > size {
		v.problem(size, "inserted: %d entries follow the recorded end of the ledger", next-size)
	}
}

// contents compares each entry with the leaf hash that was stored with it.
func (v *verifier) contents() {
	for _, e := range v.stored {
		leaf := tlog.RecordHash(e.raw)
		want, err := hashAt(e.hashes, 0)
		if err == nil && want == leaf {
			continue
		}
		if from, moved := v.leaves[leaf]; moved {
			v.problem(e.seq, "reordered: these are the contents of entry %d", from)
			continue
		}
		v.problem(e.seq, "edited: its contents are not those that were recorded")
	}
}

// tree rebuilds the tree from the leaves. An entry that was inserted or removed
// with its numbers shifted carries hashes of another place.
func (v *verifier) tree(head Head) {
	var entries []Entry
	for _, e := range v.stored {
		entries = append(entries, Entry{Seq: e.seq, raw: e.raw})
	}
	blobs, root, err := grow(0, entries, func(i int64) (tlog.Hash, error) {
		return tlog.Hash{}, fmt.Errorf("no hash %d", i)
	})
	if err != nil {
		v.problem(-1, "the tree cannot be computed: %v", err)
		return
	}
	for i, e := range v.stored {
		if !bytes.Equal(blobs[i], e.hashes) {
			v.problem(e.seq, "inserted, removed or reordered here: the entries up to this one do not make the tree that was recorded with it")
			return
		}
		for level := 0; level*tlog.HashSize < len(blobs[i]); level++ {
			h, _ := hashAt(blobs[i], level)
			v.hashes[tlog.StoredHashIndex(level, (e.seq+1)>>level-1)] = h
		}
	}
	if root.Root != head.Root {
		v.problem(-1, "the recorded root %v is not that of the entries, %v", head.Root, root.Root)
	}
}

func (v *verifier) checkpoints(ctx context.Context, heads map[string]Head) {
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			h, ok := v.hashes[x]
			if !ok {
				return nil, fmt.Errorf("no hash %d", x)
			}
			out[i] = h
		}
		return out, nil
	})
	for name, cp := range heads {
		if cp.Size > int64(len(v.stored)) {
			if v.joined(cp) {
				continue
			}
			v.problem(-1, "truncated or older: %s holds a checkpoint of %d entries, this ledger has %d\nhint: if this machine was restored from a backup, type: runner ledger continue --reason \"…\"", name, cp.Size, len(v.stored))
			continue
		}
		root, err := tlog.TreeHash(cp.Size, reader)
		if err != nil {
			v.problem(-1, "compute the root of %d for the checkpoint on %s: %v", cp.Size, name, err)
		} else if root != cp.Root && !v.joined(cp) {
			v.problem(-1, "the checkpoint of %d entries on %s has root %v, this ledger has %v there: one of the first %d entries was changed, or the target belongs to another ledger", cp.Size, name, cp.Root, root, cp.Size)
		}
	}
}

// joined reports that a gap entry accounts for a checkpoint beyond this ledger.
func (v *verifier) joined(cp Head) bool {
	for _, e := range v.stored {
		entry, err := ParseEntry(e.seq, e.raw)
		var gap LedgerGap
		if err == nil && entry.Type == Junction && entry.Decode(&gap) == nil && cp.Size <= gap.Size && cp.Size > e.seq {
			return true
		}
	}
	return false
}

func (v *verifier) projections(ctx context.Context, s Store) error {
	for _, e := range v.stored {
		entry, err := ParseEntry(e.seq, e.raw)
		if err != nil {
			v.problem(e.seq, "%v", err)
			return nil
		}
		changes, err := Project(entry)
		if err != nil {
			v.problem(e.seq, "%v", err)
			return nil
		}
		for _, c := range changes {
			v.again.apply(c)
		}
		var gap LedgerGap
		if entry.Type == Junction && entry.Decode(&gap) == nil {
			v.report.Gaps = append(v.report.Gaps, gap)
		}
	}
	for _, kind := range []string{RowRun, RowRunEnd, RowArtifact, RowCopy, RowRemoved, RowProof, RowItem, RowMedium, RowUndo, RowDemands, RowGap} {
		want := v.again.rows[kind]
		seen := 0
		if err := s.Rows(ctx, Query{Kind: kind}, func(r Row) error {
			seen++
			if w, ok := want[r.ID]; !ok || !bytes.Equal(w.Body, r.Body) || w.Ref != r.Ref || w.Item != r.Item || w.Target != r.Target {
				v.problem(-1, "the %s %s is not what the entries say", kind, r.ID)
			}
			return nil
		}); err != nil {
			return err
		}
		if seen != len(want) {
			v.problem(-1, "%d rows of kind %s are stored, the entries make %d", seen, kind, len(want))
		}
	}
	return nil
}
