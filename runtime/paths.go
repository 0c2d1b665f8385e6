package runtime

import (
	"path"
	"slices"

	"github.com/neosofia/runner/runtime/source"
	"go.starlark.net/syntax"
)

// Paths are the absolute paths that stand, as texts, in the files that call a primitive.
func (p *Program) Paths(primitive string) (out []string) {
	for _, m := range p.Graph.Modules {
		calls(m, func(_ *syntax.CallExpr, name string) {
			if name == primitive {
				out = append(out, paths(m)...)
			}
		})
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func paths(m *source.Module) (out []string) {
	syntax.Walk(m.File, func(n syntax.Node) bool {
		if l, ok := n.(*syntax.Literal); ok {
			if text, ok := l.Value.(string); ok && path.IsAbs(text) {
				out = append(out, text)
			}
		}
		return true
	})
	return out
}

// CallsWithout reports whether a call of a primitive names none of some arguments.
func (p *Program) CallsWithout(primitive string, args ...string) (found bool) {
	for _, m := range p.Graph.Modules {
		calls(m, func(call *syntax.CallExpr, name string) {
			found = found || name == primitive && !slices.ContainsFunc(call.Args, func(a syntax.Expr) bool {
				kw, ok := a.(*syntax.BinaryExpr)
				if !ok || kw.Op != syntax.EQ {
					return true // what it holds cannot be seen from here
				}
				return slices.Contains(args, kw.X.(*syntax.Ident).Name)
			})
		})
	}
	return found
}
