package runtime

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

func TestAPolicyRunsAndEveryStepIsRecorded(t *testing.T) {
	cfg, w := newBench(t, nightly)
	out, err := Exec(t.Context(), *cfg)
	if err != nil || out.Err != nil || out.Result != ledger.OK {
		t.Fatalf("got %v, %+v", err, out)
	}
	if got := out.Value.String(); got != `["d", "e"]` {
		t.Errorf("got %s", got)
	}
	if len(w.made) != 11 {
		t.Errorf("got %v", w.made)
	}
	arts, err := ledger.Catalog{Store: cfg.Ledger}.Artifacts(t.Context(), ledger.Query{})
	if err != nil || len(arts) != 6 {
		t.Errorf("got %d artifacts, %v", len(arts), err)
	}
	rep, err := ledger.Verify(t.Context(), cfg.Ledger, nil)
	if err != nil || !rep.OK() {
		t.Errorf("verify: %v %v", err, rep.Problems)
	}
}

func TestAFailureInEachFailsTheRunButNotItsSiblings(t *testing.T) {
	cfg, w := newBench(t, nightly)
	w.break_["b"] = &failure.Error{Code: failure.Code{Name: "E_BUSY"}, Doing: "make b"}
	out, err := Exec(t.Context(), *cfg)
	if err != nil || out.Result != ledger.Failed || out.Err != nil {
		t.Fatalf("got %v, %+v", err, out)
	}
	if w.made["c"] != 1 || w.made["e"] != 1 || len(out.Findings) != 1 {
		t.Errorf("got %v, %v", w.made, out.Findings)
	}
	if !strings.Contains(out.Findings[0].Text, "p.star:5:13: make b (E_BUSY)") {
		t.Errorf("got %q", out.Findings[0].Text)
	}

	// The retry does only what is missing; make and look are not reusable here,
	// so the linked run repeats them under new ids.
	delete(w.break_, "b")
	cfg.Header.ID = "r2"
	out, err = RetryRun(t.Context(), *cfg, "r1")
	if err != nil || out.Result != ledger.OK {
		t.Fatalf("got %v, %+v", err, out)
	}
	if w.made["b"] != 1 {
		t.Errorf("got %v", w.made)
	}
}

func TestATemporaryErrorOfAWriteIsProbedThenRepeated(t *testing.T) {
	cfg, w := newBench(t, "def main():\n    make(name = 'x')\n")
	calls := 0
	w.break_["x"] = &failure.Error{Code: failure.Code{Name: "E_BUSY"}, Doing: "make x", Temporary: true}
	w.hook = func(string) {
		if calls++; calls == 2 {
			delete(w.break_, "x")
		}
	}
	out, err := Exec(t.Context(), *cfg)
	if err != nil || out.Err != nil {
		t.Fatalf("got %v, %v", err, out.Err)
	}
	if calls != 2 || w.made["x"] != 1 {
		t.Errorf("got %d calls, %v", calls, w.made)
	}
}

func TestCatchTakesOnlyDeclaredCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"a declared code is caught", &failure.Error{Code: failure.Code{Name: "E_BUSY"}, Doing: "make x"}, ""},
		{"an undeclared error ends the run", errors.New("no idea"), "no idea"},
		{"a limit ends the run", limitError("x", 1, "--x"), "E_LIMIT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, w := newBench(t, "def main():\n    r = catch(lambda: make(name = 'x'))\n    return r.error.code if not r.ok else 'none'\n")
			w.break_["x"] = c.err
			out, err := Exec(t.Context(), *cfg)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.want == "" && (out.Err != nil || out.Value.String() != `"E_BUSY"`):
				t.Errorf("got %v, %v", out.Err, out.Value)
			case c.want != "" && (out.Err == nil || !strings.Contains(out.Err.Error(), c.want)):
				t.Errorf("got %v, want %s", out.Err, c.want)
			}
		})
	}
}

func TestADestroyNeedsTheSitesWord(t *testing.T) {
	cfg, w := newBench(t, "def main():\n    catch(lambda: erase(name = 'x'))\n")
	out, err := Exec(t.Context(), *cfg)
	if err != nil || failure.CodeOf(out.Err) != failure.Refused || len(w.made) != 0 {
		t.Fatalf("got %v, %+v, %v", err, out, w.made)
	}
	cfg.Allowed, cfg.Header.ID = map[string]bool{"erase": true}, "r2"
	if out, err = Exec(t.Context(), *cfg); err != nil || out.Err != nil || w.made["erase x"] != 1 {
		t.Fatalf("got %v, %+v, %v", err, out, w.made)
	}
}

func TestAPlanChangesNothingAndEndsWhereItCannotKnow(t *testing.T) {
	for _, c := range []struct{ name, body, end string }{
		{"unknown values are passed on", "a = make(name = 'x')\n    look(of = a)\n    return [a.id, a.files[0]] and None", ""},
		{"a comparison ends it", "a = make(name = 'x')\n    if a.id == 'y':\n        make(name = 'z')", "p.star:3:"},
		{"an order ends it", "a = make(name = 'x')\n    if a.bytes > 10:\n        make(name = 'z')", "p.star:3:"},
		{"an order the other way round ends it", "a = make(name = 'x')\n    if 10 <= a.bytes:\n        make(name = 'z')", "p.star:3:"},
		{"looking for it in a list ends it", "a = make(name = 'x')\n    if a.id in ['y']:\n        make(name = 'z')", "p.star:3:"},
		{"looking into it ends it", "a = make(name = 'x')\n    if 'y' not in a.files:\n        make(name = 'z')", "p.star:3:"},
		{"comparing a list with it ends it", "a = make(name = 'x')\n    if [a.id] == ['y']:\n        make(name = 'z')", "p.star:3:"},
		{"truth ends it", "a = make(name = 'x')\n    if a:\n        make(name = 'z')", "p.star:3:"},
		{"str ends it", "a = make(name = 'x')\n    make(name = str(a.id))", "p.star:3:"},
		{"iteration ends it", "a = make(name = 'x')\n    for f in a.files:\n        make(name = f)", "p.star:3:"},
		{"arithmetic ends it", "a = make(name = 'x')\n    b = a.bytes + 1", "p.star:3:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, w := newBench(t, "def main():\n    "+c.body+"\n")
			cfg.Mode = Plan
			out, err := Exec(t.Context(), *cfg)
			if err != nil || out.Err != nil || len(w.made) != 0 {
				t.Fatalf("got %v, %+v, %v", err, out, w.made)
			}
			if !strings.Contains(out.PlanEnd, c.end) || (c.end == "") != (out.PlanEnd == "") {
				t.Errorf("got end %q, want %q", out.PlanEnd, c.end)
			}
			if h, _ := cfg.Ledger.Head(t.Context()); h.Size != 0 {
				t.Errorf("the plan wrote %d entries", h.Size)
			}
		})
	}
}

func TestAPlanTellsWhatACallWouldDo(t *testing.T) {
	for _, c := range []struct {
		name, body string
		fails      error
		want       []string
	}{
		{"its arguments are known", "erase(name = 'x')\n    erase(name = 'y')", nil, []string{"would erase x", "would erase y"}},
		{"its arguments are not known", "erase(name = make(name = 'x').item)", nil, nil},
		{"it cannot tell", "erase(name = 'x')\n    erase(name = 'y')", errors.New("no answer"), []string{"would erase x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, w := newBench(t, "def main():\n    "+c.body+"\n")
			cfg.Mode, w.break_["x"] = Plan, c.fails
			var reported []string
			cfg.Observe = func(e Event) {
				if e.Kind == EventLog {
					reported = append(reported, e.Text)
				}
			}
			out, err := Exec(t.Context(), *cfg)
			if err != nil || len(w.made) != 0 || (out.Err != nil) != (c.fails != nil) {
				t.Fatalf("got %v, %+v, %v", err, out, w.made)
			}
			if !slices.Equal(reported, c.want) {
				t.Errorf("got %q, want %q", reported, c.want)
			}
			if h, _ := cfg.Ledger.Head(t.Context()); h.Size != 0 {
				t.Errorf("the plan wrote %d entries", h.Size)
			}
		})
	}
}

func TestHostilePoliciesHitLimits(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"a long loop", "for i in range(1000000):\n        for j in range(1000000):\n            pass", "--max-steps"},
		{"a huge list", "x = [0] * (1 << 27)", "--max-range"},
		{"a huge list by *=", "x = [0]\n    x *= 1 << 27", "--max-range"},
		{"a huge range", "x = max(range(1 << 28))", "--max-range"},
		{"a doubling string", "x = 'ab'\n    for i in range(60):\n        x = x + x", "--max-"},
		{"a doubling list in a list", "x = [[0]]\n    for i in range(60):\n        x[0] += x[0]", "--max-range"},
		{"a join of many", "s = 'a' * 900000\n    x = ''.join([s for i in range(1000)])", "--max-range"},
		{"a replace that squares", "s = 'a' * 900000\n    x = s.replace('a', s)", "--max-range"},
		{"recursion", "f()\n\ndef f():\n    f()", "called recursively"},
		{"a huge number", "x = 1 << 500\n    for i in range(200):\n        x = x * x", "size of a number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, _ := newBench(t, "def main():\n    "+c.body+"\n")
			cfg.Program.rt.Limits = Limits{Steps: 2_000_000, Wall: time.Minute, Heap: 256 << 20}
			cfg.Clock = RealClock{}
			out, err := Exec(t.Context(), *cfg)
			if err != nil || out.Err == nil || !strings.Contains(out.Err.Error(), c.want) || !strings.Contains(out.Err.Error(), "p.star:") {
				t.Fatalf("got %v, %v, want %q with its position", err, out, c.want)
			}
		})
	}
}

func TestFaultyFilesAreRefusedWithTheirPlace(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"a syntax error", "def main():\n  x = = 1\n", "p.star:2:7"},
		{"an unknown name", "def main():\n  snapshot(vm = 1)\n", "p.star:2:3: undefined: snapshot"},
		{"a while", "def main():\n  while True:\n    pass\n", "p.star:2:3"},
		{"a primitive at the top level", "make(name = 'x')\n", "primitives may run only inside main"},
		{"an escape", "load(':../x.star', 'y')\n", "leaves its directory"},
		{"a load of nothing", "load(':nope.star', 'y')\n", "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := load(t, c.script)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestAnErrorInABranchShowsWhoCalledTheBranch(t *testing.T) {
	cfg, w := newBench(t, "def deep(n):\n    make(name = n)\n\ndef wide():\n    parallel([lambda: deep('x')])\n\ndef main():\n    wide()\n")
	w.break_["x"] = &failure.Error{Code: failure.Code{Name: "E_BUSY"}, Doing: "make x"}
	out, err := Exec(t.Context(), *cfg)
	if err != nil {
		t.Fatal(err)
	}
	var tr *Trace
	if !errors.As(out.Err, &tr) {
		t.Fatalf("got %v, want a trace", out.Err)
	}
	text := tr.Details()
	for _, want := range []string{"p.star:2:9: make x (E_BUSY)", "    make(name = n)", "p.star:5:", "in lambda", "p.star:8:9: in main"} {
		if !strings.Contains(text, want) {
			t.Errorf("the trace does not show %q:\n%s", want, text)
		}
	}
}
