package policytest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

func (t *tester) eq(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var got, want starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "got", &got, "want", &want); err != nil {
		return nil, err
	}
	t.expectations++
	same, err := starlark.Equal(got, want)
	if err != nil {
		return nil, err
	}
	if !same {
		f := Failure{Got: got.String(), Want: want.String()}
		f.Text = fmt.Sprintf("got %s, want %s", clip(f.Got, short), clip(f.Want, short))
		if d := difference(got, want); d != "" {
			f.More = append(f.More, "first difference "+d)
		}
		t.fail(thread, t.ofLastRun(f))
	}
	return starlark.Bool(same), nil
}

func (t *tester) isTrue(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value,
	error) {
	var cond starlark.Value
	text := "it is not true"
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "cond", &cond, "text?", &text); err != nil {
		return nil, err
	}
	t.expectations++
	if !cond.Truth() {
		t.fail(thread, t.ofLastRun(Failure{Text: fmt.Sprintf("%s (got %s)", text, clip(cond.String(), short))}))
	}
	return cond.Truth(), nil
}

// ofLastRun adds how the newest run went wrong, which is most often why.
func (t *tester) ofLastRun(f Failure) Failure {
	if len(t.results) == 0 {
		return f
	}
	r := t.results[len(t.results)-1]
	if r.out.Result == ledger.OK {
		return f
	}
	at, lines := r.blame()
	if len(lines) == 0 {
		lines = r.texts()[:min(maxBlame, len(r.texts()))]
	}
	f.Policy = at
	f.More = append(append(f.More, fmt.Sprintf("the newest run, of %s, ended %s", place(r.at), r.out.Result)), lines...)
	return f
}

func (t *tester) expect(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value,
	error) {
	var rv, cv starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "run", &rv, "case", &cv); err != nil {
		return nil, err
	}
	r, isRun := rv.(*result)
	c, isCase := cv.(*testCase)
	if !isRun || !isCase {
		return nil, fmt.Errorf("t.expect: got %s and %s, want a run and a case", rv.Type(), cv.Type())
	}
	t.expectations++
	r.looked = true
	t.suite.expected(c)
	if p := t.playedOf(c); p != nil {
		p.expected = true
	}
	said, want := r.texts(), c.wanted()
	if r.out.Result != want.Result {
		t.fail(thread, r.blamed(c, fmt.Sprintf("the run ended %s, want %s", r.out.Result, want.Result), said...))
	}
	for _, name := range want.Names {
		if !strings.Contains(strings.Join(said, "\n"), name) {
			t.fail(thread, r.blamed(c, fmt.Sprintf("nothing that the run found names %q:", name), said...))
		}
	}
	if c.proven != nil {
		if err := t.checkProven(thread, r, c); err != nil {
			return nil, err
		}
	}
	return starlark.None, t.checkSteps(thread, r, c, c.steps)
}

// blamed is a failure with what the run said, the lines of the policy that failed and the
// case that wants it otherwise.
func (r *result) blamed(c *testCase, text string, said ...string) Failure {
	at, lines := r.blame()
	f := Failure{Text: text, Policy: at}
	for _, line := range said {
		if r.out.Err == nil || line != r.out.Err.Error() { // the first of lines has it, with its place
			f.More = append(f.More, line)
		}
	}
	f.More = append(f.More, lines...)
	if c != nil && c.pos.IsValid() {
		f.More = append(f.More, "wanted by the case at "+c.pos.String())
	}
	return f
}

// checkProven compares the items that are proven as the site demands with those
// that should be.
func (t *tester) checkProven(thread *starlark.Thread, r *result, c *testCase) error {
	cat := ledger.Catalog{Store: t.ledger}
	items, err := ledger.All[ledger.Item](t.ctx, t.ledger, ledger.Query{Kind: ledger.RowItem, Run: r.id})
	if err != nil {
		return err
	}
	var listed []string
	for _, it := range items {
		listed = append(listed, it.Name)
		proven, err := t.proven(cat, it, r)
		if err != nil {
			return err
		}
		if wanted := !slices.Contains(c.proven.Names, it.Name); proven != wanted {
			t.fail(thread, r.blamed(c, fmt.Sprintf("%s: proven as the site demands is %v, want %v", it.Name, proven, wanted)))
		}
	}
	if len(items) == 0 {
		t.fail(thread, r.blamed(c, "the run listed no item: nothing can be proven"))
		return nil
	}
	for _, name := range c.proven.Names {
		if !slices.Contains(listed, name) {
			t.fail(thread, r.blamed(c, fmt.Sprintf("everything_but(%q): the run listed no such item, only %s", name, list(listed))))
		}
	}
	return nil
}

func (t *tester) proven(cat ledger.Catalog, it ledger.Item, r *result) (bool, error) {
	row, _ := t.world.Demands.Asset(it.Asset)
	copies, err := cat.WholeCopies(t.ctx, ledger.Query{Asset: it.Asset, Item: it.Name})
	if err != nil {
		return false, err
	}
	for _, one := range row.Promises() {
		met := false
		for _, d := range one {
			for _, c := range copies {
				met = met || c.Target == d.Target && c.Level >= d.Level && !c.Taken.Before(r.began)
			}
		}
		if !met {
			return false, nil
		}
	}
	return len(row.On) > 0, nil
}

// expectSteps is t.steps.
func (t *tester) expectSteps(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value,
	error) {
	if len(kwargs) > 0 || len(args) < 2 {
		return nil, fmt.Errorf("t.steps: want a run, then exactly(…), among_others(…), in_order(…) or never(…)")
	}
	r, ok := args[0].(*result)
	if !ok {
		return nil, fmt.Errorf("t.steps: got %s, want what t.run returned", args[0].Type())
	}
	wants, err := stepWants("t.steps", args[1:])
	if err != nil {
		return nil, err
	}
	for _, w := range wants {
		if err := w.check(t.suite.cfg.Runtime); err != nil {
			return nil, err
		}
	}
	t.expectations++
	r.seen = true
	return starlark.None, t.checkSteps(thread, r, nil, wants)
}

// maxSteps bounds how many steps a failure lists.
const maxSteps = 20

func (t *tester) checkSteps(thread *starlark.Thread, r *result, c *testCase, wants []stepWant) error {
	if len(wants) == 0 {
		return nil
	}
	steps, err := r.steps()
	if err != nil {
		return err
	}
	for _, w := range wants {
		text := w.lacks(steps)
		if text == "" {
			continue
		}
		made := []string{fmt.Sprintf("the run made %d calls", len(steps))}
		for i, s := range steps {
			if i == maxSteps {
				made = append(made, fmt.Sprintf("and %d more", len(steps)-i))
				break
			}
			made = append(made, s.at+": "+s.String())
		}
		t.fail(thread, r.blamed(c, text, made...))
	}
	return nil
}
