package ledger

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchLedger(b *testing.B) *Ledger {
	s, err := OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "ledger.db"), true)
	if err != nil {
		b.Fatal(err)
	}
	l := New(s)
	b.Cleanup(func() { l.Close() })
	return l
}

// writeStep records what a Write leaves: a begin, and an end with one artifact.
func writeStep(b *testing.B, l *Ledger, step string) {
	at := time.Date(2026, 11, 1, 1, 0, 0, 0, time.UTC)
	begin := Begin{Primitive: "snapshot_vm", Kind: "write", Args: json.RawMessage(`{"guest":"erp","storage":"backup"}`),
		Digest: "0123456789abcdef0123456789abcdef", Position: "nightly.star:12:5", Attempt: 1}
	art := Artifact{ID: ArtifactID("r1", step), Kind: "vm", Asset: "vms", Item: "erp", Run: "r1", Step: step, Source: "pve:qemu/100",
		Created: at, Files: []File{{Name: "a.vma.zst", Size: 1 << 30}}, Bytes: 1 << 30}
	value, err := Canonical(art)
	if err != nil {
		b.Error(err)
	}
	for _, x := range []struct {
		typ  string
		body any
	}{{StepBegin, begin}, {StepEnd, End{OK: true, Value: value, Nanos: 1, Facts: Facts{Artifacts: []Artifact{art}}}}} {
		e, err := NewEntry(x.typ, at, "r1", step, x.body)
		if err == nil {
			_, err = l.Record(b.Context(), e)
		}
		if err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkAppendOne is one Write alone: begin and end, each made durable.
func BenchmarkAppendOne(b *testing.B) {
	l := benchLedger(b)
	from, n := cpu(b), 0
	for b.Loop() {
		writeStep(b, l, fmt.Sprint("/", n))
		n++
	}
	b.ReportMetric(float64((cpu(b)-from).Microseconds())/float64(n), "cpu-us/write")
}

// BenchmarkAppendGroup16 is sixteen Writes at once.
func BenchmarkAppendGroup16(b *testing.B) {
	l := benchLedger(b)
	from, n := cpu(b), 0
	for b.Loop() {
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() { writeStep(b, l, fmt.Sprintf("/%d[%d]", n, i)) })
		}
		wg.Wait()
		n += 16
	}
	b.ReportMetric(float64((cpu(b)-from).Microseconds())/float64(n), "cpu-us/write")
}

// BenchmarkNewEntry is the encoding of one end of a Write.
func BenchmarkNewEntry(b *testing.B) {
	art := Artifact{ID: "a", Kind: "vm", Asset: "vms", Item: "erp", Files: []File{{Name: "a.vma.zst", Size: 1 << 30}}}
	for b.Loop() {
		if _, err := NewEntry(StepEnd, art.Created, "r", "/0", End{OK: true, Facts: Facts{Artifacts: []Artifact{art}}}); err != nil {
			b.Fatal(err)
		}
	}
}
