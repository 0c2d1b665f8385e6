package runtime

import (
	"errors"
	"fmt"
	"strings"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

type starlarkFunc = func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)

// controls are the functions of policies that steer and have no effect of their
// own. parallel and each count as calls of their thread.
var controls = map[string]starlarkFunc{"parallel": parallel, "each": each, "catch": catch}

type branchOutcome struct {
	value starlark.Value
	err   error
}

// fanOut runs callables in branches of their own and waits for all of them.
func fanOut(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (*branch, []branchOutcome, error) {
	parent, err := branchOf(t, b.Name())
	if err != nil {
		return nil, nil, err
	}
	var list starlark.Iterable
	width := 0
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "calls", &list, "max?", &width); err != nil {
		return nil, nil, err
	}
	limit := parent.run.limits.Parallel
	switch {
	case parent.depth >= maxFan:
		err := limitError("the depth of "+b.Name(), maxFan, "")
		err.Hint = "no flag raises it: write functions that call primitives one after the other"
		return nil, nil, err
	case width < 0:
		return nil, nil, fmt.Errorf("%s: max is %d, want 1 or more", b.Name(), width)
	case width > limit:
		return nil, nil, limitError("max of "+b.Name(), limit, "--max-parallel")
	case width == 0:
		width = limit
	}
	var fns []starlark.Callable
	iter := list.Iterate()
	defer iter.Done()
	var v starlark.Value
	for iter.Next(&v) {
		fn, ok := v.(starlark.Callable)
		if !ok {
			return nil, nil, fmt.Errorf("%s: element %d: got %s, want a function: write lambda: …", b.Name(), len(fns), v.Type())
		}
		if err := freeze(fn); err != nil { // its cells too: branches share nothing that changes
			return nil, nil, err
		}
		fns = append(fns, fn)
	}
	id := parent.next()
	parent.pulse.beat(false)
	defer parent.pulse.beat(true)
	return parent, parent.run.fan(parent, id, width, fns), nil
}

func (r *Run) fan(parent *branch, id string, width int, fns []starlark.Callable) []branchOutcome {
	out := make([]branchOutcome, len(fns))
	branches := make([]func(), len(fns))
	for i, fn := range fns {
		branches[i] = func() {
			b := &branch{run: r, path: fmt.Sprintf("%s[%d]", id, i), depth: parent.depth + 1}
			v, err := b.call(parent.ctx, fn, nil, nil)
			if v != nil && err == nil {
				err = freeze(v)
			}
			out[i] = branchOutcome{v, err}
			if err != nil && fatal(err) && r.stop != nil {
				r.stop(err)
			}
		}
	}
	r.engine.Wait(r.engine.Go(width, branches))
	return out
}

// parallel runs calls that need one another's success: results in the order of
// the list, or the error of the first that failed; siblings finish.
func parallel(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	_, outcomes, err := fanOut(t, b, args, kwargs)
	if err != nil {
		return nil, err
	}
	values := make([]starlark.Value, len(outcomes))
	for i, o := range outcomes {
		if o.err != nil {
			return nil, o.err
		}
		values[i] = o.value
	}
	list := starlark.NewList(values)
	list.Freeze()
	return list, nil
}

// each runs independent procedures: all of them run, and a failure of one fails
// the run without keeping the others from their work.
func each(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	parent, outcomes, err := fanOut(t, b, args, kwargs)
	if err != nil {
		return nil, err
	}
	values := make([]starlark.Value, len(outcomes))
	for i, o := range outcomes {
		var end *planEnd
		switch {
		case errors.As(o.err, &end):
			parent.pulse.beat(false)
			parent.run.observe(Event{Kind: EventLog, Step: parent.path, Text: o.err.Error()})
			parent.pulse.beat(true)
		case o.err != nil && fatal(o.err):
			return nil, o.err
		case o.err != nil:
			parent.run.find(failureFinding(o.err))
		}
		values[i] = outcomeValue(o.value, o.err)
	}
	list := starlark.NewList(values)
	list.Freeze()
	return list, nil
}

func failureFinding(err error) ledger.Finding {
	text, hint, _ := strings.Cut(err.Error(), "\nhint: ")
	return ledger.Finding{Severity: ledger.Failed, Text: text, Hint: strings.ReplaceAll(hint, "\nhint: ", "; ")}
}

// catch calls a function and returns struct(ok, value, error); only codes that
// a primitive declares are caught.
func catch(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var fn starlark.Callable
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "fn", &fn); err != nil {
		return nil, err
	}
	br, err := branchOf(t, b.Name())
	if err != nil {
		return nil, err
	}
	v, err := starlark.Call(t, fn, nil, nil)
	if err == nil {
		return outcomeValue(v, nil), nil
	}
	if !br.run.cfg.Program.rt.declares(failure.CodeOf(err).Name) {
		return nil, err
	}
	return outcomeValue(nil, br.run.cfg.Program.trace(err)), nil
}

func (rt *Runtime) declares(code string) bool {
	if code == "" {
		return false
	}
	for _, d := range rt.Primitives {
		for _, c := range d.Info().Codes {
			if c.Name == code {
				return true
			}
		}
	}
	return false
}

// outcomeValue is struct(ok, value, error); error has code and message.
func outcomeValue(v starlark.Value, err error) starlark.Value {
	if v == nil {
		v = starlark.None
	}
	o := &Object{typ: "outcome", attrs: starlark.StringDict{"ok": starlark.Bool(err == nil), "value": v, "error": starlark.None}}
	if err != nil {
		f := failureOf(err)
		o.attrs["error"] = &Object{typ: "error",
			attrs: starlark.StringDict{"code": starlark.String(f.Code), "message": starlark.String(f.Message),
				"position": starlark.String(f.Position)}}
	}
	return o
}
