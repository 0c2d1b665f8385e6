package runtime

import (
	"runtime/metrics"
	"time"
)

// Limits bound what a policy may use. Zero fields mean the defaults.
type Limits struct {
	Steps    uint64        // Starlark instructions of all threads of a run: --max-steps
	Wall     time.Duration // running time of a run: --max-time
	Heap     uint64        // bytes of the process's heap beyond what it was: --max-heap
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
		l.Heap = 512 << 20 // a process takes up to twice as much before it is collected
	}
	if l.Range == 0 {
		l.Range = 1_000_000
	}
	if l.Parallel == 0 {
		l.Parallel = 16
	}
	return l
}

const (
	pollSteps = 10_000
	maxFan    = 16 // of each and parallel within one another
)

func heapBytes() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
