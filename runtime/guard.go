package runtime

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// The guard pass rewrites what one instruction could blow up, and the poll at
// every 10,000th would see too late: x * y becomes
// $mul(x, y), which refuses before it allocates; x == y becomes $eq(x, y), which
// ends a plan at an unknown value instead of calling it different, as x < y and
// x in y do; x + y, x += y, x % y, str and its like, .join, .replace, .format and
// .extend look at the lengths first (weigh.go). What this cannot see the watch ends
// (watch.go). "$" cannot be spelled in a policy.

type guard struct{ err error }

func guardFile(f *syntax.File) error {
	g := &guard{}
	g.stmts(f.Stmts)
	return g.err
}

func (g *guard) stmts(list []syntax.Stmt) {
	for i, s := range list {
		list[i] = g.stmt(s)
	}
}

func (g *guard) stmt(s syntax.Stmt) syntax.Stmt {
	switch s := s.(type) {
	case *syntax.AssignStmt:
		s.RHS = g.expr(s.RHS)
		if s.Op == syntax.PLUS_EQ {
			s.RHS = g.call("$part", s.OpPos, s.RHS)
		}
		if fn, sign := guarded[s.Op].name, guarded[s.Op].sign; fn != "" {
			if _, ok := s.LHS.(*syntax.Ident); !ok {
				g.fail(s.OpPos, fmt.Sprintf("write x[i] = x[i] %s y: %s= is for plain names", sign, sign))
				return s
			}
			s.Op, s.RHS = syntax.EQ, g.call(fn, s.OpPos, s.LHS, s.RHS)
			return s
		}
		s.LHS = g.expr(s.LHS)
	case *syntax.DefStmt:
		g.params(s.Params)
		g.stmts(s.Body)
	case *syntax.ExprStmt:
		s.X = g.expr(s.X)
	case *syntax.ForStmt:
		s.X = g.expr(s.X)
		g.stmts(s.Body)
	case *syntax.WhileStmt:
		s.Cond = g.expr(s.Cond)
		g.stmts(s.Body)
	case *syntax.IfStmt:
		s.Cond = g.expr(s.Cond)
		g.stmts(s.True)
		g.stmts(s.False)
	case *syntax.ReturnStmt:
		if s.Result != nil {
			s.Result = g.expr(s.Result)
		}
	}
	return s
}

// guarded are the assignments that become calls.
var guarded = map[syntax.Token]struct{ name, sign string }{syntax.STAR_EQ: {"$mul", "*"}, syntax.PERCENT_EQ: {"$format", "%"}}

func (g *guard) params(params []syntax.Expr) {
	for _, p := range params {
		if b, ok := p.(*syntax.BinaryExpr); ok {
			b.Y = g.expr(b.Y)
		}
	}
}

func (g *guard) exprs(list []syntax.Expr) {
	for i, e := range list {
		list[i] = g.expr(e)
	}
}

func (g *guard) expr(e syntax.Expr) syntax.Expr {
	switch e := e.(type) {
	case *syntax.BinaryExpr:
		return g.binary(e)
	case *syntax.CallExpr:
		e.Fn = g.method(e.Fn)
		for i, a := range e.Args {
			if b, ok := a.(*syntax.BinaryExpr); ok && b.Op == syntax.EQ {
				b.Y = g.expr(b.Y)
				continue
			}
			e.Args[i] = g.expr(a)
		}
	case *syntax.Comprehension:
		e.Body = g.expr(e.Body)
		for _, c := range e.Clauses {
			switch c := c.(type) {
			case *syntax.ForClause:
				c.X = g.expr(c.X)
			case *syntax.IfClause:
				c.Cond = g.expr(c.Cond)
			}
		}
	case *syntax.CondExpr:
		e.Cond, e.True, e.False = g.expr(e.Cond), g.expr(e.True), g.expr(e.False)
	case *syntax.DictEntry:
		e.Key, e.Value = g.expr(e.Key), g.expr(e.Value)
	case *syntax.DictExpr:
		g.exprs(e.List)
	case *syntax.DotExpr:
		e.X = g.expr(e.X)
	case *syntax.IndexExpr:
		e.X, e.Y = g.expr(e.X), g.expr(e.Y)
	case *syntax.LambdaExpr:
		g.params(e.Params)
		e.Body = g.expr(e.Body)
	case *syntax.ListExpr:
		g.exprs(e.List)
	case *syntax.ParenExpr:
		e.X = g.expr(e.X)
	case *syntax.SliceExpr:
		for _, x := range []*syntax.Expr{&e.X, &e.Lo, &e.Hi, &e.Step} {
			if *x != nil {
				*x = g.expr(*x)
			}
		}
	case *syntax.TupleExpr:
		g.exprs(e.List)
	case *syntax.UnaryExpr:
		if e.X != nil {
			e.X = g.expr(e.X)
		}
	}
	return e
}

func (g *guard) binary(e *syntax.BinaryExpr) syntax.Expr {
	e.X, e.Y = g.expr(e.X), g.expr(e.Y)
	switch {
	case e.Op == syntax.PLUS:
		e.X, e.Y = g.call("$part", e.OpPos, e.X), g.call("$part", e.OpPos, e.Y)
	case e.Op == syntax.STAR:
		return g.call("$mul", e.OpPos, e.X, e.Y)
	case e.Op == syntax.PERCENT:
		return g.call("$format", e.OpPos, e.X, e.Y)
	case e.Op == syntax.EQL:
		return g.call("$eq", e.OpPos, e.X, e.Y)
	case e.Op == syntax.NEQ:
		return &syntax.UnaryExpr{OpPos: e.OpPos, Op: syntax.NOT, X: g.call("$eq", e.OpPos, e.X, e.Y)}
	case e.Op == syntax.LT, e.Op == syntax.LE, e.Op == syntax.GT, e.Op == syntax.GE, e.Op == syntax.IN, e.Op == syntax.NOT_IN:
		e.X, e.Y = g.call("$known", e.OpPos, e.X), g.call("$known", e.OpPos, e.Y)
	}
	return e
}

// method guards the methods whose result can be large.
func (g *guard) method(fn syntax.Expr) syntax.Expr {
	dot, ok := fn.(*syntax.DotExpr)
	if !ok || results[dot.Name.Name] == nil {
		return g.expr(fn)
	}
	return g.call("$."+dot.Name.Name, dot.Dot, g.expr(dot.X))
}

func (g *guard) call(name string, pos syntax.Position, args ...syntax.Expr) syntax.Expr {
	return &syntax.CallExpr{Fn: &syntax.Ident{NamePos: pos, Name: name}, Lparen: pos, Args: args, Rparen: pos}
}

func (g *guard) fail(pos syntax.Position, text string) {
	if g.err == nil {
		g.err = fmt.Errorf("%s: %s", pos, text)
	}
}

// guards are the functions behind the pass, and those that replace universal
// ones which cannot be bounded from outside.
func guards(l Limits) starlark.StringDict {
	env := starlark.StringDict{
		"$format": starlark.NewBuiltin("%", l.format),
		"$part":   starlark.NewBuiltin("+", l.part),
		"$mul":    starlark.NewBuiltin("*", l.mul),
		"$eq":     starlark.NewBuiltin("==", equal),
		"$known":  starlark.NewBuiltin("compare", known),
		"range":   starlark.NewBuiltin("range", l.rangeOf),
	}
	for name := range results {
		env["$."+name] = starlark.NewBuiltin(name, l.method(name))
	}
	for _, name := range []string{"str", "repr", "print", "fail"} {
		env[name] = starlark.NewBuiltin(name, l.text(name))
	}
	return env
}

func equal(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	for _, a := range args {
		if u := unknownIn(a); u != nil {
			return nil, u.end()
		}
	}
	eq, err := starlark.Equal(args[0], args[1])
	return starlark.Bool(eq), err
}

// known ends a plan at an operand of <, in and their like that is not known:
// Starlark would call it another type, or not there.
func known(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	if u := unknownIn(args[0]); u != nil {
		return nil, u.end()
	}
	return args[0], nil
}

func (l Limits) mul(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	n, isX := args[0].(starlark.Int)
	m, isY := args[1].(starlark.Int)
	var err error
	switch {
	case isX && isY:
		if n.BigInt().BitLen()+m.BigInt().BitLen() > 1<<16 {
			err = limitError("the size of a number in bits", 1<<16, "no flag: use smaller numbers")
		}
	case isX:
		err = l.repetition(args[1], n)
	case isY:
		err = l.repetition(args[0], m)
	}
	if err != nil {
		return nil, err
	}
	return starlark.Binary(syntax.STAR, args[0], args[1])
}

// bytes bounds a string: it takes less room than a list of that length.
func (l Limits) bytes() int { return 16 * l.Range }

// part bounds an operand of +, and so what doubling can make.
func (l Limits) part(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	limit := l.Range
	if _, ok := args[0].(starlark.String); ok {
		limit = l.bytes()
	}
	if starlark.Len(args[0]) > limit {
		return nil, limitError("the length of an operand of +", limit, "--max-range")
	}
	return args[0], nil
}

func (l Limits) repetition(of starlark.Value, times starlark.Int) error {
	size := starlark.Len(of)
	if size <= 0 || times.Sign() <= 0 {
		return nil
	}
	if k, ok := times.Int64(); !ok || int64(size) > int64(l.Range)/k {
		return limitError("the length of a repetition", l.Range, "--max-range")
	}
	return nil
}

func (l Limits) rangeOf(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	v, err := starlark.Call(t, starlark.Universe["range"], args, kwargs)
	if err != nil {
		return nil, err
	}
	if n := starlark.Len(v); n > l.Range {
		return nil, limitError("the length of a range", l.Range, "--max-range")
	}
	return v, nil
}
