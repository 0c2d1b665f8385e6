package runtime

import (
	"slices"

	"go.starlark.net/syntax"
)

// Paths are the absolute paths that calls of a primitive give to one of its arguments, as
// far as they can be seen from here.
func (p *Program) Paths(primitive, arg string) (out []string) {
	for _, m := range p.Graph.Modules {
		v := valuesOf(m)
		calls(m, func(call *syntax.CallExpr, name string) {
			if name != primitive {
				return
			}
			for _, a := range call.Args {
				switch a := a.(type) {
				case *syntax.BinaryExpr:
					if kw, ok := a.X.(*syntax.Ident); ok && a.Op == syntax.EQ && kw.Name == arg {
						out = append(out, v.paths(a.Y)...)
					}
				case *syntax.UnaryExpr: // **set
					for _, x := range v.of(a.X, deep) {
						if dict, ok := x.(*syntax.DictExpr); ok && a.Op == syntax.STARSTAR {
							out = append(out, v.paths(entries(dict, arg)...)...)
						}
					}
				}
			}
		})
	}
	slices.Sort(out)
	return slices.Compact(out)
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
