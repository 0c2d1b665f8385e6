package runtime

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/source"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Diagnostic is what can be seen without running a policy: a fault, for which the
// policy is refused, or a warning. What would run, and do what its author meant, is
// a warning: a load that is not used, a line that is never reached, a name that
// hides a builtin.
type Diagnostic struct {
	Pos     syntax.Position
	Text    string
	Hint    string
	Warning bool

	quote string // the line, with a caret below the column
}

func (d Diagnostic) String() string {
	text := d.Pos.String() + ": " + d.Text + d.quote
	if d.Hint != "" {
		text += "\nhint: " + d.Hint
	}
	return text
}

// Faults are those of a list for which a policy is refused.
func Faults(all []Diagnostic) []Diagnostic {
	return slices.DeleteFunc(slices.Clone(all), func(d Diagnostic) bool { return d.Warning })
}

// Names maps a kind of name ("target", "asset", "proxmox") to those of the site;
// "destroy" to the primitives that it allows to remove things.
type Names map[string][]string

// Check looks at every call of a primitive in the program: unknown and missing
// arguments, literals of the wrong type, and names that the site does not have.
// A call of a primitive that removes things, and that the site does not allow, is
// found before the run begins, not at its end. Recursion, unknown attributes, names that
// are read before they are assigned or hide a builtin, loads that are not used and lines
// that are never reached are found in every file that the policy is made of.
func (p *Program) Check(names Names) []Diagnostic {
	c := checker{names: names, prims: map[string]Info{}, env: p.rt.environment(), said: map[*syntax.Literal]bool{}}
	for _, d := range p.rt.Primitives {
		c.prims[d.Info().Name] = d.Info()
	}
	var out []Diagnostic
	for _, m := range p.Graph.Modules {
		c.policy, c.optional = p.optional(m.Label)
		c.out, c.scope = nil, scopeOf(m)
		calls(m, func(call *syntax.CallExpr, name string) {
			if info, ok := c.prims[name]; ok {
				c.call(call, info)
			}
		})
		c.recursion(m)
		c.bindings(m)
		c.attributes(m)
		c.reach(m)
		for _, pol := range p.Policies {
			if pol.Label == m.Label && !pol.Optional {
				c.protects(m, pol.Protects)
			}
		}
		if _, err := p.Main(); err != nil && m == p.Graph.Entry {
			c.add(syntax.MakePosition(&m.Name, 1, 1), "no function main", "a policy starts in def main()")
		}
		slices.SortStableFunc(c.out, func(a, b Diagnostic) int {
			return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
		})
		for i, d := range c.out {
			if d.Pos.Col > 1 || d.Pos.Line > 1 {
				c.out[i].quote = source.Quote(m.Source, d.Pos)
			}
		}
		out = append(out, c.out...)
	}
	return out
}

// protects looks at the assets that a policy says it protects.
func (c *checker) protects(m *source.Module, assets []string) {
	for _, a := range assets {
		if !contains(c.names["asset"], a) {
			pos := syntax.MakePosition(&m.Name, 1, 1)
			if at, ok := textAt(m, a); ok {
				pos = at
			}
			c.add(pos, fmt.Sprintf("policy protects the asset %q, which the site does not have", a), have("assets", c.names["asset"]))
		}
	}
}

// textAt finds a text among the arguments of policy(...).
func textAt(m *source.Module, text string) (pos syntax.Position, found bool) {
	calls(m, func(call *syntax.CallExpr, name string) {
		if name != "policy" {
			return
		}
		syntax.Walk(call, func(n syntax.Node) bool {
			if lit, ok := n.(*syntax.Literal); ok && !found && lit.Value == text {
				pos, found = lit.TokenPos, true
			}
			return true
		})
	})
	return pos, found
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
	env   starlark.StringDict // what every policy can name
	scope scope               // of the file at hand
	said  map[*syntax.Literal]bool
	out   []Diagnostic

	policy   ledger.Policy // of the file that is looked at
	optional bool
}

func (c *checker) add(pos syntax.Position, text, hint string) {
	c.out = append(c.out, Diagnostic{Pos: pos, Text: text, Hint: hint})
}

func (c *checker) warn(pos syntax.Position, text, hint string) {
	c.out = append(c.out, Diagnostic{Pos: pos, Text: text, Hint: hint, Warning: true})
}

// calls visits every call of a name that the file does not bind itself.
func calls(m *source.Module, visit func(call *syntax.CallExpr, name string)) {
	syntax.Walk(m.File, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok {
			if name := builtinName(call.Fn); name != "" {
				visit(call, name)
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
	if allowed, known := c.names["destroy"]; known && info.Kind == Destroy && !contains(allowed, info.Name) && (!info.Previews ||
		applies(call) && !c.optional) {
		c.add(start, info.Name+" removes things, and the site does not allow it",
			fmt.Sprintf("write allow(destroy = [%q]) in site.star if it shall", info.Name))
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
		if p.Names != "" {
			c.scope.texts(value, func(lit *syntax.Literal, oneOf bool) { c.known(p, lit, oneOf) })
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
}

// known refuses a name that the site does not have, where it is written; "" is the
// default of its argument. Of one among several the policy may take care itself.
func (c *checker) known(p Param, lit *syntax.Literal, oneOf bool) {
	name, ok := lit.Value.(string)
	list, can := c.names[p.Names]
	spared := p.Names == "asset" && c.optional && contains(c.policy.Protects, name)
	if !ok || !can || name == "" || contains(list, name) || spared || c.said[lit] {
		return
	}
	c.said[lit] = true
	c.out = append(c.out, Diagnostic{Pos: lit.TokenPos, Text: fmt.Sprintf("the site has no %s %q", p.Names, name) + nearest(name, list),
		Hint: have(plural(p.Names), list), Warning: oneOf})
}

func plural(what string) string {
	if strings.HasSuffix(what, "s") || what == "proxmox" {
		return what
	}
	return what + "s"
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
