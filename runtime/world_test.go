package runtime

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// benchWorld is a world of small primitives with real effects on a counter table.
type benchWorld struct {
	mu     sync.Mutex
	made   map[string]int
	break_ map[string]error
	hook   func(name string)
}

type makeArgs struct {
	Name string `star:"name" doc:"what to make"`
}

func (w *benchWorld) do(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hook != nil {
		w.hook(name)
	}
	if err := w.break_[name]; err != nil {
		return err
	}
	w.made[name]++
	return nil
}

func testPrimitives(w *benchWorld) []Declaration {
	artifact := func(s *Step, a *makeArgs) Result {
		art := ledger.Artifact{ID: s.ArtifactID(), Kind: "vm", Asset: "vms", Item: a.Name, Run: s.Run, Step: s.ID, Created: s.Now()}
		return Result{Value: art, Facts: ledger.Facts{Artifacts: []ledger.Artifact{art}}}
	}
	return []Declaration{
		Primitive[makeArgs]{Name: "make", Kind: Write, Resume: Probe, Returns: "artifact",
			Codes:   []failure.Code{{Name: "E_BUSY", Doc: "busy"}},
			Retries: Retries{Attempts: 2, Wait: time.Second},
			Probe: func(_ context.Context, s *Step, a *makeArgs) (Result, bool, error) {
				if s.Marked("made") == "" {
					return Result{}, false, nil
				}
				return artifact(s, a), true, nil
			},
			Run: func(ctx context.Context, s *Step, a *makeArgs) (Result, error) {
				if err := w.do(a.Name); err != nil {
					return Result{}, err
				}
				return artifact(s, a), s.Mark(ctx, "made", a.Name)
			}},
		Primitive[struct {
			Of ledger.Artifact `star:"of" doc:"artifact"`
		}]{Name: "look", Kind: Read, Run: func(_ context.Context, s *Step, a *struct {
			Of ledger.Artifact `star:"of" doc:"artifact"`
		}) (Result, error) {
			return Result{Value: map[string]any{"item": a.Of.Item, "n": 1}}, w.do("look " + a.Of.Item)
		}},
		Primitive[makeArgs]{Name: "erase", Kind: Destroy, Resume: Fail, Preview: func(_ context.Context, s *Step, a *makeArgs) error {
			s.Log("would erase %s", a.Name)
			return w.break_[a.Name]
		}, Run: func(_ context.Context, _ *Step, a *makeArgs) (Result, error) {
			return Result{}, w.do("erase " + a.Name)
		}},
	}
}

func newBench(t *testing.T, script string, more ...func(*benchWorld) Declaration) (*Config, *benchWorld) {
	t.Helper()
	w := &benchWorld{made: map[string]int{}, break_: map[string]error{}}
	path := filepath.Join(t.TempDir(), "p.star")
	if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	rt := &Runtime{Primitives: testPrimitives(w), Stdlib: fstest.MapFS{}, Limits: Limits{Wall: time.Minute}}
	for _, m := range more {
		rt.Primitives = append(rt.Primitives, m(w))
	}
	p, err := rt.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Config{Program: p, Ledger: ledger.New(ledger.NewMemory()), Clock: NewVirtualClock(time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)),
		Header: ledger.Run{ID: "r1", Host: "h"}, World: w}, w
}

func load(t *testing.T, script string) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p.star")
	if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	rt := &Runtime{Primitives: testPrimitives(&benchWorld{}), Stdlib: fstest.MapFS{}}
	_, err := rt.Load(path, nil)
	return err
}

const nightly = `
policy(sop = "IT-1", section = "VMs", version = "1", protects = ["vms"])

def one(n):
    a = make(name = n)
    return look(of = a)["item"]

def main():
    first = make(name = "first")
    return each([lambda n = n: one(n) for n in ["a", "b", "c"]], max = 2) and parallel([lambda: one("d"), lambda: one("e")])
`
