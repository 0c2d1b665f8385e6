package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// grow makes something with a number of its own, which a retry takes over as long as it
// is not withered.
func grow(w *benchWorld) Declaration {
	return Reusable[makeArgs]{
		Reuse: func(_ context.Context, _ *Step, a *makeArgs, value json.RawMessage) (bool, error) {
			if err := w.break_["reuse "+a.Name]; err != nil {
				return false, err
			}
			return w.break_["withered "+string(value)] == nil, nil
		},
		Primitive: Primitive[makeArgs]{Name: "grow", Kind: Write, Resume: Retry,
			Codes: []failure.Code{{Name: "E_BUSY", Doc: "busy"}},
			Run: func(_ context.Context, s *Step, a *makeArgs) (Result, error) {
				res := Result{Value: s.Run + " " + a.Name + s.ID}
				if strings.HasPrefix(a.Name, "odd") {
					res.Facts.Findings = []ledger.Finding{{Severity: ledger.DegradedRun, Item: a.Name, Text: a.Name + " is odd"}}
				}
				return res, w.do("grow " + a.Name)
			}}}
}

func TestARetryTakesOverWhatStillStands(t *testing.T) {
	t.Parallel()
	const two = "a = grow(name = 'a')\n    b = grow(name = 'b')\n    return [a, b]"
	for _, c := range []struct {
		name, body     string
		first, second  map[string]error // what breaks in the first run, and in its retry
		value, refuses string           // of the retry
		grown          map[string]int   // in all
		finds          string
	}{
		{"what failed is done, the rest is not", two, map[string]error{"grow b": errors.New("no")}, nil,
			`["r1 a/0", "r2 b/1"]`, "", map[string]int{"a": 1, "b": 1}, ""},
		{"what does not stand any more is done again", two, map[string]error{"grow b": errors.New("no")},
			map[string]error{`withered "r1 a/0"`: errors.New("yes")}, `["r2 a/0", "r2 b/1"]`, "", map[string]int{"a": 2, "b": 1}, ""},
		{"whether it stands cannot be said", two, map[string]error{"grow b": errors.New("no")},
			map[string]error{"reuse a": errors.New("the ledger is gone")}, "", "the ledger is gone", map[string]int{"a": 1}, ""},
		{"its findings are those of the retry, too", "a = grow(name = 'odd')\n    return [a, grow(name = 'b')]",
			map[string]error{"grow b": errors.New("no")}, nil, `["r1 odd/0", "r2 b/1"]`, "", map[string]int{"odd": 1, "b": 1}, "odd is odd"},
		{"what was caught is tried again", "r = catch(lambda: grow(name = 'a'))\n    b = grow(name = 'b')\n    return [r.ok, b]",
			map[string]error{"grow a": &failure.Error{Code: failure.Code{Name: "E_BUSY"}, Doing: "grow a"}, "grow b": errors.New("no")}, nil,
			`[True, "r2 b/1"]`, "", map[string]int{"a": 1, "b": 1}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg, w := newBench(t, "def main():\n    "+c.body+"\n", grow)
			w.break_ = c.first
			if out, err := Exec(t.Context(), *cfg); err != nil || out.Result != ledger.Failed {
				t.Fatalf("got %v, %+v", err, out)
			}
			w.break_, cfg.Header.ID = c.second, "r2"
			replayed := 0
			cfg.Observe = func(e Event) {
				if e.Replayed && e.Text == "still stands from run r1" {
					replayed++
				}
			}
			out, err := RetryRun(t.Context(), *cfg, "r1")
			switch {
			case err != nil:
				t.Fatal(err)
			case c.refuses != "":
				if out.Err == nil || !strings.Contains(out.Err.Error(), c.refuses) {
					t.Errorf("got %v, want %s", out.Err, c.refuses)
				}
			case out.Err != nil || out.Value.String() != c.value || replayed != strings.Count(c.value, "r1 "):
				t.Errorf("got %v, %v, %d taken over", out.Err, out.Value, replayed)
			case texts(out.Findings) != c.finds:
				t.Errorf("found %q, want %q", texts(out.Findings), c.finds)
			}
			for _, n := range []string{"a", "b", "odd"} {
				if w.made["grow "+n] != c.grown[n] {
					t.Errorf("%s was grown %d times, want %d", n, w.made["grow "+n], c.grown[n])
				}
			}
		})
	}
}

// What a retry took over, the retry of that retry takes over, too; what an earlier one
// made counts as long as no later one made it.
func TestARetryOfARetryKnowsTheWholeChain(t *testing.T) {
	t.Parallel()
	cfg, w := newBench(t, "def main():\n    return [grow(name = n) for n in ['a', 'b', 'c']]\n", grow)
	began := cfg.Clock.Now()
	fail := map[string][]string{"r1": {"grow b"}, "r2": {"grow c", `withered "r1 a/0"`}, "r3": nil}
	for i, id := range []string{"r1", "r2", "r3"} {
		w.break_ = map[string]error{}
		for _, name := range fail[id] {
			w.break_[name] = errors.New("no")
		}
		cfg.Header.ID = id
		var since bool
		cfg.Complete = func(_ context.Context, _ ledger.Catalog, _ ledger.Demands, j ledger.Judged) ([]ledger.Finding, error) {
			since = j.Since.Equal(began) && j.Run == id
			return nil, nil
		}
		var out *Outcome
		var err error
		if i == 0 {
			out, err = Exec(t.Context(), *cfg)
		} else {
			cfg.Clock.(*VirtualClock).Set(began.AddDate(0, 0, i))
			out, err = RetryRun(t.Context(), *cfg, []string{"r1", "r2"}[i-1])
		}
		if err != nil || !since {
			t.Fatalf("%s: got %v; judged since its first run: %t", id, err, since)
		}
		if id == "r3" && (out.Err != nil || out.Value.String() != `["r2 a/0", "r2 b/1", "r3 c/2"]`) {
			t.Errorf("got %v, %v", out.Err, out.Value)
		}
	}
}

func TestWhatCannotBeRetriedIsRefused(t *testing.T) {
	t.Parallel()
	const text = "def main():\n    grow(name = 'a')\n"
	broken := func(w *benchWorld) { w.break_["grow a"] = errors.New("no") }
	for _, c := range []struct {
		name   string
		before func(t *testing.T, cfg *Config, w *benchWorld)
		id     string
		want   string
	}{
		{"no such run", func(*testing.T, *Config, *benchWorld) {}, "r0", "no run r0 is recorded\nhint: runner runs"},
		{"it ended ok", func(t *testing.T, cfg *Config, _ *benchWorld) { mustExec(t, cfg) }, "r1", "ended ok: nothing is left to do"},
		{"it has not ended", func(t *testing.T, cfg *Config, w *benchWorld) { die(t, cfg, w, "grow a") }, "r1",
			"run r1 has not ended\nhint: runner resume r1"},
		{"it was retried", func(t *testing.T, cfg *Config, w *benchWorld) {
			broken(w)
			mustExec(t, cfg)
			again := *cfg
			again.Header.ID = "r2"
			if _, err := RetryRun(t.Context(), again, "r1"); err != nil {
				t.Fatal(err)
			}
		}, "r1", "run r1 was retried by run r2\nhint: runner show r2"},
		{"another took its place", func(t *testing.T, cfg *Config, w *benchWorld) {
			die(t, cfg, w, "grow a")
			next := *cfg
			next.Header.ID = "r2"
			mustExec(t, &next)
		}, "r1", "run r1 died, and is superseded by run r2"},
		{"it was of another policy", func(t *testing.T, cfg *Config, w *benchWorld) {
			broken(w)
			mustExec(t, cfg)
			other, _ := newBench(t, text, grow)
			other.Ledger = cfg.Ledger
			other.Program.Graph.Entry.Label = "//another.star"
			*cfg = *other
		}, "r1", "was of //p.star, not of //another.star"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg, w := newBench(t, text, grow)
			c.before(t, cfg, w)
			was, _ := cfg.Ledger.Head(t.Context())
			cfg.Header.ID = "r9"
			_, err := RetryRun(t.Context(), *cfg, c.id)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if is, _ := cfg.Ledger.Head(t.Context()); is.Size != was.Size {
				t.Errorf("what was refused wrote %d entries", is.Size-was.Size)
			}
		})
	}
}

func mustExec(t *testing.T, cfg *Config) *Outcome {
	t.Helper()
	out, err := Exec(t.Context(), *cfg)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// die runs a policy whose process dies when it does what is named: nothing more is
// recorded. The ledger lives on.
func die(t *testing.T, cfg *Config, w *benchWorld, at string) {
	t.Helper()
	store := &dying{Store: ledger.NewMemory(), left: 1 << 30}
	cfg.Ledger = ledger.New(store)
	w.hook = func(name string) {
		if name == at {
			store.left = 0
		}
	}
	if out, err := Exec(t.Context(), *cfg); err == nil && out.Err == nil {
		t.Fatal("the run did not die")
	}
	w.hook, store.left = nil, 1<<30
	cfg.Ledger = ledger.New(store)
}

// A call that a policy makes twice is to have its effect twice, in a retry, too, and
// however often that dies or is retried itself.
func TestWhatWasDoneOnceServesOneCall(t *testing.T) {
	t.Parallel()
	const text = "def main():\n    a = grow(name = 'a')\n    make(name = 'between')\n    return [a, grow(name = 'a')]\n"
	for _, c := range []struct {
		name  string
		fails map[string][]string // run -> what breaks in it
		dies  bool                // the last run, between the calls
		value string              // of r3, or r2
		grown int
	}{
		{"the second was not done", map[string][]string{"r1": {"between"}}, false, `["r1 a/0", "r2 a/2"]`, 2},
		{"nor in the retry, which took over the first", map[string][]string{"r1": {"between"}, "r2": {"between"}}, false,
			`["r1 a/0", "r3 a/2"]`, 2},
		{"the retry dies between", map[string][]string{"r1": {"between"}}, true, `["r1 a/0", "r2 a/2"]`, 2},
		{"both were done, the first does not stand", map[string][]string{"r1": {"end"}, "r2": {`withered "r1 a/0"`}}, false,
			`["r1 a/2", "r2 a/2"]`, 3},
		{"both stand", map[string][]string{"r1": {"end"}}, false, `["r1 a/0", "r1 a/2"]`, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := text
			if c.fails["r1"][0] == "end" {
				text = strings.Replace(text, "return [a, grow(name = 'a')]", "b = grow(name = 'a')\n    make(name = 'end')\n    return [a, b]", 1)
			}
			cfg, w := newBench(t, text, grow)
			store := &dying{Store: ledger.NewMemory(), left: 1 << 30}
			cfg.Ledger = ledger.New(store)
			breaks := func(id string) {
				cfg.Header.ID, w.break_ = id, map[string]error{}
				for _, name := range c.fails[id] {
					w.break_[name] = errors.New("no")
				}
			}
			breaks("r1")
			mustExec(t, cfg)
			last := "r2"
			breaks("r2")
			if c.dies {
				w.hook = func(string) { store.left = 0 }
			}
			out, err := RetryRun(t.Context(), *cfg, "r1")
			switch {
			case c.dies:
				w.hook, store.left, cfg.Ledger = nil, 1<<30, ledger.New(store)
				out, err = ResumeRun(t.Context(), *cfg, "r2")
			case err == nil && out.Err != nil:
				last = "r3"
				breaks("r3")
				out, err = RetryRun(t.Context(), *cfg, "r2")
			}
			if err != nil || out.Err != nil || out.Value.String() != c.value || w.made["grow a"] != c.grown {
				t.Fatalf("%s: got %v, %+v, grown %d times", last, err, out, w.made["grow a"])
			}
		})
	}
}
