package policytest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

// tester is the t of a test: one fake world, one ledger, one clock.
type tester struct {
	ctx    context.Context
	suite  *suite
	given  map[string]any // of the newest case that gives something
	world  *World
	ledger *ledger.Ledger
	clock  *runtime.VirtualClock

	played       []*played // cases, in the order in which they were run
	results      []*result
	expectations int
	failures     []Failure
}

func (*tester) String() string        { return "t" }
func (*tester) Type() string          { return "tester" }
func (*tester) Freeze()               {}
func (*tester) Truth() starlark.Bool  { return true }
func (*tester) Hash() (uint32, error) { return 0, errors.New("unhashable type: tester") }

type builtin = func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)

func (t *tester) methods() map[string]builtin {
	return map[string]builtin{"advance": t.advance, "eq": t.eq, "expect": t.expect, "retry": t.retry, "run": t.run, "steps": t.expectSteps,
		"true": t.isTrue}
}

// AttrNames implements starlark.HasAttrs.
func (t *tester) AttrNames() []string {
	var out starlark.StringDict = map[string]starlark.Value{}
	for name := range t.methods() {
		out[name] = starlark.None
	}
	return out.Keys()
}

// Attr implements starlark.HasAttrs.
func (t *tester) Attr(name string) (starlark.Value, error) {
	fn := t.methods()[name]
	if fn == nil {
		return nil, nil
	}
	return starlark.NewBuiltin("t."+name, fn), nil
}

// open makes the world and the ledger of the test, and changes what a further case gives.
func (t *tester) open(c *testCase) error {
	if t.world == nil || c.given != nil {
		if c.given != nil {
			t.given = c.given
		}
		w, err := t.suite.cfg.World(t.given)
		if err != nil {
			return err
		}
		t.world = &w
	}
	if t.ledger == nil {
		t.ledger, t.clock = ledger.New(ledger.NewMemory()), runtime.NewVirtualClock(firstNight)
	}
	return nil
}

// play begins with a case, or goes on with it.
func (t *tester) play(c *testCase) (*played, error) {
	for _, p := range t.played {
		if p.c == c {
			return p, t.open(c)
		}
	}
	if err := t.open(c); err != nil {
		return nil, err
	}
	if !c.clock.IsZero() {
		t.clock.Set(c.clock)
	}
	if err := c.check(t.suite.cfg.Runtime); err != nil {
		return nil, err
	}
	p := newPlayed(c)
	t.played = append(t.played, p)
	return p, nil
}

func (t *tester) config(p *played, main *starlark.Function, during *meanwhile) (runtime.Config, *script) {
	s := &script{t: t, played: p, during: during, parts: map[string][]map[string]any{}}
	return runtime.Config{
		Program: t.suite.programOf(main), Call: main, Ledger: t.ledger, Clock: t.clock, Mode: runtime.Fake, Args: p.c.args,
		Header:  ledger.Run{ID: fmt.Sprintf("test-%d", t.suite.number()), Host: "test"},
		Demands: t.world.Demands, Allowed: t.world.Allowed, World: t.world.World, Complete: t.suite.cfg.Complete,
		Script: s,
	}, s
}

func (t *tester) run(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var main *starlark.Function
	var v starlark.Value
	var events *starlark.Dict
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "main", &main, "case?", &v, "meanwhile?", &events); err != nil {
		return nil, err
	}
	during, err := t.events(events)
	if err != nil {
		return nil, err
	}
	c, err := caseOf(v)
	if err != nil {
		return nil, err
	}
	p, err := t.play(c)
	if err != nil {
		return nil, err
	}
	cfg, s := t.config(p, main, during)
	var out *runtime.Outcome
	runtime.Away(thread, func() { out, err = runtime.Exec(t.ctx, cfg) })
	if err != nil {
		return nil, err
	}
	during.unused(func(text string) { t.failf(thread, "%s never happened: nothing was done meanwhile", text) })
	return t.result(out, s, callers(thread)[0])
}

func caseOf(v starlark.Value) (*testCase, error) {
	switch v := v.(type) {
	case *testCase:
		return v, nil
	case nil, starlark.NoneType:
		return &testCase{}, nil
	}
	return nil, fmt.Errorf("got %s, want case", v.Type())
}

func (t *tester) retry(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var main *starlark.Function
	var r starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "main", &main, "run", &r); err != nil {
		return nil, err
	}
	old, ok := r.(*result)
	if !ok {
		return nil, fmt.Errorf("t.retry: got %s, want what t.run returned", r.Type())
	}
	cfg, s := t.config(newPlayed(&testCase{}), main, nil)
	var out *runtime.Outcome
	var err error
	runtime.Away(thread, func() { out, err = runtime.RetryRun(t.ctx, cfg, old.id) })
	if err != nil {
		return nil, err
	}
	return t.result(out, s, callers(thread)[0])
}

func (t *tester) advance(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var by string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "by", &by); err != nil {
		return nil, err
	}
	back := strings.HasPrefix(by, "-")
	d, err := runtime.ParseDuration(strings.TrimPrefix(by, "-"))
	if err != nil {
		return nil, err
	}
	if back {
		d = -d
	}
	if err := t.open(&testCase{}); err != nil {
		return nil, err
	}
	t.clock.Set(t.clock.Now().Add(d))
	return starlark.None, nil
}

// idle finds what a test that met with no error left undone: without it, it would pass
// whatever the policy does. made are the cases that it made, or was given.
func (t *tester) idle(test *test, made []*testCase) []Failure {
	var out []Failure
	add := func(at, format string, args ...any) {
		out = append(out, Failure{At: at, Text: fmt.Sprintf(format, args...)})
	}
	for _, c := range made {
		p := t.playedOf(c)
		switch {
		case p == nil:
			add(place(c.pos), "this case is never run: t.run(main, c)")
		case c.wants() && !p.expected && !t.suite.isShared(c):
			add(place(c.pos), "what this case wants is never expected: t.expect(run, c)")
		}
	}
	for _, p := range t.played {
		for _, text := range p.unmet() {
			add(place(p.c.pos), "%s", text)
		}
	}
	for _, r := range t.results {
		if r.ignored() {
			_, lines := r.blame()
			f := Failure{At: place(r.at), Text: "this run failed, and nobody looked at it: t.expect(run, c), run.result or run.error", More: lines}
			out = append(out, f)
		}
	}
	if t.expectations == 0 && len(t.failures) == 0 && len(out) == 0 {
		add(place(test.fn.Position()), "%s ended without any expectation: t.eq, t.true, t.expect or t.steps", test.name)
	}
	return out
}

func (t *tester) playedOf(c *testCase) *played {
	for _, p := range t.played {
		if p.c == c {
			return p
		}
	}
	return nil
}
