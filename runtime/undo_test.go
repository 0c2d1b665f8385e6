package runtime

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// lend makes something that is to go again, unless its name says that it stays.
func lend(w *benchWorld) Declaration {
	return Primitive[makeArgs]{Name: "lend", Kind: Write, Resume: Probe,
		Codes: []failure.Code{{Name: "E_BUSY", Doc: "busy"}},
		Probe: func(ctx context.Context, s *Step, a *makeArgs) (Result, bool, error) {
			if w.made["lend "+a.Name] == 0 {
				return Result{}, false, nil
			}
			return Result{}, true, s.KeepAll(ctx)
		},
		Run: func(ctx context.Context, s *Step, a *makeArgs) (Result, error) {
			u, err := s.Undo(ctx, "fetch_back", map[string]any{"name": a.Name})
			if err != nil {
				return Result{}, err
			}
			if a.Name == "odd" {
				if _, err := s.Undo(ctx, "gone", map[string]any{"name": a.Name}); err != nil {
					return Result{}, err
				}
			}
			if err := w.do("lend " + a.Name); err != nil {
				return Result{}, err
			}
			if strings.HasPrefix(a.Name, "kept") {
				return Result{}, u.Keep(ctx)
			}
			return Result{}, nil
		}}
}

func fetchBack(w *benchWorld) Declaration {
	return Primitive[makeArgs]{Name: "fetch_back", Kind: Destroy, Resume: Retry,
		Run: func(_ context.Context, _ *Step, a *makeArgs) (Result, error) { return Result{}, w.do("back " + a.Name) }}
}

func TestWhatIsNotKeptIsUndoneAtTheEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		fails      string // what breaks
		back       []string
		left       int
		result     string
		finds      string
	}{
		{"it goes", "lend(name = 'x')", "", []string{"back x"}, 0, ledger.OK, ""},
		{"it is kept", "lend(name = 'kept')\n    lend(name = 'y')", "", []string{"back y"}, 0, ledger.OK, ""},
		{"a call that fails may have begun", "lend(name = 'kept')", "lend kept", []string{"back kept"}, 0, ledger.Failed, ""},
		{"the policy fails later", "lend(name = 'x')\n    fail('no')", "", []string{"back x"}, 0, ledger.Failed, ""},
		{"one that cannot be undone keeps no other", "lend(name = 'x')\n    lend(name = 'y')", "back x", []string{"back y"}, 1,
			ledger.DegradedRun, "clean up by fetch_back after run r1: no route"},
		{"a later runner has another primitive", "lend(name = 'odd')", "", []string{"back odd"}, 1, ledger.DegradedRun,
			"clean up by gone after run r1: no such primitive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg, w := newBench(t, "def main():\n    "+c.body+"\n", lend, fetchBack)
			w.break_[c.fails] = errors.New("no route")
			out, err := Exec(t.Context(), *cfg)
			if err != nil || out.Result != c.result {
				t.Fatalf("got %v, %+v, want %s", err, out, c.result)
			}
			if got := backs(w); !slices.Equal(got, c.back) {
				t.Errorf("got %q, want %q", got, c.back)
			}
			if left := undos(t, cfg); len(left) != c.left {
				t.Errorf("%d clean-ups are left, want %d", len(left), c.left)
			}
			if text := texts(out.Findings); !strings.Contains(text, c.finds) || (c.finds == "") != (text == "") {
				t.Errorf("found %q, want %q", text, c.finds)
			}
		})
	}
}

func backs(w *benchWorld) (out []string) {
	for _, k := range sortedKeys(w.made) {
		for range w.made[k] {
			if strings.HasPrefix(k, "back ") {
				out = append(out, k)
			}
		}
	}
	return out
}

func undos(t *testing.T, cfg *Config) []ledger.Undo {
	t.Helper()
	left, err := ledger.All[ledger.Undo](t.Context(), cfg.Ledger, ledger.Query{Kind: ledger.RowUndo})
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func texts(found []ledger.Finding) string {
	var out []string
	for _, f := range found {
		out = append(out, f.Text)
	}
	return strings.Join(out, "\n")
}

func TestTheNextStartTakesUpWhatCouldNotBeUndone(t *testing.T) {
	t.Parallel()
	cfg, w := newBench(t, "def main():\n    lend(name = 'x')\n", lend, fetchBack)
	w.break_["back x"] = errors.New("no route")
	if out, err := Exec(t.Context(), *cfg); err != nil || out.Result != ledger.DegradedRun {
		t.Fatalf("got %v, %+v", err, out)
	}
	next, w2 := newBench(t, "def main():\n    pass\n", lend, fetchBack)
	next.Ledger, next.Header.ID, next.Header.Path = cfg.Ledger, "r2", "/another.star"
	w2.break_["back x"] = errors.New("still no route")
	out, err := Exec(t.Context(), *next)
	if err != nil || !strings.Contains(texts(out.Findings), "clean up by fetch_back after run r1: still no route") {
		t.Fatalf("got %v, %+v", err, out)
	}
	delete(w2.break_, "back x")
	for _, id := range []string{"r3", "r4"} { // done once, and not again
		next.Header.ID = id
		if out, err := Exec(t.Context(), *next); err != nil || out.Result != ledger.OK {
			t.Fatalf("got %v, %+v", err, out)
		}
		if got := backs(w2); !slices.Equal(got, []string{"back x"}) || len(undos(t, next)) != 0 {
			t.Errorf("%s: got %q", id, got)
		}
	}
}

func TestAStepThatAProbeFindsWholeIsKept(t *testing.T) {
	t.Parallel()
	cfg, w := newBench(t, "def main():\n    lend(name = 'kept')\n", lend, fetchBack)
	store := &dying{Store: ledger.NewMemory(), left: 1 << 30}
	cfg.Ledger = ledger.New(store)
	w.hook = func(name string) {
		if name == "lend kept" { // it has its effect; that it is kept is not recorded any more
			store.left = 0
		}
	}
	if out, err := Exec(t.Context(), *cfg); err == nil && out.Err == nil {
		t.Fatal("the run did not die")
	}
	w.hook, store.left = nil, 1<<30
	cfg.Ledger = ledger.New(store)
	if n := len(undos(t, cfg)); n != 1 {
		t.Fatalf("%d clean-ups are recorded before the effect, want 1", n)
	}
	out, err := ResumeRun(t.Context(), *cfg, "r1")
	if err != nil || out.Result != ledger.OK {
		t.Fatalf("got %v, %+v", err, out)
	}
	if got := backs(w); len(got) != 0 || w.made["lend kept"] != 1 || len(undos(t, cfg)) != 0 {
		t.Errorf("got %v", w.made)
	}
}

func TestARunThatDiedIsClosedByTheNextOfItsPolicyAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, path string
		lab, alive bool
		says       string
		back       []string
		ended      bool
	}{
		{"the same policy", "/a/p.star", false, false, "run r1 died; this one takes its place", []string{"back x"}, true},
		{"another policy", "/b/p.star", false, false, "run r1 of p.star died, and waits: runner resume r1", nil, false},
		{"another policy of the lab", "/b/p.star", true, false, "runner resume --lab r1", nil, false},
		{"its process lives", "/b/p.star", false, true, "", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg, w := newBench(t, "def main():\n    lend(name = 'x')\n    make(name = 'die')\n", lend, fetchBack)
			store := &dying{Store: ledger.NewMemory(), left: 1 << 30}
			cfg.Ledger, cfg.State = ledger.New(store), t.TempDir()
			cfg.Header.Path, cfg.Header.Lab = "/a/p.star", c.lab
			w.hook = func(name string) {
				if name == "die" {
					store.left = 0
				}
			}
			if out, err := Exec(t.Context(), *cfg); err == nil && out.Err == nil {
				t.Fatal("the run did not die")
			}
			store.left, w.hook = 1<<30, nil
			w.made = map[string]int{} // in memory it saw its end, and cleaned up
			if c.alive {
				mustTry(t, leasesOf(cfg.State, "r1"), "run:r1")
			}
			next, w2 := newBench(t, "def main():\n    pass\n", lend, fetchBack)
			next.Ledger, next.State = ledger.New(store), cfg.State
			next.Header.ID, next.Header.Path = "r2", c.path
			var said []string
			next.Observe = func(e Event) {
				if e.Kind == EventPrint {
					said = append(said, e.Text)
				}
			}
			if out, err := Exec(t.Context(), *next); err != nil || out.Result != ledger.OK {
				t.Fatalf("got %v, %+v", err, out)
			}
			if text := strings.Join(said, "\n"); !strings.Contains(text, c.says) || (c.says == "") != (text == "") {
				t.Errorf("said %q, want %q", text, c.says)
			}
			if got := backs(w2); !slices.Equal(got, c.back) {
				t.Errorf("got %q, want %q", got, c.back)
			}
			_, end, err := loadRun(t.Context(), next.Ledger, "r1")
			if err != nil || (end != nil) != c.ended {
				t.Fatalf("got %v, %+v", err, end)
			}
			if !c.ended {
				return
			}
			next.Header.ID = "r3" // what has ended is not closed again
			if out, err := Exec(t.Context(), *next); err != nil || out.Result != ledger.OK || len(said) != 1 {
				t.Fatalf("got %v, %+v, %q", err, out, said)
			}
			if _, end, err = loadRun(t.Context(), next.Ledger, "r1"); err != nil || end.Result != ledger.Interrupted || end.By != "r2" {
				t.Errorf("got %v, %+v", err, end)
			}
		})
	}
}

func TestACleanUpAfterADeadRunIsTriedOnceAStart(t *testing.T) {
	t.Parallel()
	cfg, w := newBench(t, "def main():\n    lend(name = 'x')\n", lend, fetchBack)
	store := &dying{Store: ledger.NewMemory(), left: 1 << 30}
	cfg.Ledger = ledger.New(store)
	w.hook = func(string) { store.left = 0 }
	if out, err := Exec(t.Context(), *cfg); err == nil && out.Err == nil {
		t.Fatal("the run did not die")
	}
	store.left, cfg.Ledger, cfg.Header.ID = 1<<30, ledger.New(store), "r2"
	tried := 0
	w.hook = func(name string) {
		if name == "back x" {
			tried++
		}
	}
	w.break_["back x"] = errors.New("no route")
	out, err := Exec(t.Context(), *cfg)
	if err != nil || out.Result != ledger.DegradedRun || len(out.Findings) != 2 {
		t.Fatalf("got %v, %+v", err, out)
	}
	if tried != 2 { // after r1; and after r2 itself, that lends the same
		t.Errorf("tried %d times", tried)
	}
}
