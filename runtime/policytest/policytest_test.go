package policytest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
)

type thing struct {
	Name string   `star:"name" doc:"which"`
	To   []string `star:"to?" doc:"targets"`
}

// primitives are two that policies of these tests call.
func primitives() []runtime.Declaration {
	broken := failure.Code{Name: "E_BROKEN", Doc: "it broke"}
	return []runtime.Declaration{
		runtime.Primitive[struct{}]{Name: "things", Kind: runtime.Read, Codes: []failure.Code{broken},
			Fake: func(context.Context, *runtime.Step, *struct{}) (runtime.Result, error) {
				return runtime.Result{Value: []string{"a", "b"}}, nil
			}},
		runtime.Primitive[thing]{Name: "make", Kind: runtime.Write, Codes: []failure.Code{broken}, Parts: []string{"target"},
			Fake: func(_ context.Context, s *runtime.Step, a *thing) (runtime.Result, error) {
				for _, to := range a.To {
					if err := s.Fault("target", to); err != nil {
						return runtime.Result{}, err
					}
				}
				return runtime.Result{Value: a.Name}, nil
			}},
	}
}

const policy = `
def main():
    return each([lambda n = n: make(name = n, to = ["usb"]) for n in things()])
`

// runTests gives what became of each test of a file, by name below the file.
func runTests(t *testing.T, text string) map[string]Outcome {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"p.star": policy, "p_test.star": "load(\":p.star\", \"main\")\n" + text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Config{
		Runtime: &runtime.Runtime{Primitives: primitives(), Stdlib: fstest.MapFS{}},
		World:   func(map[string]any) (World, error) { return World{}, nil },
	}
	out := map[string]Outcome{}
	path := filepath.Join(dir, "p_test.star")
	if err := RunFile(t.Context(), cfg, path, func(o Outcome) bool {
		out[strings.TrimPrefix(strings.TrimPrefix(o.Name, filepath.ToSlash(path)), "/")] = o
		return true
	}); err != nil {
		out["error"] = Broken(path, err)
	}
	return out
}

func texts(o Outcome) string {
	var out []string
	for _, f := range o.Failures {
		out = append(out, strings.ReplaceAll(f.String(), filepath.Dir(o.File)+string(filepath.Separator), ""))
	}
	return strings.Join(out, "\n")
}

func TestWhatATestSays(t *testing.T) {
	tests := map[string]struct {
		file string
		name string   // of the outcome
		want []string // in its failures, in this order; none: it passes
	}{
		"nothing is asserted": {"def test_x(t):\n    pass", "test_x",
			[]string{"p_test.star:2:1: test_x ended without any expectation: t.eq, t.true, t.expect or t.steps"}},
		"a run is not an expectation": {"def test_x(t):\n    t.run(main)", "test_x",
			[]string{"p_test.star:2:1: test_x ended without any expectation"}},
		"a row that is a case is not run": {"CASES = {\"one\": case()}\ndef test_x(t, c):\n    t.eq(1, 1)", "test_x/one",
			[]string{"p_test.star:2:21: this case is never run: t.run(main, c)"}},
		"a case of a test is not run": {"def test_x(t):\n    c = case()\n    t.eq(1, 1)", "test_x",
			[]string{"p_test.star:3:13: this case is never run"}},
		"a case of the top level is in no table": {"LOST = case()\ndef test_x(t):\n    t.eq(1, 1)", "",
			[]string{"p_test.star:2:12: this case is never run"}},
		"no test takes a table": {"MORE = {\"one\": case()}\ndef test_x(t):\n    t.eq(1, 1)", "",
			[]string{"p_test.star:2:1: the table MORE is taken by no test, its cases are never run: def test_NAME(t, c = MORE)"}},
		"no test takes a table of values": {"AGE_CASES = {\"one\": 1}\ndef test_x(t):\n    t.eq(1, 1)", "",
			[]string{"p_test.star:2:1: the table AGE_CASES"}},
		"nobody expects what a case wants": {"def test_x(t):\n    r = t.run(main, case(want = failed()))\n    t.eq(r.result, \"ok\")", "test_x",
			[]string{"p_test.star:3:25: what this case wants is never expected: t.expect(run, c)"}},
		"nobody expects what the cases of a table want": {"CASES = {\"one\": case(want = failed())}\ndef test_x(t, c):\n    t.eq(t.run(main, " +
			"c).result, \"ok\")", "",
			[]string{"p_test.star:2:21: what this case wants is never expected"}},
		"nobody looks at a run that failed": {"def test_x(t):\n    t.run(main, case(faults = {\"make(name=a)\": \"E_BROKEN\"}))\n    t.eq(1, 1)",
			"test_x",
			[]string{"p_test.star:3:10: this run failed, and nobody looked at it: t.expect(run, c), run.result or run.error",
				"p.star:3:36: make(name=a, to=[1]) failed: make(name=a): a fault of the test"}},
		"a fault does not happen": {"def test_x(t):\n    t.eq(t.run(main, case(faults = {\"make(name=c)\": \"E_BROKEN\"})).result, \"ok\")",
			"test_x",
			[]string{"p_test.star:3:26: the fault make(name=c) never happened"}},
		"the fault of an earlier case does not happen": {"def test_x(t):\n    t.run(main, case(faults = {\"make(name=c)\": \"E_BROKEN\"}))\n  " +
			"  t.eq(t.run(main, case()).result, \"ok\")",
			"test_x", []string{"the fault make(name=c) never happened"}},
		"a fault of an argument that is none": {"def test_x(t):\n    t.eq(t.run(main, case(faults = {\"make(nmae=a)\": " +
			"\"E_BROKEN\"})).result, \"ok\")", "test_x",
			[]string{"fault make(nmae=a): make has no argument nmae", "hint: it has target, name, to"}},
		"an answer": {"def test_x(t):\n    t.eq(t.run(lambda: things(), case(answers = {\"things()\": [\"z\"]})).value, [\"z\"])",
			"test_x", nil},
		"an answer is none": {"def test_x(t):\n    t.eq(t.run(lambda: 1, case(answers = {\"things()\": [\"z\"]})).value, 1)", "test_x",
			[]string{"the answer things() was never asked for"}},
		"an answer of what writes": {"def test_x(t):\n    t.eq(t.run(main, case(answers = {\"make()\": 1})).value, 1)", "test_x",
			[]string{"answer make(): make does not only read", "hint: a fault says how it fails"}},
		"a table of values": {"ROWS = {\"two\": {\"n\": 2, \"want\": 4}, \"three\": {\"n\": 3, \"want\": 7}}\ndef test_x(t, c = ROWS):\n    " +
			"t.eq(c[\"n\"] * 2, c[\"want\"])", "test_x/three",
			[]string{"p_test.star:4:9: got 6, want 7"}},
		"a table that is none": {"def test_x(t, c = 3):\n    t.eq(1, 1)", "test_x",
			[]string{"p_test.star:2:1: test_x: the default of c is of type int, want a table"}},
		"no table": {"def test_x(t, c):\n    t.eq(1, 1)", "test_x",
			[]string{"test_x: no table CASES of cases by name", "def test_x(t, c = TABLE)"}},
		"a test that is none": {"test_x = 3", "test_x", []string{"p_test.star:2:1: test_x is of type int, want a function"}},
		"the newest run explains": {"def test_x(t):\n    r = t.run(main, case(faults = {\"make(name=b)\": \"E_BROKEN\"}))\n    " +
			"t.eq(r.result, \"ok\")", "test_x", []string{"p_test.star:4:9: got \"failed\", want \"ok\"",
			"the newest run, of p_test.star:3:14, ended failed", "p.star:3:36: make(name=b, to=[1]) failed"}},
		"a helper is told with who called it": {"def same(t, a):\n    t.eq(a, 1)\ndef test_x(t):\n    same(t, 2)", "test_x",
			[]string{"p_test.star:3:9: got 2, want 1", "called from p_test.star:5:9"}},
		"an error of the test has its line": {"def test_x(t):\n    t.eq(1 // 0, 1)", "test_x",
			[]string{"p_test.star:3:12: floored division by zero", "    t.eq(1 // 0, 1)", "^"}},

		"exactly": {run("exactly(\"make(name=b)\", \"make(name=a)\", \"things()\")"), "test_x", nil},
		"exactly, and one more": {run("exactly(\"make(name=b)\", \"things()\")"), "test_x",
			[]string{"p_test.star:3:12: exactly: the run also made make(name=a, to=[1])", "the run made 3 calls", "p.star:3:",
				"make(name=b, to=[1])"}},
		"exactly, and one is missing": {run("exactly(\"make()\", \"make()\", \"make()\", \"things()\")"), "test_x",
			[]string{"exactly: the run did not make make()"}},
		"exactly takes the other way": {run("exactly(\"make()\", \"make(name=a)\", \"things()\")"), "test_x", nil},
		"among others":                {run("among_others(\"make(name=b)\")"), "test_x", nil},
		"among others, a part":        {run("among_others(\"make(name=a, target=usb)\")"), "test_x", nil},
		"among others, missing": {run("among_others(\"make(name=b)\", \"make(name=c)\")"), "test_x",
			[]string{"among_others: the run did not make make(name=c)"}},
		"in order": {run("in_order(\"things()\", \"make(name=a)\", \"make(name=b)\")"), "test_x", nil},
		"out of order": {run("in_order(\"make(name=b)\", \"make(name=a)\")"), "test_x",
			[]string{"in_order: the run did not make make(name=a) after make(name=b)"}},
		"in order, missing": {run("in_order(\"things()\", \"make(name=c)\")"), "test_x",
			[]string{"in_order: the run did not make make(name=c)"}},
		"never": {run("never(\"make(name=c)\", \"make(to=tape)\")"), "test_x", nil},
		"never, and it was": {run("never(\"make(to=usb)\")"), "test_x",
			[]string{"never(make(to=usb)): the run made it, make(name=a, to=[1])"}},
		"never of nothing":        {run("never()"), "test_x", []string{"never: names no call: it would always hold"}},
		"never of what cannot be": {run("never(\"made()\")"), "test_x", []string{"never: made(): there is no primitive made"}},
		"steps of a case": {"CASES = {\"one\": case(steps = [never(\"make(name=b)\"), in_order(\"things()\")])}\ndef test_x(t, c):\n  " +
			"  t.expect(t.run(main, c), c)", "test_x/one", []string{"never(make(name=b))", "wanted by the case at p_test.star:2:21"}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			out := runTests(t, c.file)
			o, ok := out[c.name]
			if !ok {
				t.Fatalf("there is no %q: got %v", c.name, out)
			}
			got, at := texts(o), 0
			for _, want := range c.want {
				i := strings.Index(got[at:], want)
				if i < 0 {
					t.Fatalf("got\n%s\nwant, in this order, %q", got, c.want)
				}
				at += i
			}
			if len(c.want) == 0 && got != "" {
				t.Errorf("got\n%s\nwant that it passes", got)
			}
			for other, o := range out {
				if other != c.name && len(o.Failures) > 0 {
					t.Errorf("%s failed as well: %s", other, texts(o))
				}
			}
		})
	}
}

func run(steps string) string {
	return "def test_x(t):\n    t.steps(t.run(main), " + steps + ")"
}

func TestTheTestsOfAFileShareNothing(t *testing.T) {
	out := runTests(t, `
SHARED = case(faults = {"make(name=a)": once("E_BROKEN")}, want = failed("make(name=a)"))

def test_a(t):
    t.expect(t.run(main, SHARED), SHARED)

def test_b(t):
    t.expect(t.run(main, SHARED), SHARED)

KEPT = []

def test_c(t):
    KEPT.append(1)
`)
	for _, name := range []string{"test_a", "test_b"} {
		if len(out[name].Failures) > 0 {
			t.Errorf("%s: %s", name, texts(out[name]))
		}
	}
	if got := texts(out["test_c"]); !strings.Contains(got, "cannot append to frozen list") {
		t.Errorf("got %q, want that the list is frozen", got)
	}
}

func TestAReportEndsARun(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "p_test.star")
	if err := os.WriteFile(path, []byte("def test_a(t):\n    t.eq(1, 2)\ndef test_b(t):\n    t.eq(1, 1)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var names []string
	cfg := Config{Runtime: &runtime.Runtime{Stdlib: fstest.MapFS{}}}
	if err := RunFile(t.Context(), cfg, path, func(o Outcome) bool {
		names = append(names, o.Test)
		return len(o.Failures) == 0
	}); err != nil || !slices.Equal(names, []string{"test_a"}) {
		t.Errorf("got %v, %v, want test_a only", names, err)
	}
}

// A table over a pure function costs no world and no ledger.
func TestAPureTableMakesNoWorld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p_test.star")
	text := "ROWS = {str(n): {\"n\": n} for n in range(1000)}\ndef test_x(t, c = ROWS):\n    t.eq(c[\"n\"] + 1 - 1, c[\"n\"])\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	worlds, cases := 0, 0
	cfg := Config{Runtime: &runtime.Runtime{Stdlib: fstest.MapFS{}}, World: func(map[string]any) (World, error) {
		worlds++
		return World{}, nil
	}}
	if err := RunFile(t.Context(), cfg, path, func(o Outcome) bool {
		cases++
		return len(o.Failures) == 0
	}); err != nil || cases != 1000 || worlds != 0 {
		t.Errorf("got %d cases, %d worlds, %v, want 1000 and none", cases, worlds, err)
	}
}
