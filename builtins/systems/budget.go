package systems

import (
	"context"
	"sync"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// Budget is what proofs may still read of a target in this night. The branches of a run
// share it.
type Budget struct {
	mu   sync.Mutex
	left int64
}

// ReadBudget is that of a target, less what this night's proofs have read by the ledger;
// nil where the site sets no limit.
func (w *Systems) ReadBudget(ctx context.Context, s *runtime.Step, name string) (*Budget, error) {
	spec, err := w.Site.Target(name)
	if err != nil || spec.ReadBudget == 0 {
		return nil, err
	}
	night := ledger.Night(s.Now())
	v, err := w.Once("read budget "+name+night.UTC().String(), func() (any, error) {
		catalog, err := s.Catalog(ctx)
		if err != nil {
			return nil, err
		}
		spent, err := catalog.ReadSince(ctx, name, night)
		return &Budget{left: max(0, spec.ReadBudget-spent)}, err
	})
	if err != nil {
		return nil, err
	}
	return v.(*Budget), nil
}

// Left is what nobody has taken yet.
func (b *Budget) Left() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left
}

// Take takes what a reading needs, or what is left. What was not read is given back.
func (b *Budget) Take(want int64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := min(want, b.left)
	b.left -= got
	return got
}

// Give gives back what was taken and not read.
func (b *Budget) Give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += n
}
