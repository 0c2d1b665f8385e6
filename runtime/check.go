package runtime

import (
	"fmt"
	"sort"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/source"
	"go.starlark.net/syntax"
)

// Diagnostic is a fault that can be seen without running a policy.
type Diagnostic struct {
	Pos  syntax.Position
	Text string
	Hint string
}

func (d Diagnostic) String() string {
	text := d.Pos.String() + ": " + d.Text
	if d.Hint != "" {
		text += "\nhint: " + d.Hint
	}
	return text
}

// Names maps a kind of name ("target", "asset", "proxmox") to those of the site;
// "destroy" to the primitives that it allows to remove things.
type Names map[string][]string

// Check looks at every call of a primitive in the program: unknown and missing
// arguments, literals of the wrong type, and names that the site does not have.
// A call of a primitive that removes things, and that the site does not allow, is
// told before the run begins, not at its end.
func (p *Program) Check(names Names) []Diagnostic {
	c := checker{names: names, prims: map[string]Info{}}
	for _, d := range p.rt.Primitives {
		c.prims[d.Info().Name] = d.Info()
	}
	for _, m := range p.Graph.Modules {
		c.policy, c.optional = p.optional(m.Label)
		calls(m, func(call *syntax.CallExpr, name string) {
			if info, ok := c.prims[name]; ok {
				c.call(call, info)
			}
		})
	}
	for _, pol := range p.Policies {
		for _, a := range pol.Protects {
			if !pol.Optional && !contains(names["asset"], a) {
				c.add(syntax.MakePosition(&pol.Label, 1, 1), fmt.Sprintf("policy protects the asset %q, which the site does not have", a), have("assets", names["asset"]))
			}
		}
	}
	if _, err := p.Main(); err != nil {
		c.add(syntax.MakePosition(&p.Graph.Entry.Name, 1, 1), "no function main", "a policy starts in def main()")
	}
	return c.out
}

// Calls reports whether any file of the program calls a primitive.
func (p *Program) Calls(primitive string) (found bool) {
	for _, m := range p.Graph.Modules {
		calls(m, func(_ *syntax.CallExpr, name string) { found = found || name == primitive })
	}
	return found
}

type checker struct {
	names Names
	prims map[string]Info
	out   []Diagnostic

	policy   ledger.Policy // of the file that is looked at
	optional bool
}

func (c *checker) add(pos syntax.Position, text, hint string) {
	c.out = append(c.out, Diagnostic{pos, text, hint})
}

// calls visits every call of a name that the file does not bind itself.
func calls(m *source.Module, visit func(call *syntax.CallExpr, name string)) {
	local := map[string]bool{}
	syntax.Walk(m.File, func(n syntax.Node) bool {
		if d, ok := n.(*syntax.DefStmt); ok {
			local[d.Name.Name] = true
		}
		return true
	})
	syntax.Walk(m.File, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok {
			if fn, ok := call.Fn.(*syntax.Ident); ok && !local[fn.Name] {
				visit(call, fn.Name)
			}
		}
		return true
	})
}

func (c *checker) call(call *syntax.CallExpr, info Info) {
	start, _ := call.Span()
	given := map[string]bool{}
	for _, a := range call.Args {
		switch kw, ok := a.(*syntax.BinaryExpr); {
		case ok && kw.Op == syntax.EQ:
			name := kw.X.(*syntax.Ident).Name
			given[name] = true
			pos, _ := a.Span()
			c.argument(pos, info, name, kw.Y)
		default:
			if u, ok := a.(*syntax.UnaryExpr); ok && (u.Op == syntax.STAR || u.Op == syntax.STARSTAR) {
				return // cannot be seen from here
			}
			if len(call.Args) != 1 || !info.lone() {
				c.add(start, info.Name+": arguments are named", "")
				return
			}
			given[info.Params[0].Name] = true
			pos, _ := a.Span()
			c.argument(pos, info, info.Params[0].Name, a)
		}
	}
	if allowed, known := c.names["destroy"]; known && info.Kind == Destroy && !contains(allowed, info.Name) && (!info.Tells ||
		applies(call) && !c.optional) {
		c.add(start, info.Name+" removes things, and the site does not allow it", fmt.Sprintf("write allow(destroy = [%q]) in site.star if it shall", info.Name))
	}
	for _, p := range info.Params {
		if !p.Optional && !given[p.Name] {
			c.add(start, fmt.Sprintf("%s: missing argument for %s (%s)", info.Name, p.Name, p.Doc), "")
		}
	}
}

// lone reports whether one argument may stand without its name.
func (i Info) lone() bool {
	for k, p := range i.Params {
		if k > 0 && !p.Optional {
			return false
		}
	}
	return len(i.Params) > 0
}

func (c *checker) argument(pos syntax.Position, info Info, name string, value syntax.Expr) {
	for _, p := range info.Params {
		if p.Name != name {
			continue
		}
		if lit, ok := value.(*syntax.Literal); ok {
			c.literal(pos, info, p, lit)
		}
		if list, ok := value.(*syntax.ListExpr); ok && p.Names != "" {
			for _, e := range list.List {
				if lit, ok := e.(*syntax.Literal); ok {
					c.known(pos, p, lit)
				}
			}
		}
		return
	}
	var all []string
	for _, p := range info.Params {
		all = append(all, p.Name)
	}
	c.add(pos, fmt.Sprintf("%s: unexpected argument %s", info.Name, name), have("arguments", all))
}

func (c *checker) literal(pos syntax.Position, info Info, p Param, lit *syntax.Literal) {
	ok := true
	switch p.Type {
	case "string":
		ok = lit.Token == syntax.STRING
	case "int":
		ok = lit.Token == syntax.INT
	case "bool":
		ok = false
	case "duration":
		text, isText := lit.Value.(string)
		ok = isText
		if isText {
			if _, err := ParseDuration(text); err != nil {
				c.add(pos, info.Name+": for parameter "+p.Name+": "+err.Error(), "")
			}
		}
	}
	if !ok {
		c.add(pos, fmt.Sprintf("%s: for parameter %s: got %s, want %s", info.Name, p.Name, strings.ToLower(lit.Token.String()), p.Type), "")
	}
	if p.Names != "" {
		c.known(pos, p, lit)
	}
}

func (c *checker) known(pos syntax.Position, p Param, lit *syntax.Literal) {
	name, ok := lit.Value.(string)
	spared := p.Names == "asset" && c.optional && contains(c.policy.Protects, name)
	if list, can := c.names[p.Names]; ok && can && !contains(list, name) && !spared {
		c.add(pos, fmt.Sprintf("the site has no %s %q", p.Names, name), have(p.Names+"s", list))
	}
}

func contains(list []string, name string) bool {
	for _, n := range list {
		if n == name {
			return true
		}
	}
	return false
}

func have(what string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	names = append([]string(nil), names...)
	sort.Strings(names)
	return what + ": " + strings.Join(names, ", ")
}

// applies reports that a call which can also only tell is not told to.
func applies(call *syntax.CallExpr) bool {
	for _, a := range call.Args {
		kw, ok := a.(*syntax.BinaryExpr)
		if !ok || kw.Op != syntax.EQ || kw.X.(*syntax.Ident).Name != "apply" {
			continue
		}
		value, ok := kw.Y.(*syntax.Ident)
		return !ok || value.Name != "False"
	}
	return false
}
