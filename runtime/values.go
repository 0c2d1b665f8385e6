package runtime

import (
	"path"

	"github.com/neosofia/runner/runtime/source"
	"go.starlark.net/syntax"
)

// values knows what expressions of a file can be: literals, lists, tuples and dicts.
type values struct {
	scope
	part   map[*syntax.Ident]part        // names of for a, b in …
	params map[*syntax.Ident]*parameters // names that a function gets
	called []*syntax.CallExpr
}

// part is one of the elements that a loop takes apart.
type part struct {
	from syntax.Expr
	at   int
}

// parameters are those of one function.
type parameters struct {
	def  *syntax.DefStmt
	name string
	at   int
	or   syntax.Expr // the default
}

// deep is through how many names and calls a value is followed.
const deep = 12

func valuesOf(m *source.Module) values {
	v := values{scope: scopeOf(m), part: map[*syntax.Ident]part{}, params: map[*syntax.Ident]*parameters{}}
	loop := func(vars, from syntax.Expr) {
		if t, ok := plainExpr(vars).(*syntax.TupleExpr); ok {
			for i, x := range t.List {
				if at := boundAt(x); at != nil {
					v.part[at] = part{from, i}
				}
			}
		}
	}
	syntax.Walk(m.File, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.ForStmt:
			loop(n.Vars, n.X)
		case *syntax.ForClause:
			loop(n.Vars, n.X)
		case *syntax.CallExpr:
			v.called = append(v.called, n)
		case *syntax.DefStmt:
			for i, p := range n.Params {
				if name, def := parameter(p); name != nil && boundAt(name) != nil {
					v.params[boundAt(name)] = &parameters{n, name.Name, i, def}
				}
			}
		}
		return true
	})
	return v
}

// paths are the absolute paths among what expressions can be.
func (v values) paths(list ...syntax.Expr) (out []string) {
	for _, e := range list {
		for _, x := range v.of(e, deep) {
			switch x := x.(type) {
			case *syntax.Literal:
				if text, ok := x.Value.(string); ok && path.IsAbs(text) {
					out = append(out, text)
				}
			case *syntax.ListExpr:
				out = append(out, v.paths(x.List...)...)
			case *syntax.TupleExpr:
				out = append(out, v.paths(x.List...)...)
			}
		}
	}
	return out
}

// of is what an expression can be; what cannot be seen from here is left out.
func (v values) of(e syntax.Expr, depth int) (out []syntax.Expr) {
	if e == nil || depth == 0 { // a name may lead to itself
		return nil
	}
	depth--
	switch e := plainExpr(e).(type) {
	case *syntax.Ident:
		return v.named(e, depth)
	case *syntax.CondExpr:
		return append(v.of(e.True, depth), v.of(e.False, depth)...)
	case *syntax.BinaryExpr:
		if e.Op == syntax.PLUS || e.Op == syntax.PIPE {
			out = append(v.of(e.X, depth), v.of(e.Y, depth)...)
		}
		return out
	case *syntax.IndexExpr:
		return v.entry(e.X, e.Y, depth)
	case *syntax.Comprehension:
		if !e.Curly {
			return []syntax.Expr{&syntax.ListExpr{List: []syntax.Expr{e.Body}}}
		}
	case *syntax.CallExpr:
		return v.result(e, depth)
	case *syntax.Literal, *syntax.ListExpr, *syntax.TupleExpr, *syntax.DictExpr:
		return []syntax.Expr{e}
	}
	return nil
}

// named is what a name can stand for: where it is bound once, or is a parameter.
func (v values) named(e *syntax.Ident, depth int) (out []syntax.Expr) {
	at := boundAt(e)
	if at == nil || v.binds[at] != 1 {
		return nil
	}
	out = v.of(v.from[at], depth)
	if each := v.each[at]; each != nil {
		for _, x := range v.elements(each, depth) {
			out = append(out, v.of(x, depth)...)
		}
	}
	if p, ok := v.part[at]; ok {
		for _, x := range v.elements(p.from, depth) {
			for _, x := range v.of(x, depth) {
				if t, ok := x.(*syntax.TupleExpr); ok && p.at < len(t.List) {
					out = append(out, v.of(t.List[p.at], depth)...)
				}
			}
		}
	}
	p := v.params[at]
	if p == nil {
		return out
	}
	out = append(out, v.of(p.or, depth)...)
	for _, call := range v.called {
		if v.def(call.Fn) == p.def {
			out = append(out, v.of(p.given(call), depth)...)
		}
	}
	return out
}

// given is what a call gives to the parameter; nil where that cannot be seen.
func (p *parameters) given(call *syntax.CallExpr) syntax.Expr {
	for i, a := range call.Args {
		kw, ok := a.(*syntax.BinaryExpr)
		switch {
		case ok && kw.Op == syntax.EQ:
			if kw.X.(*syntax.Ident).Name == p.name {
				return kw.Y
			}
		case i == p.at:
			return a
		}
	}
	return nil
}

// elements are what a loop over an expression meets.
func (v values) elements(e syntax.Expr, depth int) (out []syntax.Expr) {
	for _, x := range v.of(e, depth) {
		switch x := x.(type) {
		case *syntax.ListExpr:
			out = append(out, x.List...)
		case *syntax.TupleExpr:
			out = append(out, x.List...)
		case *syntax.DictExpr:
			for _, entry := range x.List {
				out = append(out, entry.(*syntax.DictEntry).Key)
			}
		}
	}
	return out
}

// entry is what an index can mean: the entry of that name, or any where that is not known.
func (v values) entry(e, index syntax.Expr, depth int) (out []syntax.Expr) {
	for _, x := range v.of(e, depth) {
		var found []syntax.Expr
		switch x := x.(type) {
		case *syntax.DictExpr:
			key := ""
			if lit, ok := plainExpr(index).(*syntax.Literal); ok {
				key, _ = lit.Value.(string)
			}
			found = entries(x, key)
		case *syntax.ListExpr:
			found = x.List
		case *syntax.TupleExpr:
			found = x.List
		}
		for _, x := range found {
			out = append(out, v.of(x, depth)...)
		}
	}
	return out
}

// entries are the values of a dict, those of a key where it is given.
func entries(d *syntax.DictExpr, key string) (out []syntax.Expr) {
	for _, e := range d.List {
		e := e.(*syntax.DictEntry)
		if lit, ok := plainExpr(e.Key).(*syntax.Literal); key == "" || ok && lit.Value == key {
			out = append(out, e.Value)
		}
	}
	return out
}

// result is what a call gives that only hands on what it gets.
func (v values) result(call *syntax.CallExpr, depth int) (out []syntax.Expr) {
	switch builtinName(call.Fn) {
	case "list", "sorted", "tuple", "reversed", "$part": // $part is an operand of +
		if len(call.Args) > 0 {
			return v.of(call.Args[0], depth)
		}
	}
	dot, ok := call.Fn.(*syntax.DotExpr)
	if !ok {
		return nil
	}
	if dot.Name.Name == "get" && len(call.Args) > 0 {
		return v.entry(dot.X, call.Args[0], depth)
	}
	for _, x := range v.of(dot.X, depth) {
		d, ok := x.(*syntax.DictExpr)
		if !ok {
			continue
		}
		var list []syntax.Expr
		for _, e := range d.List {
			e := e.(*syntax.DictEntry)
			switch dot.Name.Name {
			case "keys":
				list = append(list, e.Key)
			case "values":
				list = append(list, e.Value)
			case "items":
				list = append(list, &syntax.TupleExpr{List: []syntax.Expr{e.Key, e.Value}})
			}
		}
		out = append(out, &syntax.ListExpr{List: list})
	}
	return out
}
