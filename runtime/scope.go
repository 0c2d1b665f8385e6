package runtime

import (
	"fmt"
	"strings"

	"github.com/neosofia/runner/runtime/source"
	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// scope knows the names of a file by the place that binds them first: the resolver
// gives the same place to every use, in whatever function it stands.
type scope struct {
	binds map[*syntax.Ident]int         // how often a name is bound
	uses  map[*syntax.Ident]int         // how often it is read
	param map[*syntax.Ident]bool        // it is a parameter
	calls map[*syntax.Ident]bool        // it is called
	from  map[*syntax.Ident]syntax.Expr // its value, where an assignment or a default gives one
	each  map[*syntax.Ident]syntax.Expr // what a loop takes it from
	defs  map[*syntax.Ident]*syntax.DefStmt
}

func bindingOf(e syntax.Expr) *resolve.Binding {
	if id, ok := plainExpr(e).(*syntax.Ident); ok {
		if b, ok := id.Binding.(*resolve.Binding); ok {
			return b
		}
	}
	return nil
}

// boundAt is the place that binds a name first; nil for a builtin and for what is not a name.
func boundAt(e syntax.Expr) *syntax.Ident {
	if b := bindingOf(e); b != nil {
		return b.First
	}
	return nil
}

// builtinName is the name of a builtin that an expression is; "" is anything else.
func builtinName(e syntax.Expr) string {
	if b := bindingOf(e); b != nil && (b.Scope == resolve.Predeclared || b.Scope == resolve.Universal) {
		return plainExpr(e).(*syntax.Ident).Name
	}
	return ""
}

// plainExpr is an expression without the parentheses around it.
func plainExpr(e syntax.Expr) syntax.Expr {
	for {
		p, ok := e.(*syntax.ParenExpr)
		if !ok {
			return e
		}
		e = p.X
	}
}

// targets visits the names that an assignment or a loop binds.
func targets(e syntax.Expr, visit func(*syntax.Ident)) {
	switch e := plainExpr(e).(type) {
	case *syntax.Ident:
		visit(e)
	case *syntax.TupleExpr:
		for _, x := range e.List {
			targets(x, visit)
		}
	case *syntax.ListExpr:
		for _, x := range e.List {
			targets(x, visit)
		}
	}
}

// parameter is the name that a parameter binds, and its default.
func parameter(p syntax.Expr) (name *syntax.Ident, def syntax.Expr) {
	switch p := p.(type) {
	case *syntax.Ident:
		return p, nil
	case *syntax.BinaryExpr:
		return p.X.(*syntax.Ident), p.Y
	case *syntax.UnaryExpr:
		name, _ = p.X.(*syntax.Ident) // a lone * has none
	}
	return name, nil
}

func scopeOf(m *source.Module) scope {
	s := scope{binds: map[*syntax.Ident]int{}, uses: map[*syntax.Ident]int{}, param: map[*syntax.Ident]bool{}, calls: map[*syntax.Ident]bool{},
		from: map[*syntax.Ident]syntax.Expr{}, each: map[*syntax.Ident]syntax.Expr{}, defs: map[*syntax.Ident]*syntax.DefStmt{}}
	binding := map[*syntax.Ident]bool{} // the very places that bind
	bind := func(id *syntax.Ident) {
		if at := boundAt(id); at != nil {
			binding[id] = true
			s.binds[at]++
		}
	}
	params := func(list []syntax.Expr, lambda bool) {
		for _, p := range list {
			name, def := parameter(p)
			if name == nil {
				continue
			}
			bind(name)
			s.param[name] = true
			if def != nil && lambda { // lambda g = g: ... keeps the g of its loop
				s.from[name] = def
			}
		}
	}
	syntax.Walk(m.File, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.AssignStmt:
			targets(n.LHS, bind)
			if at := boundAt(n.LHS); at != nil && n.Op == syntax.EQ {
				s.from[at] = n.RHS
			}
		case *syntax.ForStmt:
			targets(n.Vars, bind)
			if at := boundAt(n.Vars); at != nil {
				s.each[at] = n.X
			}
		case *syntax.ForClause:
			targets(n.Vars, bind)
			if at := boundAt(n.Vars); at != nil {
				s.each[at] = n.X
			}
		case *syntax.DefStmt:
			bind(n.Name)
			s.defs[boundAt(n.Name)] = n
			params(n.Params, false)
		case *syntax.LambdaExpr:
			params(n.Params, true)
		case *syntax.LoadStmt:
			for _, to := range n.To {
				bind(to)
			}
		}
		return true
	})
	syntax.Walk(m.File, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok {
			s.calls[boundAt(call.Fn)] = true
		}
		if id, ok := n.(*syntax.Ident); ok && !binding[id] {
			if at := boundAt(id); at != nil {
				s.uses[at]++
			}
		}
		return true
	})
	return s
}

// def is the function that an expression certainly is; nil is anything else.
func (s scope) def(e syntax.Expr) *syntax.DefStmt {
	if at := boundAt(e); at != nil && s.binds[at] == 1 {
		return s.defs[at]
	}
	return nil
}

// texts visits the literals that an expression can be, as far as they can be seen from
// here: in lists, through names that are bound once, and, as one of several, from the
// list of a loop or the branches of a condition.
func (s scope) texts(e syntax.Expr, visit func(lit *syntax.Literal, oneOf bool)) {
	s.literals(e, false, 8, visit)
}

func (s scope) literals(e syntax.Expr, oneOf bool, depth int, visit func(*syntax.Literal, bool)) {
	if depth == 0 { // a name may lead to itself
		return
	}
	all := func(oneOf bool, list ...syntax.Expr) {
		for _, x := range list {
			if x != nil {
				s.literals(x, oneOf, depth-1, visit)
			}
		}
	}
	switch e := plainExpr(e).(type) {
	case *syntax.Literal:
		visit(e, oneOf)
	case *syntax.ListExpr:
		all(oneOf, e.List...)
	case *syntax.TupleExpr:
		all(oneOf, e.List...)
	case *syntax.CondExpr:
		all(true, e.True, e.False)
	case *syntax.Ident:
		if at := boundAt(e); at != nil && s.binds[at] == 1 {
			all(oneOf, s.from[at])
			all(true, s.each[at])
		}
	}
}

// bindings finds loads that are not used, names that hide a builtin, and names that are
// read before they are assigned.
func (c *checker) bindings(m *source.Module) {
	for _, stmt := range m.File.Stmts {
		load, ok := stmt.(*syntax.LoadStmt)
		if !ok {
			continue
		}
		for _, to := range load.To {
			if c.scope.uses[boundAt(to)] == 0 && !strings.HasPrefix(to.Name, "_") {
				c.warn(to.NamePos, to.Name+" is loaded and never used",
					"take it out of the load, or write _"+to.Name+" = … if loading the file is the point")
			}
		}
	}
	for at := range c.scope.binds {
		if c.builtin(at.Name) && (!c.scope.param[at] || c.scope.calls[at]) { // a parameter is seen where it is used
			c.warn(at.NamePos, at.Name+" hides the builtin of that name",
				"choose another name: where this one holds, the builtin is out of reach")
		}
	}
	syntax.Walk(m.File, func(n syntax.Node) bool {
		if def, ok := n.(*syntax.DefStmt); ok {
			o := ordered{checker: c, assigned: map[*syntax.Ident]bool{}}
			for _, p := range def.Params {
				if name, _ := parameter(p); name != nil {
					o.assigned[boundAt(name)] = true
				}
			}
			o.stmts(def.Body)
		}
		return true
	})
}

func (c *checker) builtin(name string) bool {
	return c.env.Has(name) || starlark.Universe.Has(name)
}

// ordered follows the body of one function in the order in which it runs. A name that a
// branch or a loop may have assigned counts as assigned: what is left fails for certain.
type ordered struct {
	*checker
	assigned map[*syntax.Ident]bool
}

func (o ordered) assign(id *syntax.Ident) { o.assigned[boundAt(id)] = true }

func (o ordered) stmts(list []syntax.Stmt) {
	for _, s := range list {
		o.node(s)
	}
}

// node visits what is read and assigned; functions within have bodies of their own.
func (o ordered) node(n syntax.Node) {
	syntax.Walk(n, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Ident:
			o.read(n)
		case *syntax.AssignStmt:
			if n.Op != syntax.EQ {
				o.node(n.LHS)
			}
			o.node(n.RHS)
			if _, isName := plainExpr(n.LHS).(*syntax.Ident); !isName {
				o.places(n.LHS)
			}
			targets(n.LHS, o.assign)
			return false
		case *syntax.ForStmt:
			o.node(n.X)
			targets(n.Vars, o.assign)
			o.loop(n.Body)
			return false
		case *syntax.DefStmt:
			o.defaults(n.Params)
			o.assign(n.Name)
			return false
		case *syntax.LambdaExpr:
			o.defaults(n.Params)
			return false
		case *syntax.Comprehension:
			for _, clause := range n.Clauses {
				switch clause := clause.(type) {
				case *syntax.ForClause:
					o.node(clause.X)
					targets(clause.Vars, o.assign)
				case *syntax.IfClause:
					o.node(clause.Cond)
				}
			}
			o.node(n.Body)
			return false
		}
		return true
	})
}

// places reads what stands in x[i] = and x.y =.
func (o ordered) places(e syntax.Expr) {
	switch e := plainExpr(e).(type) {
	case *syntax.IndexExpr, *syntax.DotExpr:
		o.node(e)
	case *syntax.TupleExpr:
		for _, x := range e.List {
			o.places(x)
		}
	case *syntax.ListExpr:
		for _, x := range e.List {
			o.places(x)
		}
	}
}

func (o ordered) defaults(params []syntax.Expr) {
	for _, p := range params {
		if _, def := parameter(p); def != nil {
			o.node(def)
		}
	}
}

// loop visits a body of which an earlier round may have assigned each name.
func (o ordered) loop(body []syntax.Stmt) {
	for _, s := range body {
		syntax.Walk(s, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.AssignStmt:
				targets(n.LHS, o.assign)
			case *syntax.ForStmt:
				targets(n.Vars, o.assign)
			case *syntax.DefStmt:
				o.assign(n.Name)
				return false
			}
			return true
		})
	}
	o.stmts(body)
}

func (o ordered) read(id *syntax.Ident) {
	b := bindingOf(id)
	if b == nil || b.Scope != resolve.Local && b.Scope != resolve.Cell || o.assigned[b.First] {
		return
	}
	o.assigned[b.First] = true // once is enough
	text := fmt.Sprintf("%s is read before it is assigned", id.Name)
	if o.builtin(id.Name) {
		text += fmt.Sprintf(": line %d makes it a variable of this function, which hides the builtin", b.First.NamePos.Line)
	}
	o.add(id.NamePos, text, "")
}
