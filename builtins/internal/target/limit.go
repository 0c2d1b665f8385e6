package target

import (
	"context"
	"io"
	"sync"
	"time"
)

// limiter is a token bucket of a tenth of a second. Its tokens come with the
// ticks of a clock that runs only while somebody waits.
type limiter struct {
	rate int64 // bytes a second

	mu    sync.Mutex
	have  int64
	last  time.Time
	ticks *time.Ticker
}

func newLimiter(rate int64) *limiter {
	if rate <= 0 {
		return nil
	}
	return &limiter{rate: rate}
}

const tick = 10 * time.Millisecond

// take waits until n bytes may pass. The bucket may go below zero, so that a
// large piece passes at once and is paid for afterwards.
func (l *limiter) take(ctx context.Context, n int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ticks == nil {
		l.ticks = time.NewTicker(tick)
	} else {
		l.ticks.Reset(tick)
	}
	defer l.ticks.Stop()
	for l.have <= 0 {
		select {
		case now := <-l.ticks.C:
			passed := tick
			if !l.last.IsZero() {
				passed = min(now.Sub(l.last), 100*time.Millisecond)
			}
			l.last = now
			l.have = min(l.have+int64(float64(l.rate)*passed.Seconds())+1, l.rate/10+1)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l.have -= int64(n)
	return nil
}

// wrap slows r down; it takes small pieces so that the flow is even.
func (l *limiter) wrap(ctx context.Context, r io.Reader) io.Reader {
	if l == nil {
		return r
	}
	return &limited{ctx, l, r}
}

type limited struct {
	ctx context.Context
	l   *limiter
	r   io.Reader
}

func (r *limited) Read(p []byte) (int, error) {
	most := int(max(1024, min(r.l.rate/20, chunkSize)))
	n, err := r.r.Read(p[:min(len(p), most)])
	if n > 0 {
		if terr := r.l.take(r.ctx, n); terr != nil {
			return n, terr
		}
	}
	return n, err
}
