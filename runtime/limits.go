package runtime

import (
	"runtime/metrics"
	"time"

	"go.starlark.net/starlark"
)

// Limits bound what a policy may use. Zero fields mean the defaults.
type Limits struct {
	Steps    uint64        // Starlark instructions of one thread: --max-steps
	Wall     time.Duration // running time of a run: --max-time
	Heap     uint64        // bytes of the process's heap: --max-heap
	Range    int           // length of a range, and of a repetition: --max-range
	Parallel int           // branches that run at once: --max-parallel
}

// Defaults fills zero fields.
func (l Limits) Defaults() Limits {
	if l.Steps == 0 {
		l.Steps = 100_000_000
	}
	if l.Wall == 0 {
		l.Wall = 20 * time.Hour
	}
	if l.Heap == 0 {
		l.Heap = 1 << 30
	}
	if l.Range == 0 {
		l.Range = 1_000_000
	}
	if l.Parallel == 0 {
		l.Parallel = 16
	}
	return l
}

const pollSteps = 10_000

// bound makes a thread end at its limits; poll is asked every 10,000 steps.
func (l Limits) bound(t *starlark.Thread, stop func(error), poll func() error) {
	t.OnMaxSteps = func(t *starlark.Thread) {
		err := poll()
		switch {
		case err != nil:
		case t.ExecutionSteps() >= l.Steps:
			err = limitError("the number of steps of a policy", l.Steps, "--max-steps")
		case heapBytes() > l.Heap:
			err = limitError("the heap in bytes", l.Heap, "--max-heap")
		}
		if err != nil {
			stop(err)
			t.Cancel(err.Error())
			return
		}
		t.SetMaxExecutionSteps(min(t.ExecutionSteps()+pollSteps, l.Steps))
	}
	t.SetMaxExecutionSteps(min(pollSteps, l.Steps))
}

func heapBytes() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
