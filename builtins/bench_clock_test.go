package builtins

import (
	"context"
	"sync"
	"time"

	"github.com/neosofia/runner/runtime"
)

// quick is a clock on which waiting is short: a sleep takes a few milliseconds,
// and the clock jumps over the rest of it. The lab shares it.
type quick struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (q *quick) Now() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return time.Now().Add(q.ahead)
}

func (q *quick) advance(d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ahead += d
}

func (q *quick) Sleep(ctx context.Context, d time.Duration) error {
	const most = 4 * time.Millisecond
	real := max(0, min(d, most))
	if err := (runtime.RealClock{}).Sleep(ctx, real); err != nil {
		return err
	}
	q.advance(max(0, d-real))
	return nil
}

func (q *quick) Within(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	return runtime.RealClock{}.Within(ctx, d, cause)
}
