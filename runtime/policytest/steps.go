package policytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

// stepWant is what exactly(…), among_others(…), in_order(…) and never(…) return.
type stepWant struct {
	how   string
	calls []call
}

// StarlarkType implements runtime.TypeNamed.
func (stepWant) StarlarkType() string { return "steps" }

func (w stepWant) check(rt *runtime.Runtime) error {
	for _, c := range w.calls {
		if _, err := c.known(rt); err != nil {
			return fmt.Errorf("%s: %w", w.how, err)
		}
	}
	return nil
}

// stepsOf makes the four words.
func stepsOf(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(kwargs) > 0 {
		return nil, fmt.Errorf("%s: takes calls only", b.Name())
	}
	w := stepWant{how: b.Name()}
	for _, a := range args {
		c, err := parseCall(a)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.Name(), err)
		}
		w.calls = append(w.calls, c)
	}
	if len(w.calls) == 0 && w.how != "exactly" {
		return nil, fmt.Errorf("%s: names no call: it would always hold", b.Name())
	}
	return runtime.NewOpaque(w), nil
}

// stepWants takes one of them, or a list.
func stepWants(fn string, v starlark.Value) ([]stepWant, error) {
	values := []starlark.Value{v}
	if l, ok := v.(starlark.Iterable); ok {
		values = slices.Collect(starlark.Elements(l))
	}
	var out []stepWant
	for _, v := range values {
		o, _ := v.(runtime.Opaque)
		w, ok := o.Value().(stepWant)
		if !ok {
			return nil, fmt.Errorf("%s: for steps: got %s, want exactly(…), among_others(…), in_order(…) or never(…)", fn, v.Type())
		}
		out = append(out, w)
	}
	return out, nil
}

// step is one call that a run made.
type step struct {
	id, prim, at string
	args         map[string]any
	parts        []map[string]any
	ok           bool
	code, said   string
}

func (s step) is(c call) bool {
	if c.is(s.prim, s.args) {
		return true
	}
	return slices.ContainsFunc(s.parts, func(part map[string]any) bool {
		both := maps.Clone(s.args)
		maps.Copy(both, part)
		return c.is(s.prim, both)
	})
}

func (s step) String() string {
	var args []string
	for _, k := range slices.Sorted(maps.Keys(s.args)) {
		switch v := s.args[k].(type) {
		case nil, map[string]any: // an artifact says nothing to a reader
		case []any:
			args = append(args, fmt.Sprintf("%s=[%d]", k, len(v)))
		default:
			args = append(args, clip(fmt.Sprintf("%s=%v", k, v), 60))
		}
	}
	return s.prim + "(" + strings.Join(args, ", ") + ")"
}

// lacks says how the steps of a run differ from what is wanted; "" is not at all.
func (w stepWant) lacks(steps []step) string {
	switch w.how {
	case "never":
		for _, s := range steps {
			for _, c := range w.calls {
				if s.is(c) {
					return fmt.Sprintf("never(%s): the run made it, %s", c.text, s)
				}
			}
		}
		return ""
	case "in_order":
		return w.disordered(steps)
	}
	taken, missing := w.match(steps)
	if len(missing) > 0 {
		return fmt.Sprintf("%s: the run did not make %s", w.how, strings.Join(missing, ", "))
	}
	if w.how == "exactly" && len(steps) > len(taken) {
		var more []string
		for i, s := range steps {
			if _, ok := taken[i]; !ok {
				more = append(more, s.String())
			}
		}
		return "exactly: the run also made " + strings.Join(more, ", ")
	}
	return ""
}

func (w stepWant) disordered(steps []step) string {
	rest, last := steps, ""
	for _, c := range w.calls {
		i := slices.IndexFunc(rest, func(s step) bool { return s.is(c) })
		switch {
		case i < 0 && slices.ContainsFunc(steps, func(s step) bool { return s.is(c) }):
			return fmt.Sprintf("in_order: the run did not make %s after %s", c.text, last)
		case i < 0:
			return fmt.Sprintf("in_order: the run did not make %s", c.text)
		}
		rest, last = rest[i+1:], c.text
	}
	return ""
}

// match gives every call that is wanted a step of its own, where there is a way to.
func (w stepWant) match(steps []step) (taken map[int]int, missing []string) {
	taken = map[int]int{}
	var place func(want int, tried map[int]bool) bool
	place = func(want int, tried map[int]bool) bool {
		for i, s := range steps {
			if tried[i] || !s.is(w.calls[want]) {
				continue
			}
			tried[i] = true
			if other, ok := taken[i]; !ok || place(other, tried) {
				taken[i] = want
				return true
			}
		}
		return false
	}
	for want, c := range w.calls {
		if !place(want, map[int]bool{}) {
			missing = append(missing, c.text)
		}
	}
	return taken, missing
}

// steps reads what a run did, in the order in which the policy says it: branches of each
// and parallel follow one another.
func (t *tester) steps(run string, s *script) ([]step, error) {
	begun := map[string]ledger.Begin{}
	ended := map[string]step{}
	err := t.ledger.Entries(t.ctx, ledger.Filter{Run: run}, func(e ledger.Entry) error {
		switch e.Type {
		case ledger.StepBegin:
			var b ledger.Begin
			if err := e.Decode(&b); err != nil {
				return err
			}
			begun[e.Step] = b
		case ledger.StepEnd:
			var end ledger.End
			if err := e.Decode(&end); err != nil {
				return err
			}
			if end.Call != nil {
				begun[e.Step] = *end.Call
			}
			b := begun[e.Step]
			done := step{id: e.Step, prim: b.Primitive, at: b.Position, ok: end.OK, parts: s.partsOf(e.Step)}
			if end.Failure != nil {
				done.code, done.said = end.Failure.Code, end.Failure.Message
			}
			ended[e.Step] = done
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := slices.Collect(maps.Values(ended))
	for i := range out {
		if err := json.Unmarshal(begun[out[i].id].Args, &out[i].args); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b step) int { return slices.Compare(numbers(a.id), numbers(b.id)) })
	return out, nil
}

// numbers are those of a step's id, "/2[0]/1", in which the order lies.
func numbers(id string) []int {
	var out []int
	for _, part := range strings.FieldsFunc(id, func(r rune) bool { return r < '0' || r > '9' }) {
		n, _ := strconv.Atoi(part)
		out = append(out, n)
	}
	return out
}
