package runtime

import (
	"context"
	"sync"
	"time"
)

// engine is all that branches, waiting and time go through. The local one runs
// them in this process; a durable engine for fleets can stand in its place.
type engine interface {
	// Do runs one recorded call.
	Do(ctx context.Context, c *call) (outcome, error)
	// Go starts branches, at most width at once, and returns what Wait needs.
	Go(width int, branches []func()) *sync.WaitGroup
	Wait(g *sync.WaitGroup)
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error
}

type local struct {
	clock Clock
	do    func(context.Context, *call) (outcome, error)
}

func (l local) Do(ctx context.Context, c *call) (outcome, error) { return l.do(ctx, c) }
func (l local) Now() time.Time                                   { return l.clock.Now() }
func (l local) Sleep(ctx context.Context, d time.Duration) error { return l.clock.Sleep(ctx, d) }
func (l local) Wait(g *sync.WaitGroup)                           { g.Wait() }

func (l local) Go(width int, branches []func()) *sync.WaitGroup {
	var wg sync.WaitGroup
	slots := make(chan struct{}, width)
	wg.Add(len(branches))
	go func() {
		for _, fn := range branches {
			slots <- struct{}{}
			go func() {
				defer wg.Done()
				defer func() { <-slots }()
				fn()
			}()
		}
	}()
	return &wg
}
