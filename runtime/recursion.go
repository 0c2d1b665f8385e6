package runtime

import (
	"strings"

	"github.com/neosofia/runner/runtime/source"
	"go.starlark.net/syntax"
)

// A call that a function makes for certain while it runs itself.
type callTo struct {
	pos syntax.Position
	def *syntax.DefStmt
}

// recursion finds functions that call themselves, by way of others too. Starlark ends
// such a run where the function is entered again. What each and parallel call begins
// anew, in a branch of its own.
func (c *checker) recursion(m *source.Module) {
	r := recursion{checker: c, state: map[*syntax.DefStmt]int{}, said: map[*syntax.DefStmt]bool{}}
	syntax.Walk(m.File, func(n syntax.Node) bool {
		if def, ok := n.(*syntax.DefStmt); ok {
			r.visit(def)
		}
		return true
	})
}

type recursion struct {
	*checker
	state map[*syntax.DefStmt]int // 1: on the way, 2: done
	said  map[*syntax.DefStmt]bool
	way   []*syntax.DefStmt
}

func (r *recursion) visit(def *syntax.DefStmt) {
	if r.state[def] != 0 {
		return
	}
	r.state[def] = 1
	r.way = append(r.way, def)
	for _, call := range r.callsIn(def) {
		if r.state[call.def] == 1 {
			r.found(call)
		}
		r.visit(call.def)
	}
	r.way = r.way[:len(r.way)-1]
	r.state[def] = 2
}

func (r *recursion) found(call callTo) {
	if r.said[call.def] {
		return
	}
	r.said[call.def] = true
	first := len(r.way) - 1
	for r.way[first] != call.def {
		first--
	}
	text := call.def.Name.Name + " calls itself"
	if ring := r.way[first:]; len(ring) > 1 {
		var names []string
		for _, def := range ring {
			names = append(names, def.Name.Name)
		}
		text += ": " + strings.Join(append(names, call.def.Name.Name), " -> ")
	}
	r.add(call.pos, text+"; there is no recursion", "use a for loop over a bounded range")
}

// sameThread are the builtins that call a function that they are given, at once.
var sameThread = map[string]bool{"catch": true, "sorted": true, "min": true, "max": true}

func (r *recursion) callsIn(def *syntax.DefStmt) (out []callTo) {
	var visit func(n syntax.Node) bool
	called := func(at syntax.Expr) {
		pos, _ := at.Span()
		if to := r.scope.def(at); to != nil {
			out = append(out, callTo{pos, to})
		}
		if lambda, ok := plainExpr(at).(*syntax.LambdaExpr); ok {
			syntax.Walk(lambda.Body, visit)
		}
	}
	visit = func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DefStmt, *syntax.LambdaExpr:
			return false // called where it is called
		case *syntax.CallExpr:
			called(n.Fn)
			if !sameThread[builtinName(n.Fn)] {
				break
			}
			for _, a := range n.Args {
				if kw, ok := a.(*syntax.BinaryExpr); ok && kw.Op == syntax.EQ {
					a = kw.Y
				}
				called(a)
			}
		}
		return true
	}
	for _, s := range def.Body {
		syntax.Walk(s, visit)
	}
	return out
}
