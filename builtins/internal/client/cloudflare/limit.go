package cloudflare

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// The vendor's limit is 1200 requests of a token in 5 minutes, over all programs
// that use it: we take somewhat less, after a burst.
const (
	burst   = 200
	perSec  = 3.5
	reserve = 20              // requests that the header says are left, and that stay for others
	longest = 6 * time.Minute // that we wait because the vendor says so
)

// limiter holds back requests of all sessions of a client.
type limiter struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time
	wait   time.Duration // what the last header asks for
}

// learn reads `"default";r=50;t=30`: 50 requests are left, for 30 seconds.
func (l *limiter) learn(header string) {
	left, reset := -1, -1
	for _, part := range strings.Split(header, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			continue
		}
		switch k {
		case "r":
			left = n
		case "t":
			reset = n
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wait = 0
	if left >= 0 && left < reserve && reset > 0 {
		l.wait = min(time.Duration(reset)*time.Second, longest)
	}
}

// take returns how long the next request has to wait.
func (l *limiter) take(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.last.IsZero() {
		l.tokens = min(burst, l.tokens+max(0, now.Sub(l.last).Seconds())*perSec)
	}
	l.last = now
	l.tokens--
	wait := l.wait
	l.wait = 0
	if l.tokens < 0 {
		wait = max(wait, time.Duration(-l.tokens/perSec*float64(time.Second)))
	}
	return wait
}
