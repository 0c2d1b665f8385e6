package runtime

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// What a run knew when it died, it knows when it goes on: values, failures that were
// caught, findings. Nothing of it is done again.
func TestAReplayTellsThePolicyWhatWasRecorded(t *testing.T) {
	t.Parallel()
	busy := &failure.Error{Code: failure.Code{Name: "E_BUSY"}, System: "lab", Doing: "grow a", Hint: "wait"}
	for _, c := range []struct {
		name, body string
		fails      map[string]error
		value      string
		result     string
		finds      string
	}{
		{"a value", "a = grow(name = 'a')\n    make(name = 'die')\n    return a", nil, `"r1 a/0"`, ledger.OK, ""},
		{"a failure that was caught", "r = catch(lambda: grow(name = 'a'))\n    make(name = 'die')\n    return [r.error.code, r.error.message]",
			map[string]error{"grow a": busy}, `["E_BUSY", "lab: grow a"]`, ledger.OK, ""},
		{"a finding", "a = grow(name = 'odd')\n    make(name = 'die')\n    return a", nil, `"r1 odd/0"`, ledger.DegradedRun, "odd is odd"},
		{"branches", "l = parallel([lambda: grow(name = 'a'), lambda: grow(name = 'b')])\n    make(name = 'die')\n    return l", nil,
			`["r1 a/0[0]/0", "r1 b/0[1]/0"]`, ledger.OK, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg, w := newBench(t, "def main():\n    "+c.body+"\n", grow)
			w.break_ = c.fails
			die(t, cfg, w, "die")
			before := map[string]int{}
			for k, n := range w.made {
				before[k] = n
			}
			w.break_ = nil
			out, err := ResumeRun(t.Context(), *cfg, "r1")
			if err != nil || out.Err != nil || out.Value.String() != c.value || out.Result != c.result || texts(out.Findings) != c.finds {
				t.Fatalf("got %v, %+v", err, out)
			}
			for k, n := range w.made {
				if strings.HasPrefix(k, "grow") && n != before[k] {
					t.Errorf("%s was done again", k)
				}
			}
		})
	}
}

func TestAStepThatCannotBeProbedIsNotDoneTwice(t *testing.T) {
	t.Parallel()
	cfg, w := newBench(t, "def main():\n    catch(lambda: erase(name = 'x'))\n    make(name = 'y')\n")
	cfg.Allowed = map[string]bool{"erase": true}
	die(t, cfg, w, "erase x")
	out, err := ResumeRun(t.Context(), *cfg, "r1")
	if err != nil || failure.CodeOf(out.Err) != failure.Interrupted || out.Result != ledger.Failed {
		t.Fatalf("got %v, %+v", err, out)
	}
	if w.made["erase x"] != 1 || w.made["y"] != 0 {
		t.Errorf("got %v", w.made)
	}
}

func TestAttemptsGoOnCountingAfterADeath(t *testing.T) {
	t.Parallel()
	cfg, w := newBench(t, "def main():\n    make(name = 'x')\n")
	die(t, cfg, w, "x")
	w.break_["x"] = &failure.Error{Code: failure.Code{Name: "E_BUSY"}, Doing: "make x", Temporary: true}
	w.made = map[string]int{}
	tries := 0
	w.hook = func(string) { tries++ }
	out, err := ResumeRun(t.Context(), *cfg, "r1")
	if err != nil || out.Result != ledger.Failed || tries != 1 {
		t.Fatalf("got %v, %+v after %d tries: the first of two was before", err, out, tries)
	}
}

func TestWhatCannotBeResumedIsRefused(t *testing.T) {
	t.Parallel()
	const text = "def main(n = '1'):\n    make(name = n)\n"
	for _, c := range []struct {
		name   string
		before func(t *testing.T, cfg *Config, w *benchWorld)
		want   string
	}{
		{"no such run", func(*testing.T, *Config, *benchWorld) {}, "no run r1 is recorded"},
		{"it has ended", func(t *testing.T, cfg *Config, _ *benchWorld) { mustExec(t, cfg) }, "run r1 has ended: ok\nhint: runner retry r1"},
		{"another took its place", func(t *testing.T, cfg *Config, w *benchWorld) {
			die(t, cfg, w, "1")
			next := *cfg
			next.Header.ID = "r2"
			mustExec(t, &next)
		}, "is superseded by run r2"},
		{"the site was changed", func(t *testing.T, cfg *Config, w *benchWorld) {
			cfg.Header.Site, cfg.Header.SitePath = "0123", "site.star"
			die(t, cfg, w, "1")
			cfg.Header.Site = "4567"
		}, "the site site.star was changed since run r1 began (0123… then, 4567… now)"},
		{"the policy loads more", func(t *testing.T, cfg *Config, w *benchWorld) {
			die(t, cfg, w, "1")
			m := *cfg.Program.Graph.Entry
			m.Label = "//more.star"
			cfg.Program.Graph.Modules = append(cfg.Program.Graph.Modules, &m)
		}, "loads other files than when run r1 began"},
		{"it lives", func(t *testing.T, cfg *Config, w *benchWorld) {
			cfg.State = t.TempDir()
			die(t, cfg, w, "1")
			mustTry(t, leasesOf(cfg.State, "r1"), "run:r1")
		}, "run:r1 is held by run r1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg, w := newBench(t, text)
			c.before(t, cfg, w)
			was, _ := cfg.Ledger.Head(t.Context())
			_, err := ResumeRun(t.Context(), *cfg, "r1")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if is, _ := cfg.Ledger.Head(t.Context()); is.Size != was.Size {
				t.Errorf("what was refused wrote %d entries", is.Size-was.Size)
			}
			if cfg.State != "" { // nor does it hold anything
				mustTry(t, leasesOf(cfg.State, "r9"), policyName(cfg.Header))
			}
		})
	}
}

// A run that is resumed goes on as it was started: with its arguments, whatever is given.
func TestAResumedRunKeepsItsArguments(t *testing.T) {
	t.Parallel()
	cfg, w := newBench(t, "def main(n = '1'):\n    make(name = n)\n")
	cfg.Args = map[string]string{"n": "7"}
	die(t, cfg, w, "7")
	cfg.Args = nil
	if out, err := ResumeRun(t.Context(), *cfg, "r1"); err != nil || out.Err != nil || w.made["1"] != 0 || w.made["7"] == 0 {
		t.Fatalf("got %v, %+v, %v", err, out, w.made)
	}
	w.break_["9"] = errors.New("no")
	cfg.Header.ID, cfg.Args = "r2", map[string]string{"n": "9"}
	mustExec(t, cfg)
	w.break_, cfg.Args, cfg.Header.ID = nil, nil, "r3"
	if out, err := RetryRun(t.Context(), *cfg, "r2"); err != nil || out.Err != nil || w.made["9"] != 1 {
		t.Fatalf("got %v, %+v, %v", err, out, w.made)
	}
}

// The store dies some entries after a step had its effect: what was recorded of the step
// until then decides what becomes of it.
func TestAStepGoesOnFromWhatItRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		left  int64 // entries that are recorded after the effect
		fails error // of the first attempt
		made  int   // effects in all
	}{
		{"no mark: it is made again", 0, nil, 2},
		{"a mark: the probe finds it", 1, nil, 1},
		{"an end: it is replayed", 2, nil, 1},
		{"an attempt that failed is no end", 1, &failure.Error{Code: failure.Code{Name: "E_BUSY"}, Doing: "make x", Temporary: true}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg, w := newBench(t, "def main():\n    return make(name = 'x').item\n")
			store := &dying{Store: ledger.NewMemory(), left: 1 << 30}
			cfg.Ledger = ledger.New(store)
			w.break_["x"] = c.fails
			w.hook = func(string) { store.left = c.left }
			if out, err := Exec(t.Context(), *cfg); err == nil && out.Err == nil {
				t.Fatal("the run did not die")
			}
			w.hook, w.break_, store.left = nil, nil, 1<<30
			cfg.Ledger = ledger.New(store)
			out, err := ResumeRun(t.Context(), *cfg, "r1")
			if err != nil || out.Err != nil || out.Value.String() != `"x"` || w.made["x"] != c.made {
				t.Fatalf("got %v, %+v, %v", err, out, w.made)
			}
		})
	}
}

// The running time of a run is what it ran before each of its deaths, and not the time
// between.
func TestTheTimeBeforeADeathCountsAndTheTimeAfterItDoesNot(t *testing.T) {
	t.Parallel()
	cfg, w := newBench(t, "def main():\n    for n in ['a', 'b', 'c']:\n        make(name = n)\n")
	clock := cfg.Clock.(*VirtualClock)
	store := &dying{Store: ledger.NewMemory(), left: 1 << 30}
	work := func(dies string) func(string) {
		return func(name string) {
			clock.Set(clock.Now().Add(time.Minute))
			if name == dies {
				store.left = 1 // its mark
			}
		}
	}
	cfg.Ledger, w.hook = ledger.New(store), work("a")
	if out, err := Exec(t.Context(), *cfg); err == nil && out.Err == nil {
		t.Fatal("the run did not die")
	}
	for _, dies := range []string{"b", "none"} {
		clock.Set(clock.Now().Add(24 * time.Hour))
		store.left, cfg.Ledger, w.hook = 1<<30, ledger.New(store), work(dies)
		out, err := ResumeRun(t.Context(), *cfg, "r1")
		if dies == "none" && (err != nil || out.Err != nil || out.Elapsed != 3*time.Minute) {
			t.Fatalf("got %v, %+v", err, out)
		}
	}
}
