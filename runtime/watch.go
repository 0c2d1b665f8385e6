package runtime

import (
	"context"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.starlark.net/starlark"
)

// A thread of Starlark is asked to end between two of its instructions. One
// instruction can walk or allocate without end, whatever is guarded (the comparison of
// values that share their parts, a text of them, a hash), and nothing stops a goroutine
// from outside. So an interpreter runs beside a watch: when it does not end although
// it was told to, or when one instruction lasts too long, it is left behind, the run is
// ended and recorded without it, and it dies with the process.

const (
	watchEvery = 10 * time.Millisecond
	graceful   = 500 * time.Millisecond // for an interpreter that was told to end
	graceHeap  = 30 * time.Millisecond  // the same, when it is memory that it takes
	maxStill   = 10 * time.Second       // for what lies between two polls of a thread
	// primitiveHeap is what primitives may hold beside a policy: archives' trees and
	// windows of decompression. The process as a whole is bounded elsewhere.
	primitiveHeap = 4 << 30
	maxStep       = 10 * time.Second // for primitives that are under way, when the run is ended without its interpreter
)

// meter counts what all threads of a run use together.
type meter struct {
	limits Limits
	steps  atomic.Uint64
	calls  atomic.Int64 // primitives under way
	left   atomic.Int64 // primitives that ended since the heap was last collected
	base   uint64       // heap at the beginning

	mu      sync.Mutex
	threads map[*pulse]bool
}

// pulse is one thread: whether it is within Starlark, and since when nothing was heard
// of it.
type pulse struct {
	m      *meter
	within atomic.Bool
	heard  atomic.Int64 // ns since the clock's zero
}

func newMeter(l Limits) *meter {
	return &meter{limits: l, base: heapBytes(), threads: map[*pulse]bool{}}
}

func ticks() int64 { return RealClock{}.Now().UnixNano() }

// beat says that a thread lives, and whether it is within Starlark from now on.
func (p *pulse) beat(within bool) {
	if p == nil {
		return
	}
	p.heard.Store(ticks())
	p.within.Store(within)
}

// bound makes a thread end at the limits. poll is asked every 10,000 steps; done is
// to be called when the thread has ended.
func (m *meter) bound(t *starlark.Thread, stop func(error), poll func() error) (p *pulse, done func()) {
	p = &pulse{m: m}
	p.beat(true)
	m.mu.Lock()
	m.threads[p] = true
	m.mu.Unlock()
	var counted uint64
	count := func() uint64 {
		now := t.ExecutionSteps()
		total := m.steps.Add(now - counted)
		counted = now
		return total
	}
	left := func(total uint64) uint64 { return min(pollSteps, max(m.limits.Steps, total+1)-total) }
	t.OnMaxSteps = func(t *starlark.Thread) {
		p.beat(true)
		total, err := count(), poll()
		switch {
		case err != nil:
		case total >= m.limits.Steps:
			err = limitError("the number of steps of a policy", m.limits.Steps, "--max-steps")
		default:
			err = m.heap()
		}
		if err != nil {
			stop(err)
			t.Cancel(err.Error())
			return
		}
		t.SetMaxExecutionSteps(t.ExecutionSteps() + left(total))
	}
	t.SetMaxExecutionSteps(left(m.steps.Load()))
	return p, func() {
		count()
		m.mu.Lock()
		delete(m.threads, p)
		m.mu.Unlock()
	}
}

// heap judges what policies hold. While primitives are under way the heap is mostly
// theirs, and what they left stays until it is collected: then only the bound of the
// process is kept in mind.
func (m *meter) heap() error {
	if heapBytes() <= m.base+m.limits.Heap {
		return nil
	}
	if m.calls.Load() > 0 {
		if heapBytes() <= m.base+m.limits.Heap+primitiveHeap {
			return nil
		}
	} else if m.left.Swap(0) > 0 { // collected once after primitives, and measured again
		debug.FreeOSMemory()
		if heapBytes() <= m.base+m.limits.Heap {
			return nil
		}
	}
	return limitError("the heap in bytes", m.limits.Heap, "--max-heap")
}

// still is how long the thread that is within Starlark was last heard of.
func (m *meter) still() (longest time.Duration) {
	now := ticks()
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.threads {
		if p.within.Load() {
			longest = max(longest, time.Duration(now-p.heard.Load()))
		}
	}
	return longest
}

// watched runs an interpreter beside a watch. stop tells it to end; ctx is over when
// somebody else did. When it has to be left behind, the error is the limit that it hit,
// or why ctx is over.
func watched[T any](ctx context.Context, m *meter, stop func(error), run func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	ended := make(chan outcome, 1)
	go func() {
		v, err := run()
		ended <- outcome{v, err}
	}()
	look, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stuck := make(chan error, 1)
	go func() { m.watch(ctx, look, stop, stuck) }()
	select {
	case o := <-ended:
		return o.value, o.err
	case err := <-stuck:
		for range int(maxStep / watchEvery) { // primitives end at their next safe place, and are recorded
			if m.calls.Load() == 0 || (RealClock{}).Sleep(look, watchEvery) != nil {
				break
			}
		}
		select {
		case o := <-ended: // it did end, after all
			return o.value, o.err
		default:
		}
		var none T
		return none, err
	}
}

// watch says on stuck why an interpreter has to be left behind.
func (m *meter) watch(ctx, look context.Context, stop func(error), stuck chan<- error) {
	var reported error
	var since int64
	grace := graceful
	for (RealClock{}).Sleep(look, watchEvery) == nil {
		if reported == nil {
			if err := context.Cause(ctx); err != nil {
				reported, since = err, ticks()
			} else if err := m.heap(); err != nil {
				reported, since, grace = err, ticks(), graceHeap
				stop(err)
			}
		}
		still := m.still()
		if reported == nil && still > maxStill {
			err := limitError("the time of one operation of a policy", maxStill, "no flag")
			err.Hint = "no flag raises it: something compares, hashes or prints a value of very many parts"
			stop(err)
			stuck <- err
			return
		}
		if reported != nil && still > grace && time.Duration(ticks()-since) > grace {
			stuck <- reported
			return
		}
	}
}
