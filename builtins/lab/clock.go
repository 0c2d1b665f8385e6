package lab

import (
	"context"
	"time"
)

// wallClock and wallSleep are the only places of the lab that look at the
// machine's clock; WithClock replaces both.
func wallClock() time.Time { return time.Now() }

func wallSleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
