package runtime

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"go.starlark.net/starlark"
)

// branch is one Starlark thread of a run and counts its calls.
type branch struct {
	run  *Run
	path string
	n    int
	ctx  context.Context

	depth int    // of each and parallel around it
	pulse *pulse // of its thread
}

const branchKey = "runner.branch"

// next gives the id of the next call of this thread.
func (b *branch) next() string {
	id := fmt.Sprintf("%s/%d", b.path, b.n)
	b.n++
	return id
}

// call runs a function in a thread of its own.
func (b *branch) call(ctx context.Context, fn starlark.Callable, args starlark.Tuple, kwargs []starlark.Tuple) (v starlark.Value,
	err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b.ctx = ctx
	thread := &starlark.Thread{Name: b.path, Print: func(_ *starlark.Thread, msg string) {
		b.pulse.beat(false) // who reads it may be slow
		b.run.observe(Event{Kind: EventPrint, Step: b.path, Text: msg})
		b.pulse.beat(true)
	}}
	thread.SetLocal(branchKey, b)
	pulse, done := b.run.meter.bound(thread, func(err error) { cancel(err) }, func() error { return context.Cause(ctx) })
	defer done()
	b.pulse = pulse
	unhook := context.AfterFunc(ctx, func() { thread.Cancel(fmt.Sprint(context.Cause(ctx))) })
	defer unhook()
	defer func() {
		if p := recover(); p != nil {
			end, ok := p.(*planEnd)
			if !ok {
				panic(p)
			}
			err = b.run.cfg.Program.trace(&Trace{Frames: frames(end.stack), Err: end})
		}
	}()
	v, err = starlark.Call(thread, fn, args, kwargs)
	if err == nil {
		return v, nil
	}
	if cause := context.Cause(ctx); cause != nil && strings.Contains(err.Error(), "cancelled") {
		err = rewrapped(err, cause)
	}
	return nil, b.run.cfg.Program.trace(err)
}

// rewrapped puts the reason of a cancellation in the place of Starlark's words.
func rewrapped(err, cause error) error {
	var eval *starlark.EvalError
	if !errors.As(err, &eval) {
		return cause
	}
	return &Trace{Frames: frames(eval.CallStack), Err: cause}
}

func branchOf(t *starlark.Thread, name string) (*branch, error) {
	b, ok := t.Local(branchKey).(*branch)
	if !ok {
		return nil, fmt.Errorf("%s: primitives may run only inside main", name)
	}
	return b, nil
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func hasParam(fn *starlark.Function, name string) bool {
	for i := range fn.NumParams() {
		if p, _ := fn.Param(i); p == name {
			return true
		}
	}
	return fn.HasKwargs()
}

func paramList(fn *starlark.Function) string {
	var names []string
	for i := range fn.NumParams() {
		p, _ := fn.Param(i)
		names = append(names, p)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
