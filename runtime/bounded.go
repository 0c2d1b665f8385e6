package runtime

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.starlark.net/starlark"
)

const pulseKey = "runner.pulse"

// bounded runs what a thread does outside a run, within the limits and a time of its own.
// What is ended so says where it was, if the thread could be asked.
func bounded[T any](ctx context.Context, thread *starlark.Thread, limits Limits, wall time.Duration, what string,
	run func(ctx context.Context) (T, error)) (T, error) {
	m := newMeter(limits)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ctx, cancel := RealClock{}.Within(ctx, wall, limitError(what, wall, "--max-time"))
	defer cancel()
	unhook := context.AfterFunc(ctx, func() { thread.Cancel("") })
	defer unhook()
	pulse, done := m.bound(thread, stop, func() error { return context.Cause(ctx) })
	thread.SetLocal(pulseKey, pulse)
	value, err := watched(ctx, m, stop, func() (T, error) {
		defer done()
		return run(ctx)
	})
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = rewrapped(err, cause)
	}
	return value, err
}

// Away tells the bounds of a thread that it is outside Starlark while fn runs, where runs
// are bounded by themselves.
func Away(thread *starlark.Thread, fn func()) {
	pulse, ok := thread.Local(pulseKey).(*pulse)
	if !ok {
		fn()
		return
	}
	pulse.m.calls.Add(1)
	pulse.beat(false)
	defer func() {
		pulse.m.calls.Add(-1)
		pulse.m.left.Add(1)
		pulse.beat(true)
	}()
	fn()
}

// maxTest bounds a function that a test calls, if --max-time does not.
const maxTest = time.Minute

// CallTest calls a function of a file of tests within the limits: ctx of args ends with
// them. What it was doing may go on where it had to be left behind.
func (p *Program) CallTest(ctx context.Context, thread *starlark.Thread, fn *starlark.Function,
	args func(ctx context.Context) starlark.Tuple) (left bool, err error) {
	wall := p.rt.Limits.Wall
	if wall == 0 {
		wall = maxTest
	}
	var ended atomic.Bool
	call := func(ctx context.Context) (starlark.Value, error) {
		defer ended.Store(true)
		return starlark.Call(thread, fn, args(ctx), nil)
	}
	_, err = bounded(ctx, thread, p.rt.Limits.Defaults(), wall, "the running time of a test", call)
	return !ended.Load(), p.placed(err, Frame{Pos: fn.Position(), Name: fn.Name()})
}

// placed is an error with its place; one that has none gets that of what was running.
func (p *Program) placed(err error, running Frame) error {
	var t *Trace
	if err = p.trace(err); err == nil || errors.As(err, &t) {
		return err
	}
	return &Trace{Frames: []Frame{running}, Line: p.line(running.Pos), Err: err}
}
