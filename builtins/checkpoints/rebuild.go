package checkpoints

import (
	"context"
	"fmt"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// Rebuilt fills a new ledger with what lies on targets: artifacts and copies of their
// manifests, none of them proven, and a gap where checkpoints tell of entries that are
// lost. It returns the number of copies.
func Rebuilt(ctx context.Context, l *ledger.Ledger, imports []ledger.Import, heads map[string]ledger.Head, now time.Time) (copies int,
	err error) {
	var entries []ledger.Entry
	for _, im := range imports {
		copies += len(im.Copies)
		e, err := ledger.NewEntry(ledger.Imported, now, "", "", im)
		if err != nil {
			return 0, err
		}
		entries = append(entries, e)
	}
	if gap, ok := newest(heads); ok {
		gap.Reason = "rebuilt from targets: the entries before are lost"
		e, err := ledger.NewEntry(ledger.Junction, now, "", "", gap)
		if err != nil {
			return 0, err
		}
		entries = append(entries, e)
	}
	_, err = l.Record(ctx, entries...)
	return copies, err
}

// newest is the longest ledger that a head is of.
func newest(heads map[string]ledger.Head) (ledger.LedgerGap, bool) {
	var best ledger.LedgerGap
	for name, h := range heads {
		if h.Size > best.Size {
			best = ledger.LedgerGap{Size: h.Size, Root: fmt.Sprintf("%x", h.Root[:]), Target: name}
		}
	}
	return best, best.Size > 0
}

// Join joins a ledger to every head that it does not continue, the longest first, each by
// a gap with its reason.
func Join(ctx context.Context, l *ledger.Ledger, heads map[string]ledger.Head, reason string, now time.Time) (joined []ledger.LedgerGap,
	err error) {
	for gap, ok := newest(heads); ok; gap, ok = newest(heads) {
		head := heads[gap.Target]
		delete(heads, gap.Target)
		ours, err := ledger.Extends(ctx, l, head)
		if err != nil {
			return joined, err
		}
		if ours {
			continue
		}
		gap.Reason = reason
		if err := record(ctx, l, ledger.Junction, now, gap); err != nil {
			return joined, err
		}
		joined = append(joined, gap)
	}
	return joined, nil
}

// TakeOver records the copies of manifests that a ledger does not know, and counts them.
func TakeOver(ctx context.Context, l *ledger.Ledger, imports []ledger.Import, now time.Time) (copies int, err error) {
	catalog := ledger.Catalog{Store: l}
	for _, im := range imports {
		fresh := ledger.Import{Target: im.Target}
		for i, c := range im.Copies {
			_, known, err := catalog.Copy(ctx, c.ID)
			if err != nil {
				return copies, err
			}
			if !known {
				fresh.Copies, fresh.Artifacts = append(fresh.Copies, c), append(fresh.Artifacts, im.Artifacts[i])
			}
		}
		if len(fresh.Copies) == 0 {
			continue
		}
		if err := record(ctx, l, ledger.Imported, now, fresh); err != nil {
			return copies, err
		}
		copies += len(fresh.Copies)
	}
	return copies, nil
}

func record(ctx context.Context, l *ledger.Ledger, kind string, now time.Time, body any) error {
	e, err := ledger.NewEntry(kind, now, "", "", body)
	if err != nil {
		return err
	}
	_, err = l.Record(ctx, e)
	return err
}
