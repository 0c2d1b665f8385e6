package runtime

import (
	"slices"
	"strings"

	"github.com/neosofia/runner/runtime/source"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// attributes finds x.name where x is known and has no such attribute: a module, a
// function, a literal, a moment.
func (c *checker) attributes(m *source.Module) {
	syntax.Walk(m.File, func(n syntax.Node) bool {
		dot, ok := n.(*syntax.DotExpr)
		if !ok {
			return true
		}
		what, value := c.value(dot.X)
		if value == nil {
			return true
		}
		var have []string
		if attrs, ok := value.(starlark.HasAttrs); ok {
			have = attrs.AttrNames()
		}
		if slices.Contains(have, dot.Name.Name) {
			return true
		}
		text, hint := what+" has no attribute "+dot.Name.Name+nearest(dot.Name.Name, have), ""
		if len(have) > 0 && len(have) < 20 {
			hint = what + " has " + strings.Join(have, ", ")
		}
		if what == "time" && dot.Name.Name == "now" {
			text, hint = "time has no attribute now", "the time of the run is now()"
		}
		c.add(dot.Name.NamePos, text, hint)
		return true
	})
}

// value is one that has the attributes of an expression, and what to call it; nil where
// the expression is not known before it runs.
func (c *checker) value(e syntax.Expr) (what string, v starlark.Value) {
	if name := builtinName(e); name != "" {
		if v = c.env[name]; v == nil {
			v = starlark.Universe[name]
		}
		return name, v
	}
	if def := c.scope.def(e); def != nil {
		return def.Name.Name + ", a function,", starlark.None
	}
	switch e := plainExpr(e).(type) {
	case *syntax.Literal:
		switch e.Token {
		case syntax.STRING:
			return "a string", starlark.String("")
		case syntax.INT, syntax.FLOAT:
			return "a number", starlark.None
		}
	case *syntax.ListExpr:
		return "a list", starlark.NewList(nil)
	case *syntax.DictExpr:
		return "a dict", starlark.NewDict(0)
	case *syntax.TupleExpr:
		return "a tuple", starlark.None
	case *syntax.Comprehension:
		if e.Curly {
			return "a dict", starlark.NewDict(0)
		}
		return "a list", starlark.NewList(nil)
	case *syntax.CallExpr:
		if c.prims[builtinName(e.Fn)].Returns == "time" {
			return "a time", Time{}
		}
	}
	return "", nil
}
