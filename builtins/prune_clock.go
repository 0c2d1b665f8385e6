package builtins

import (
	"context"
	"time"

	"github.com/neosofia/runner/builtins/internal/retire"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// timesSeen reads the newest times of the ledger, in its order, as far back as
// package retire wants them. A ledger that is younger than copies that it knows
// was made anew of them: its first time is compared with theirs.
func timesSeen(ctx context.Context, catalog ledger.Catalog, s *runtime.Step, copies []ledger.Proven) ([]retire.Seen, error) {
	head, err := catalog.Head(ctx)
	if err != nil {
		return nil, err
	}
	for n := int64(1000); ; n *= 4 {
		var seen []retire.Seen
		from := max(0, head.Size-n)
		err := catalog.Entries(ctx, ledger.Filter{From: from}, func(e ledger.Entry) error {
			seen = append(seen, retire.Seen{At: e.Time, Begins: e.Type == ledger.RunBegin && e.Run != s.Run})
			return nil
		})
		if err != nil || len(seen) == 0 {
			return nil, err
		}
		if from > 0 && !retire.Enough(seen, s.Now()) {
			continue
		}
		if from == 0 {
			seen = append(newestBefore(copies, seen[0].At), seen...)
		}
		return seen, nil
	}
}

// newestBefore is when the newest copy was made that is older than a time.
func newestBefore(copies []ledger.Proven, before time.Time) []retire.Seen {
	var newest time.Time
	for _, c := range copies {
		if c.Created.Before(before) && c.Created.After(newest) {
			newest = c.Created
		}
	}
	if newest.IsZero() {
		return nil
	}
	return []retire.Seen{{At: newest}}
}
