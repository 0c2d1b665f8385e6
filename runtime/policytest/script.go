package policytest

import (
	"fmt"
	"sync"
	"time"

	"github.com/neosofia/runner/runtime/failure"
)

// firstNight is when a test begins whose case does not say.
var firstNight = time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)

// played is what became of a case in one test: how often its faults happen, and which of
// its answers were asked for.
type played struct {
	c        *testCase
	expected bool // t.expect was asked

	mu    sync.Mutex // branches meet faults at once
	left  []int
	hits  []int
	asked []int
}

func newPlayed(c *testCase) *played {
	p := &played{c: c, left: make([]int, len(c.faults)), hits: make([]int, len(c.faults)), asked: make([]int, len(c.answers))}
	for i, f := range c.faults {
		p.left[i] = f.times
	}
	return p
}

func (p *played) fault(prim string, args map[string]any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, f := range p.c.faults {
		if p.left[i] == 0 || !f.is(prim, args) {
			continue
		}
		p.hits[i]++
		if p.left[i] > 0 {
			p.left[i]--
		}
		return &failure.Error{Code: failure.Code{Name: f.code}, Doing: f.text, Said: "a fault of the test"}
	}
	return nil
}

func (p *played) answer(prim string, args map[string]any) (any, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, a := range p.c.answers {
		if a.is(prim, args) {
			p.asked[i]++
			return a.value, true
		}
	}
	return nil, false
}

// unmet names the faults that never happened and the answers that nobody asked for.
func (p *played) unmet() []string {
	var out []string
	for i, f := range p.c.faults {
		if p.hits[i] == 0 {
			out = append(out, fmt.Sprintf("the fault %s never happened: no such call was made", f.text))
		}
	}
	for i, a := range p.c.answers {
		if p.asked[i] == 0 {
			out = append(out, fmt.Sprintf("the answer %s was never asked for: no such call was made", a.text))
		}
	}
	return out
}

// script is what the calls of one run meet with.
type script struct {
	t      *tester
	played *played
	during *meanwhile

	mu    sync.Mutex
	parts map[string][]map[string]any // of calls, by step
}

// Fault implements runtime.Script.
func (s *script) Fault(step, prim string, args map[string]any) error {
	s.t.happen(s.during, prim, args)
	s.mu.Lock()
	s.parts[step] = append(s.parts[step], args)
	s.mu.Unlock()
	return s.played.fault(prim, args)
}

// Answer implements runtime.Script.
func (s *script) Answer(prim string, args map[string]any) (any, bool) {
	return s.played.answer(prim, args)
}

func (s *script) partsOf(step string) []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts[step]
}
