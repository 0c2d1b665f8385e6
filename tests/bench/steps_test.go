package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/tests/gauge"
)

type numbered struct {
	N int `star:"n" doc:"which one"`
}

// primitives do nothing, so that what is left is the runtime's and the ledger's.
func primitives() []runtime.Declaration {
	nothing := func(_ context.Context, _ *runtime.Step, a *numbered) (runtime.Result, error) {
		return runtime.Result{Value: a.N}, nil
	}
	return []runtime.Declaration{
		runtime.Primitive[numbered]{Name: "peek", Kind: runtime.Read, Run: nothing},
		runtime.Primitive[numbered]{Name: "poke", Kind: runtime.Write, Resume: runtime.Retry, Run: nothing},
	}
}

// steps run policies of thousands of steps over ledgers on disk, in rounds.
func steps(t *testing.T, m gauge.Mode, table *gauge.Table) {
	n := 320
	if m == gauge.Full {
		n = 1600
	}
	for _, c := range []struct {
		what, main string
		gate       float64 // microseconds
	}{
		{"a Read", fmt.Sprintf("for i in range(%d):\n        peek(n = i)", n), 100},
		{"a Write alone", fmt.Sprintf("for i in range(%d):\n        poke(n = i)", n), 500},
		{"a Write of parallel(max = 16)", fmt.Sprintf("parallel([lambda i = i: poke(n = i) for i in range(%d)], max = 16)", n), 150},
	} {
		var costs []gauge.Cost
		for range m.Rounds(t) {
			costs = append(costs, run(t, c.main, n))
		}
		us := func(of func(gauge.Cost) time.Duration) float64 {
			return gauge.Median(costs, of).Seconds() * 1e6 / float64(n)
		}
		table.Limit(t, c.what+", CPU", us(func(c gauge.Cost) time.Duration { return c.CPU }), c.gate, "us", m == gauge.Full)
		table.Told(c.what+", wall", fmt.Sprintf("%.1f us", us(func(c gauge.Cost) time.Duration { return c.Wall })))
	}
}

// run runs a policy of n steps in a ledger of its own.
func run(t *testing.T, main string, n int) gauge.Cost {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "p.star")
	if err := os.WriteFile(path, []byte("def main():\n    "+main+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rt := &runtime.Runtime{Primitives: primitives(), Stdlib: fstest.MapFS{}}
	p, err := rt.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	store, err := ledger.OpenSQLite(t.Context(), filepath.Join(dir, "ledger.db"), true)
	if err != nil {
		t.Fatal(err)
	}
	l := ledger.New(store)
	defer l.Close()
	var out *runtime.Outcome
	cost := gauge.Self(t, func() {
		out, err = runtime.Exec(t.Context(), runtime.Config{Program: p, Ledger: l, State: dir, Header: ledger.Run{ID: "r1", Host: "bench"}})
	})
	if err != nil || out.Result != ledger.OK {
		t.Fatalf("got %+v, error %v", out, err)
	}
	ends := 0
	if err := l.Entries(t.Context(), ledger.Filter{Run: "r1", Type: ledger.StepEnd},
		func(ledger.Entry) error { ends++; return nil }); err != nil {
		t.Fatal(err)
	}
	if ends != n {
		t.Fatalf("%d steps are recorded, want %d", ends, n)
	}
	return cost
}
