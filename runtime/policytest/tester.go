package policytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

// tester is the t of a test: one fake world, one ledger, one clock.
type tester struct {
	ctx      context.Context
	cfg      Config
	name     string
	program  *runtime.Program
	current  *testCase
	world    *World
	ledger   *ledger.Ledger
	clock    *runtime.VirtualClock
	runs     int
	failures []string
}

func (*tester) String() string        { return "t" }
func (*tester) Type() string          { return "tester" }
func (*tester) Freeze()               {}
func (*tester) Truth() starlark.Bool  { return true }
func (*tester) Hash() (uint32, error) { return 0, errors.New("unhashable type: tester") }

// AttrNames implements starlark.HasAttrs.
func (*tester) AttrNames() []string {
	return []string{"advance", "eq", "expect", "retry", "run", "true"}
}

// Attr implements starlark.HasAttrs.
func (t *tester) Attr(name string) (starlark.Value, error) {
	fn := map[string]func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error){
		"advance": t.advance, "eq": t.eq, "expect": t.expect, "retry": t.retry, "run": t.run, "true": t.isTrue,
	}[name]
	if fn == nil {
		return nil, nil
	}
	return starlark.NewBuiltin("t."+name, fn), nil
}

// fail notes a failure at the line of the test.
func (t *tester) fail(thread *starlark.Thread, format string, args ...any) {
	where := ""
	if thread.CallStackDepth() > 1 {
		where = thread.CallFrame(1).Pos.String() + ": "
	}
	t.failures = append(t.failures, where+fmt.Sprintf(format, args...))
}

func (t *tester) open(c *testCase) error {
	if t.world != nil {
		return nil
	}
	w, err := t.cfg.World(c.given)
	if err != nil {
		return err
	}
	t.world, t.ledger, t.clock = &w, ledger.New(ledger.NewMemory()), runtime.NewVirtualClock(c.clock)
	for _, f := range c.faults {
		have, ok := codes(t.cfg.Runtime, f.prim)
		if !ok {
			return fmt.Errorf("fault %s: there is no primitive %s", f.text, f.prim)
		}
		if !strings.Contains(" "+strings.Join(have, " ")+" ", " "+f.code+" ") {
			return fmt.Errorf("fault %s: %s does not declare %s\nhint: it has %s", f.text, f.prim, f.code, strings.Join(have, ", "))
		}
	}
	return nil
}

func (t *tester) config(c *testCase, main *starlark.Function, during *meanwhile) runtime.Config {
	t.runs++
	return runtime.Config{
		Program: t.program.Of(main), Call: main, Ledger: t.ledger, Clock: t.clock, Mode: runtime.Fake, Args: c.args,
		Header:  ledger.Run{ID: fmt.Sprintf("test-%d", t.runs), Host: "test"},
		Demands: t.world.Demands, Allowed: t.world.Allowed, World: t.world.World, Complete: t.cfg.Complete,
		Fault: func(prim string, args map[string]any) error {
			t.happen(during, prim, args)
			return c.fault(prim, args)
		},
	}
}

func (c *testCase) fault(prim string, args map[string]any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		if f.times != 0 && f.is(prim, args) {
			f.hits++
			if f.times > 0 {
				f.times--
			}
			return &failure.Error{Code: failure.Code{Name: f.code}, Doing: f.text, Said: "a fault of the test"}
		}
	}
	return nil
}

// unused names the faults that never happened.
func (t *tester) unused() []string {
	var out []string
	if t.current != nil {
		for _, f := range t.current.faults {
			if f.hits == 0 {
				out = append(out, fmt.Sprintf("the fault %s never happened: no such call was made", f.text))
			}
		}
	}
	return out
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
	c, err := t.caseOf(v)
	if err != nil {
		return nil, err
	}
	if err := t.open(c); err != nil {
		return nil, err
	}
	out, err := runtime.Exec(t.ctx, t.config(c, main, during))
	if err != nil {
		return nil, err
	}
	during.unused(func(text string) { t.fail(thread, "%s never happened: nothing was done meanwhile", text) })
	return t.result(out)
}

func (t *tester) caseOf(v starlark.Value) (*testCase, error) {
	switch v := v.(type) {
	case *testCase:
		t.current = v
		return v, nil
	case nil, starlark.NoneType:
		made, err := makeCase(nil, starlark.NewBuiltin("case", makeCase), nil, nil)
		if err != nil {
			return nil, err
		}
		return made.(*testCase), nil
	}
	return nil, fmt.Errorf("got %s, want case", v.Type())
}

func (t *tester) retry(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var main *starlark.Function
	var r starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "main", &main, "run", &r); err != nil {
		return nil, err
	}
	old, ok := r.(*result)
	if !ok {
		return nil, fmt.Errorf("t.retry: got %s, want what t.run returned", r.Type())
	}
	c, err := t.caseOf(nil)
	if err != nil {
		return nil, err
	}
	out, err := runtime.RetryRun(t.ctx, t.config(c, main, nil), old.id)
	if err != nil {
		return nil, err
	}
	return t.result(out)
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
	c, err := t.caseOf(nil)
	if err != nil {
		return nil, err
	}
	if err := t.open(c); err != nil {
		return nil, err
	}
	t.clock.Set(t.clock.Now().Add(d))
	return starlark.None, nil
}

func (t *tester) eq(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var got, want starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "got", &got, "want", &want); err != nil {
		return nil, err
	}
	same, err := starlark.Equal(got, want)
	if err != nil {
		return nil, err
	}
	if !same {
		t.fail(thread, "got %s, want %s", got, want)
	}
	return starlark.Bool(same), nil
}

func (t *tester) isTrue(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var cond starlark.Value
	text := "it is not true"
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "cond", &cond, "text?", &text); err != nil {
		return nil, err
	}
	if !cond.Truth() {
		t.fail(thread, "%s (got %s)", text, cond)
	}
	return cond.Truth(), nil
}

func (t *tester) expect(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var rv, cv starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "run", &rv, "case", &cv); err != nil {
		return nil, err
	}
	r, isRun := rv.(*result)
	c, isCase := cv.(*testCase)
	if !isRun || !isCase {
		return nil, fmt.Errorf("t.expect: got %s and %s, want a run and a case", rv.Type(), cv.Type())
	}
	said := r.texts()
	if r.out.Result != c.want.Result {
		t.fail(thread, "the run ended %s, want %s\n  %s", r.out.Result, c.want.Result, strings.Join(said, "\n  "))
	}
	for _, name := range c.want.Names {
		if !strings.Contains(strings.Join(said, "\n"), name) {
			t.fail(thread, "nothing that the run found names %q:\n  %s", name, strings.Join(said, "\n  "))
		}
	}
	if c.proven != nil {
		return starlark.None, t.checkProven(thread, r, c.proven.Names)
	}
	return starlark.None, nil
}

// checkProven compares the items that are proven as the site demands with those
// that should be.
func (t *tester) checkProven(thread *starlark.Thread, r *result, but []string) error {
	cat := ledger.Catalog{Store: t.ledger}
	items, err := ledger.All[ledger.Item](t.ctx, t.ledger, ledger.Query{Kind: ledger.RowItem, Run: r.id})
	if err != nil {
		return err
	}
	for _, it := range items {
		proven, err := t.proven(cat, it, r)
		if err != nil {
			return err
		}
		wanted := !strings.Contains(" "+strings.Join(but, " ")+" ", " "+it.Name+" ")
		if proven != wanted {
			t.fail(thread, "%s: proven as the site demands is %v, want %v", it.Name, proven, wanted)
		}
	}
	if len(items) == 0 {
		t.fail(thread, "the run listed no item: nothing can be proven")
	}
	return nil
}

func (t *tester) proven(cat ledger.Catalog, it ledger.Item, r *result) (bool, error) {
	row, _ := t.world.Demands.Asset(it.Asset)
	copies, err := cat.WholeCopies(t.ctx, ledger.Query{Asset: it.Asset, Item: it.Name})
	if err != nil {
		return false, err
	}
	for _, d := range row.On {
		met := false
		for _, c := range copies {
			met = met || c.Target == d.Target && c.Level >= d.Level && !c.Taken.Before(r.began)
		}
		if !met {
			return false, nil
		}
	}
	return len(row.On) > 0, nil
}

func jsonValue(v any) (starlark.Value, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return runtime.FromJSON(raw)
}
