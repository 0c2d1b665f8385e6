package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

// The rules are worth what they find.
func TestTheRulesFindWhatTheyLookFor(t *testing.T) {
	const text = `package p

import (
	"context"
	clock "time"
)

var seen = map[string]int{}
var count int
var list []string

func f(ctx context.Context) {
	seen["a"] = 1
	count++
	delete(seen, "a")
	p := &count
	list = append(list, "a")
	func() { seen["b"]++ }()
	*p, _ = 1, clock.Now()
	ctx, _ = context.WithTimeout(ctx, 1)
	list := []string{}
	list = append(list, "local")
	for seen := range list {
		seen++
	}
	var time struct{ Now func() }
	time.Now()
}
`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := source{"p/p.go", f, fset, false}
	var writes []string
	s.writes(globalsOf(t, []source{s}), func(_ ast.Node, name string) { writes = append(writes, name) })
	if want := []string{"seen", "count", "seen", "count", "list", "seen"}; !slices.Equal(writes, want) {
		t.Errorf("writes to globals: got %v, want %v", writes, want)
	}
	var calls []string
	s.selectors(func(_ ast.Node, what string) {
		if clockCalls[what] {
			calls = append(calls, what)
		}
	})
	if want := []string{"time.Now", "context.WithTimeout"}; !slices.Equal(calls, want) {
		t.Errorf("uses of the clock: got %v, want %v", calls, want)
	}
}
