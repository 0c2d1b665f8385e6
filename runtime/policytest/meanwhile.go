package policytest

import (
	"fmt"
	"sync"

	"go.starlark.net/starlark"
)

// meanwhile is what a test does while calls of a run are under way. Branches of the
// run go on beside it; one thing is done at a time.
type meanwhile struct {
	mu     sync.Mutex
	events []*event
}

type event struct {
	call
	fn   starlark.Callable
	done bool
}

func (t *tester) events(d *starlark.Dict) (*meanwhile, error) {
	if d == nil {
		return nil, nil
	}
	m := &meanwhile{}
	for _, row := range d.Items() {
		c, err := parseCall(row[0])
		if err != nil {
			return nil, fmt.Errorf("t.run: meanwhile %w", err)
		}
		if _, err := c.known(t.suite.cfg.Runtime); err != nil {
			return nil, fmt.Errorf("t.run: meanwhile %w", err)
		}
		fn, ok := row[1].(starlark.Callable)
		if !ok {
			return nil, fmt.Errorf("t.run: meanwhile %s: got %s, want a function", c.text, row[1].Type())
		}
		m.events = append(m.events, &event{call: c, fn: fn})
	}
	return m, nil
}

// happen does what waits for this call. The test itself waits for the run, so that
// nothing else uses its values.
func (t *tester) happen(m *meanwhile, prim string, args map[string]any) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if e.done || !e.is(prim, args) {
			continue
		}
		e.done = true
		if _, err := starlark.Call(t.suite.thread(e.text), e.fn, nil, nil); err != nil {
			f := failureOf(t.suite.program, err)
			f.Text = "meanwhile " + e.text + ": " + f.Text
			t.failures = append(t.failures, f)
		}
	}
}

// unused names the calls that were never made.
func (m *meanwhile) unused(report func(text string)) {
	if m == nil {
		return
	}
	for _, e := range m.events {
		if !e.done {
			report(e.text)
		}
	}
}
