package policytest

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/neosofia/runner/runtime"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// suite is one file of tests. It is loaded once: what it defines is frozen then, so that
// its tests have nothing in common that one could change for another.
type suite struct {
	ctx      context.Context
	cfg      Config
	path     string
	program  *runtime.Program
	programs map[string]*runtime.Program // of the policies that it loads, by file

	mu     sync.Mutex
	made   []*testCase
	shared int // so many of made are of the top level
	wanted map[*testCase]bool
	ran    map[*testCase]bool
	tables map[*starlark.Dict]bool // that a test takes
	runs   int
}

// test is a function test_NAME and the rows that it is called with.
type test struct {
	name  string
	fn    *starlark.Function
	rows  []row
	wrong *Failure
}

// row is a named row of a table; of a test without one, it is empty.
type row struct {
	name  string
	value starlark.Value
}

func load(ctx context.Context, cfg Config, path string) (*suite, error) {
	s := &suite{ctx: ctx, cfg: cfg, path: path, programs: map[string]*runtime.Program{}, wanted: map[*testCase]bool{},
		ran: map[*testCase]bool{}, tables: map[*starlark.Dict]bool{}}
	var err error
	s.program, err = cfg.Runtime.Load(path, s.environment())
	s.shared = len(s.made)
	return s, err
}

func (s *suite) keep(c *testCase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = append(s.made, c)
}

// cases are those that were made until now.
func (s *suite) cases() []*testCase {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.made)
}

// isShared reports that a case is of the top level, where several tests may have it.
func (s *suite) isShared(c *testCase) bool { return slices.Contains(s.made[:s.shared], c) }

func (s *suite) expected(c *testCase) { s.wanted[c] = true }

func (s *suite) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	return s.runs
}

func (s *suite) programOf(main *starlark.Function) *runtime.Program {
	s.mu.Lock()
	defer s.mu.Unlock()
	file := main.Position().Filename()
	if s.programs[file] == nil {
		s.programs[file] = s.program.Of(main)
	}
	return s.programs[file]
}

func (s *suite) globals() starlark.StringDict { return s.program.Globals[s.program.Graph.Entry.Label] }

// tests lists the tests of the file in the order in which they stand there.
func (s *suite) tests() []*test {
	var out []*test
	globals := s.globals()
	for _, name := range globals.Keys() {
		if !strings.HasPrefix(name, "test_") {
			continue
		}
		fn, ok := globals[name].(*starlark.Function)
		t := &test{name: name, fn: fn, rows: []row{{}}}
		switch {
		case !ok:
			t.wrong = &Failure{At: place(s.assigned(name)), Text: fmt.Sprintf("%s is of type %s, want a function", name, globals[name].Type())}
		case fn.NumParams() > 1:
			t.takeTable(s)
		}
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b *test) int {
		if a.fn == nil || b.fn == nil {
			return 0
		}
		return int(a.fn.Position().Line) - int(b.fn.Position().Line)
	})
	return out
}

// takeTable gives a test the rows of its table: the default of its second parameter, else
// CASES.
func (t *test) takeTable(s *suite) {
	name, _ := t.fn.Param(1)
	v, what := t.fn.ParamDefault(1), "the default of "+name
	if v == nil {
		v, what = s.globals()["CASES"], "CASES"
	}
	d, ok := v.(*starlark.Dict)
	wrong := func(format string, args ...any) {
		t.wrong = &Failure{At: place(t.fn.Position()), Text: t.name + ": " + fmt.Sprintf(format, args...)}
	}
	switch {
	case v == nil:
		wrong("no table CASES of cases by name\nhint: CASES = {\"all well\": case(…)}; or name the table of this test: def %s(t, %s = TABLE)",
			t.name, name)
		return
	case !ok:
		wrong("%s is of type %s, want a table: a dict of rows by name", what, v.Type())
		return
	case d.Len() == 0:
		wrong("%s has no row", what)
		return
	}
	s.tables[d] = true
	t.rows = nil
	for _, kv := range d.Items() {
		name, ok := starlark.AsString(kv[0])
		if !ok || name == "" {
			wrong("%s: the key %s is not a name", what, kv[0])
			return
		}
		t.rows = append(t.rows, row{name, kv[1]})
	}
}

// assigned is where the top level gives a name its value.
func (s *suite) assigned(name string) syntax.Position {
	for _, stmt := range s.program.Graph.Entry.File.Stmts {
		if a, ok := stmt.(*syntax.AssignStmt); ok {
			if id, ok := a.LHS.(*syntax.Ident); ok && id.Name == name {
				return id.NamePos
			}
		}
	}
	return syntax.Position{}
}

func (s *suite) fullName(t *test, r row) string {
	return strings.TrimSuffix(filepath.ToSlash(s.path)+"/"+t.name+"/"+r.name, "/")
}

func (s *suite) runTest(test *test, r row) Outcome {
	started := now()
	out := Outcome{Name: s.fullName(test, r), File: s.path, Test: test.name, Case: r.name}
	if test.wrong != nil {
		out.At, out.Failures = test.wrong.At, []Failure{*test.wrong}
		return out
	}
	out.At = place(test.fn.Position())
	t := &tester{ctx: s.ctx, suite: s}
	made := len(s.cases())
	left, err := s.call(t, test, r)
	cases := s.cases()[made:]
	if c, ok := r.value.(*testCase); ok {
		cases = append(cases, c)
	}
	out.Millis = float64(now().Sub(started).Microseconds()) / 1000
	if left { // t may still be in use
		for _, c := range cases {
			s.ran[c], s.wanted[c] = true, true
		}
		out.Failures = []Failure{failureOf(s.program, err)}
		return out
	}
	if err != nil {
		t.failures = append(t.failures, failureOf(s.program, err))
	} else {
		t.failures = append(t.failures, t.idle(test, cases)...)
	}
	for _, p := range t.played {
		s.ran[p.c] = true
	}
	for _, c := range cases { // what is wrong with these was reported here
		s.ran[c] = true
		s.wanted[c] = s.wanted[c] || err != nil || t.playedOf(c) == nil
	}
	out.Failures = t.failures
	return out
}

// now measures how long a case took; policies see the virtual clock.
func now() time.Time { return runtime.RealClock{}.Now() }

func (s *suite) call(t *tester, test *test, r row) (left bool, err error) {
	return s.program.CallTest(s.ctx, s.thread(test.name), test.fn, func(ctx context.Context) starlark.Tuple {
		t.ctx = ctx // what the test runs ends with it
		args := starlark.Tuple{t}
		if r.value != nil {
			args = append(args, r.value)
		}
		return args
	})
}

func (s *suite) thread(name string) *starlark.Thread {
	return &starlark.Thread{Name: name, Print: func(thread *starlark.Thread, msg string) {
		if s.cfg.Print != nil {
			s.cfg.Print(place(callers(thread)[0]) + ": " + msg)
		}
	}}
}

// leftover finds tables that no test takes and cases of the top level that no test runs,
// or of which none expects what they want.
func (s *suite) leftover() []Failure {
	var out []Failure
	reported := map[*testCase]bool{}
	globals := s.globals()
	for _, name := range globals.Keys() {
		d, ok := globals[name].(*starlark.Dict)
		if !ok || s.tables[d] {
			continue
		}
		cases := casesOf(d)
		if len(cases) == 0 && name != "CASES" && !strings.HasSuffix(name, "_CASES") {
			continue
		}
		for _, c := range cases {
			reported[c] = !s.ran[c]
		}
		if len(cases) == 0 || slices.ContainsFunc(cases, func(c *testCase) bool { return reported[c] }) {
			out = append(out, Failure{At: place(s.assigned(name)),
				Text: fmt.Sprintf("the table %s is taken by no test, its cases are never run: def test_NAME(t, c = %s)", name, name)})
		}
	}
	for _, c := range s.made[:s.shared] {
		switch {
		case reported[c] || c.pos.Filename() != s.program.Graph.Entry.Name:
		case !s.ran[c]:
			out = append(out, Failure{At: place(c.pos), Text: "this case is never run: t.run(main, c)"})
		case c.wants() && !s.wanted[c]:
			out = append(out, Failure{At: place(c.pos), Text: "what this case wants is never expected: t.expect(run, c)"})
		}
	}
	return out
}

func casesOf(d *starlark.Dict) []*testCase {
	var out []*testCase
	for _, kv := range d.Items() {
		if c, ok := kv[1].(*testCase); ok {
			out = append(out, c)
		}
	}
	return out
}
