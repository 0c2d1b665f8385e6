package ledger

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// maxProblems bounds a report: a ledger with more is not looked at one by one.
const maxProblems = 100

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

// Finding words damage for a run and for status; nil where there is none. err is
// that of the verification, if it could not be done.
func (r Report) Finding(err error, lab bool) *Finding {
	f := &Finding{Severity: Failed, Type: "runner ledger verify"}
	if lab {
		f.Type += " --lab"
	}
	switch {
	case err != nil:
		f.Text = fmt.Sprintf("the ledger cannot be verified: %v", err)
	case !r.OK():
		f.Text = fmt.Sprintf("the ledger is damaged: %s", r.Problems[0])
	default:
		return nil
	}
	return f
}

// Verify recomputes every leaf and every inner hash, the root, and all
// projections, and compares them with what is stored, as of one moment: other
// processes may go on appending. Checkpoints are heads of the same ledger that
// were left elsewhere, by where they were found: each must be a prefix of it.
//
// It streams: its memory is that of the digests of the rows, some 80 bytes each.
func Verify(ctx context.Context, s Store, checkpoints map[string]Head) (Report, error) {
	if l, ok := s.(*Ledger); ok {
		s = l.Store
	}
	if o, ok := s.(interface {
		snapshot(context.Context) (Store, error)
	}); ok {
		snap, err := o.snapshot(ctx)
		if err != nil {
			return Report{}, err
		}
		defer snap.Close()
		s = snap
	}
	v := verifier{s: s, odd: -1, roots: map[int64]tlog.Hash{}, rows: newRowSet()}
	for _, cp := range checkpoints {
		v.roots[cp.Size] = tlog.Hash{}
	}
	err := v.run(ctx, checkpoints)
	return v.report, err
}

type verifier struct {
	s      Store
	tree   frontier
	next   int64 // number that the next entry must have
	bad    map[tlog.Hash]int64
	odd    int64 // first entry whose hashes are not those of the tree, or -1
	among  int64 // the first entry below the smallest hash that differs there
	roots  map[int64]tlog.Hash
	joins  []join
	rows   *rowSet
	blob   []byte
	report Report
}

// join is a gap entry and where it stands.
type join struct {
	seq int64
	gap LedgerGap
}

func (v *verifier) problem(seq int64, format string, args ...any) {
	switch n := len(v.report.Problems); {
	case n < maxProblems:
		v.report.Problems = append(v.report.Problems, Problem{seq, fmt.Sprintf(format, args...)})
	case n == maxProblems:
		v.report.Problems = append(v.report.Problems, Problem{-1, "and more: only the first are listed"})
	}
}

func (v *verifier) run(ctx context.Context, checkpoints map[string]Head) error {
	head, err := v.s.Head(ctx)
	if err != nil {
		return err
	}
	v.report.Head, v.bad = head, map[tlog.Hash]int64{}
	v.root()
	if err := v.s.Scan(ctx, 0, math.MaxInt64, func(e Leaf) error {
		v.entry(e)
		return ctx.Err()
	}); err != nil {
		return err
	}
	if err := v.judge(ctx, head); err != nil || !v.report.OK() {
		return err
	}
	v.checkpoints(checkpoints)
	if i, ok := v.s.(interface {
		inspect(context.Context) ([]string, error)
	}); ok {
		wrong, err := i.inspect(ctx)
		if err != nil {
			return err
		}
		for _, w := range wrong {
			v.problem(-1, "%s", w)
		}
	}
	return v.projections(ctx)
}

// root keeps the root of the tree so far where a checkpoint wants it.
func (v *verifier) root() {
	if _, wanted := v.roots[v.tree.size]; wanted {
		v.roots[v.tree.size] = v.tree.root()
	}
}

// entry checks one entry against what was stored with it.
func (v *verifier) entry(e Leaf) {
	seq, raw, hashes := e.Seq, e.Raw, e.Hashes
	for ; v.next < seq && len(v.report.Problems) < maxProblems; v.next++ {
		v.problem(v.next, "removed: no entry has this number")
	}
	v.next = seq + 1
	v.report.Entries++
	leaf := tlog.RecordHash(raw)
	v.blob = v.tree.add(leaf, v.blob[:0])
	v.root()
	stored, err := hashAt(hashes, 0)
	if (err != nil || stored != leaf) && len(v.bad) <= maxProblems {
		v.bad[leaf] = seq
	}
	if v.odd < 0 && !bytes.Equal(v.blob, hashes) {
		v.odd, v.among = seq, seq
		for level := 0; (level+1)*tlog.HashSize <= min(len(v.blob), len(hashes)); level++ {
			if at := level * tlog.HashSize; !bytes.Equal(v.blob[at:at+tlog.HashSize], hashes[at:at+tlog.HashSize]) {
				v.among = seq - 1<<level + 1
				break
			}
		}
	}
	if len(v.report.Problems) == 0 && len(v.bad) == 0 {
		if wrong := e.labelled(); wrong != "" {
			v.problem(seq, "%s", wrong)
			return
		}
		v.project(seq, raw)
	}
}

func (v *verifier) project(seq int64, raw []byte) {
	e, err := ParseEntry(seq, raw)
	if err != nil {
		v.problem(seq, "%v", err)
		return
	}
	changes, err := Project(e)
	if err != nil {
		v.problem(seq, "%v", err)
		return
	}
	for _, c := range changes {
		v.rows.apply(c)
	}
	var gap LedgerGap
	if e.Type == Junction && e.Decode(&gap) == nil {
		v.joins = append(v.joins, join{seq, gap})
		v.report.Gaps = append(v.report.Gaps, gap)
	}
}

// judge says what happened to the entries. The recorded root decides whether
// entries were changed, or only hashes beside them.
func (v *verifier) judge(ctx context.Context, head Head) error {
	whole := v.next == v.report.Entries && v.next == head.Size && v.tree.root() == head.Root
	if head.Size == 0 && v.next == 0 {
		whole = true // nothing was written yet: there is no root
	}
	switch {
	case v.next < head.Size:
		v.problem(-1, "truncated: the last entry is %d, but %d were written", v.next-1, head.Size)
	case v.next > head.Size:
		v.problem(head.Size, "inserted: %d entries follow the recorded end of the ledger", v.next-head.Size)
	}
	switch {
	case whole && v.odd >= 0:
		v.problem(v.odd, "the hashes stored with it were edited; the entry itself is what was recorded")
	case len(v.bad) > 0:
		return v.edited(ctx)
	case v.odd >= 0 && v.report.Entries == v.next:
		v.problem(v.among, "inserted, removed or reordered here: entries %d to %d do not make the tree that was recorded with them", v.among,
			v.odd)
	case !whole && v.report.OK():
		v.problem(-1, "the recorded root %v is not that of the entries, %v", head.Root, v.tree.root())
	}
	return nil
}

// edited tells entries with new contents from those that changed places: the
// hash of a moved one is stored elsewhere.
func (v *verifier) edited(ctx context.Context) error {
	from := map[int64]int64{}
	err := v.s.Scan(ctx, 0, math.MaxInt64, func(e Leaf) error {
		if h, err := hashAt(e.Hashes, 0); err == nil {
			if at, ok := v.bad[h]; ok && at != e.Seq {
				from[at] = e.Seq
			}
		}
		return ctx.Err()
	})
	var seqs []int64
	for _, seq := range v.bad {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	for _, seq := range seqs {
		if other, moved := from[seq]; moved {
			v.problem(seq, "reordered: these are the contents of entry %d", other)
		} else {
			v.problem(seq, "edited: its contents are not those that were recorded")
		}
	}
	return err
}

func (v *verifier) checkpoints(heads map[string]Head) {
	var names []string
	for name := range heads {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		cp := heads[name]
		beyond := cp.Size > v.report.Entries
		switch {
		case cp.Size == 0, !beyond && v.roots[cp.Size] == cp.Root, v.joined(cp):
		case beyond:
			v.problem(-1, "truncated or older: %s holds a checkpoint of %d entries, this ledger has %d\nhint: if this machine was restored from "+
				"a backup, type: runner ledger continue --reason \"…\"", name, cp.Size, v.report.Entries)
		default:
			v.problem(-1, "the checkpoint of %d entries on %s has root %v, this ledger has %v there: one of the first %d entries was changed, or "+
				"the target belongs to another ledger", cp.Size, name, cp.Root, v.roots[cp.Size], cp.Size)
		}
	}
}

// joined reports that a gap entry accounts for a checkpoint: it names it, or the
// checkpoint lies in the part that was lost. The end of that part is known by its
// root.
func (v *verifier) joined(cp Head) bool {
	return slices.ContainsFunc(v.joins, func(j join) bool {
		if cp.Size == j.gap.Size && j.gap.Root != "" {
			return j.gap.Root == cp.Root.String() || j.gap.Root == fmt.Sprintf("%x", cp.Root[:])
		}
		return cp.Size <= j.gap.Size && cp.Size > j.seq
	})
}
