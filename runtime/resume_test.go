package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// A run is stopped before every one of its ledger entries in turn, and resumed.
func TestARunStoppedAtAnyStepResumesToTheSameEnd(t *testing.T) {
	cfg, _ := newBench(t, nightly)
	if _, err := Exec(t.Context(), *cfg); err != nil {
		t.Fatal(err)
	}
	head, _ := cfg.Ledger.Head(t.Context())
	for n := int64(2); n < head.Size; n++ {
		cfg, w := newBench(t, nightly)
		store := &dying{Store: ledger.NewMemory(), left: n}
		cfg.Ledger = ledger.New(store)
		out, err := Exec(t.Context(), *cfg)
		if err == nil && out.Err == nil {
			t.Fatalf("entry %d: the run did not notice that its ledger died", n)
		}
		store.left = 1 << 30
		cfg.Ledger = ledger.New(store)
		out, err = ResumeRun(t.Context(), *cfg, "r1")
		if err != nil || out.Result != ledger.OK || out.Value.String() != `["d", "e"]` {
			t.Fatalf("entry %d: got %v, %+v", n, err, out)
		}
		for name, times := range w.made {
			if !strings.HasPrefix(name, "look") && times > 2 {
				t.Errorf("entry %d: %s was made %d times", n, name, times)
			}
		}
		arts, _ := ledger.Catalog{Store: cfg.Ledger}.Artifacts(t.Context(), ledger.Query{})
		if len(arts) != 6 {
			t.Errorf("entry %d: got %d artifacts", n, len(arts))
		}
	}
}

// dying is a store that refuses every entry after some: what a kill leaves.
type dying struct {
	ledger.Store
	left int64
}

func (d *dying) Append(ctx context.Context, e []ledger.Entry) (ledger.Head, error) {
	if d.left -= int64(len(e)); d.left < 0 {
		return ledger.Head{}, errors.New("the machine died")
	}
	return d.Store.Append(ctx, e)
}

func TestReplayOfAnotherPolicyIsRefused(t *testing.T) {
	cfg, _ := newBench(t, "def main():\n    make(name = 'x')\n    make(name = 'y')\n")
	store := &dying{Store: ledger.NewMemory(), left: 5}
	cfg.Ledger = ledger.New(store)
	if out, err := Exec(t.Context(), *cfg); err == nil && out.Err == nil {
		t.Fatal("the run did not die")
	}
	store.left = 1 << 30
	other, _ := newBench(t, "def main():\n    make(name = 'x')\n    make(name = 'z')\n")
	other.Ledger = ledger.New(store)
	if _, err := ResumeRun(t.Context(), *other, "r1"); err == nil || !strings.Contains(err.Error(), "was changed since run r1 began") {
		t.Errorf("got %v", err)
	}
	// The same text with another history is caught at the step.
	past := &past{begin: ledger.Begin{Primitive: "make", Digest: "other"}}
	err := past.agrees(&call{info: Info{Name: "make"}, begin: ledger.Begin{Digest: "this"}})
	if failure.CodeOf(err) != failure.Diverged {
		t.Errorf("got %v", err)
	}
}

func TestTwoRunsOfOnePolicyDoNotOverlap(t *testing.T) {
	cfg, w := newBench(t, "def main():\n    make(name = 'x')\n")
	cfg.State = t.TempDir()
	second := *cfg
	second.Header.ID = "r2"
	var busy *BusyError
	w.hook = func(string) {
		_, err := Exec(context.Background(), second)
		if !errors.As(err, &busy) {
			err = fmt.Errorf("got %v, want a busy policy", err)
			w.hook = nil
			w.break_["x"] = err
		}
	}
	out, err := Exec(t.Context(), *cfg)
	if err != nil || out.Err != nil {
		t.Fatal(err, out.Err)
	}
	if busy == nil || busy.Holder.Run != "r1" {
		t.Errorf("got %v", busy)
	}
}

func TestAStopLeavesTheRunToResume(t *testing.T) {
	cfg, w := newBench(t, nightly)
	ctx, stop := context.WithCancelCause(t.Context())
	w.hook = func(name string) {
		if name == "b" {
			stop(ErrInterrupted)
		}
	}
	out, err := Exec(ctx, *cfg)
	if err != nil || out.Result != ledger.Interrupted {
		t.Fatalf("got %v, %+v", err, out)
	}
	w.hook = nil
	out, err = ResumeRun(t.Context(), *cfg, "r1")
	if err != nil || out.Result != ledger.OK {
		t.Fatalf("got %v, %+v", err, out)
	}
}
