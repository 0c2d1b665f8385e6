package ledger

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// A ledger is checked in blocks: subtrees of this height. One takes some 75 ms,
// and an entry of Verify seven times as much as one here.
const (
	blockLevel = 13
	blockSize  = 1 << blockLevel
)

// Part is how much of a ledger Check reads.
type Part struct {
	Before Head  // one that was seen earlier, or none: it must be a prefix
	From   int64 // the entries from here on are read, and those of the same block
	Older  int   // so many blocks of the others are read, drawn by lot
}

// Check finds damage at a bounded cost, for the end of a run and for status:
// a part of the entries against the hashes stored with them, and those hashes,
// above the blocks, against the recorded root. What it does not read today it
// draws another day. The projections, and who changed what, are Verify's.
func Check(ctx context.Context, s Store, p Part) (Report, error) {
	head, err := s.Head(ctx)
	if err != nil || head.Size == 0 {
		return Report{Head: head}, err
	}
	c := checker{s: s, report: Report{Head: head}}
	if head.Size < p.Before.Size {
		c.problem(-1, "truncated: %d entries were recorded, %d are left", p.Before.Size, head.Size)
		return c.report, nil
	}
	from := max(0, min(p.From, head.Size-1)) / blockSize
	blocks := (head.Size + blockSize - 1) / blockSize
	for _, b := range drawn(from, p.Older) {
		if err := c.block(ctx, b); err != nil {
			return c.report, err
		}
	}
	for b := from; b < blocks && c.report.OK(); b++ {
		if err := c.block(ctx, b); err != nil {
			return c.report, err
		}
	}
	if !c.report.OK() {
		return c.report, nil // the hashes above are of the same damage
	}
	return c.report, c.above(ctx, p.Before)
}

// drawn are some of the first blocks.
func drawn(blocks int64, n int) (out []int64) {
	for range min(int64(n), blocks) {
		b := rand.Int64N(blocks)
		for slices.Contains(out, b) {
			b = (b + 1) % blocks
		}
		out = append(out, b)
	}
	return out
}

type checker struct {
	s      Store
	report Report
}

func (c *checker) problem(seq int64, format string, args ...any) {
	if len(c.report.Problems) < maxProblems {
		c.report.Problems = append(c.report.Problems, Problem{seq, fmt.Sprintf(format, args...)})
	}
}

// block recomputes the hashes of one block from its entries. With its last entry
// hashes of larger subtrees are stored, too: above has them.
func (c *checker) block(ctx context.Context, b int64) error {
	var tree frontier
	var blob []byte
	next, end := b*blockSize, min((b+1)*blockSize, c.report.Head.Size)
	err := c.s.Scan(ctx, next, end, func(e Leaf) error {
		seq, raw, hashes := e.Seq, e.Raw, e.Hashes
		c.report.Entries++
		for ; next < seq; next++ {
			c.problem(next, "removed: no entry has this number")
		}
		next = seq + 1
		blob = tree.add(tlog.RecordHash(raw), blob[:0])
		if !bytes.HasPrefix(hashes, blob) {
			c.problem(seq, "it is not what was recorded: it, one before it or their hashes were changed")
			return errStop
		}
		if wrong := e.labelled(); wrong != "" {
			c.problem(seq, "%s", wrong)
			return errStop
		}
		return ctx.Err()
	})
	if err == errStop {
		return nil
	}
	for ; err == nil && next < end && c.report.OK(); next++ {
		c.problem(next, "removed: no entry has this number")
	}
	return err
}

// errStop ends a scan that has found what is wrong.
var errStop = fmt.Errorf("stop")

// above recomputes every hash above the blocks, and the root.
func (c *checker) above(ctx context.Context, before Head) error {
	for level := blockLevel + 1; 1<<level <= c.report.Head.Size; level++ {
		for n := range c.report.Head.Size >> level {
			var h [3]tlog.Hash
			for i, index := range []int64{tlog.StoredHashIndex(level-1, 2*n), tlog.StoredHashIndex(level-1, 2*n+1), tlog.StoredHashIndex(level, n)} {
				var err error
				if h[i], err = c.s.Hash(ctx, index); err != nil {
					return err
				}
			}
			if tlog.NodeHash(h[0], h[1]) != h[2] {
				c.problem(-1, "the hashes of entries %d to %d do not make the tree that was recorded", n<<level, (n+1)<<level-1)
			}
		}
	}
	root, err := storedRoot(ctx, c.s, c.report.Head.Size)
	if err != nil {
		return err
	}
	if root != c.report.Head.Root {
		c.problem(-1, "the recorded root %v is not that of the entries, %v", c.report.Head.Root, root)
	}
	if before.Size == 0 || !c.report.OK() {
		return nil
	}
	if root, err = storedRoot(ctx, c.s, before.Size); err == nil && root != before.Root {
		c.problem(-1, "the first %d entries are not those that were there when the run began", before.Size)
	}
	return err
}

// Glance checks a ledger for who asks how things stand: whole, projections and
// all, while that takes half a second; of a longer one, a year of hourly runs
// say, the newest 65,536 entries and as many of the older ones.
func Glance(ctx context.Context, s Store) (Report, error) {
	head, err := s.Head(ctx)
	if err != nil {
		return Report{}, err
	}
	if head.Size <= blockSize {
		return Verify(ctx, s, nil)
	}
	return Check(ctx, s, Part{From: head.Size - 8*blockSize, Older: 8})
}
