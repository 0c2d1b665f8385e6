package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/source"
	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Runtime is what is the same for all policies: immutable after it was made.
type Runtime struct {
	Primitives []Declaration
	Stdlib     fs.FS
	Limits     Limits
}

// Program is a policy, loaded: its globals are frozen and nothing has run.
type Program struct {
	Graph    *source.Graph
	Policies []ledger.Policy                // of the entry first, then of what it loads
	Globals  map[string]starlark.StringDict // by label

	rt *Runtime
}

// Load resolves, compiles and initialises a policy. extra is predeclared beside
// the environment of policies: that of tests.
func (rt *Runtime) Load(path string, extra starlark.StringDict) (*Program, error) {
	loader := source.Loader{Stdlib: rt.Stdlib}
	graph, err := loader.Load(path)
	if err != nil {
		return nil, explainSyntax(err, nil, vocabulary{})
	}
	p := &Program{Graph: graph, Globals: map[string]starlark.StringDict{}, rt: rt}
	for _, m := range graph.Modules {
		if err := guardFile(m.File); err != nil {
			return nil, err
		}
	}
	return p, p.init(extra)
}

func (p *Program) init(extra starlark.StringDict) error {
	env := p.rt.environment()
	for name, v := range extra {
		env[name] = v
	}
	limits := p.rt.Limits.Defaults()
	for _, m := range p.Graph.Modules {
		prog, err := starlark.FileProgram(m.File, env.Has)
		if err != nil {
			return explainSyntax(err, m.Source, vocabulary{env, p.rt.Stdlib})
		}
		thread := &starlark.Thread{Name: m.Label, Print: func(*starlark.Thread, string) {}}
		thread.Load = func(_ *starlark.Thread, name string) (starlark.StringDict, error) {
			return p.Globals[m.Loads[name]], nil
		}
		thread.SetLocal(moduleKey, &loading{program: p, label: m.Label})
		globals, err := initialise(thread, prog, env, limits)
		if err != nil {
			return p.placed(err, Frame{Pos: syntax.MakePosition(&m.Name, 1, 1), Name: "<toplevel>"})
		}
		p.Globals[m.Label] = globals
	}
	p.order()
	return nil
}

// initialise runs the top level of a file within the limits.
func initialise(thread *starlark.Thread, prog *starlark.Program, env starlark.StringDict, limits Limits) (starlark.StringDict, error) {
	wall := min(limits.Wall, maxLoad)
	return bounded(context.Background(), thread, limits, wall, "the time that a file takes to load",
		func(context.Context) (starlark.StringDict, error) {
			globals, err := prog.Init(thread, env)
			for _, name := range globals.Keys() {
				if ferr := freeze(globals[name]); err == nil {
					err = ferr
				}
			}
			return globals, err
		})
}

// maxLoad bounds the top level of a file, which has no effects to wait for.
const maxLoad = 30 * time.Second

const moduleKey = "runner.module"

type loading struct {
	program *Program
	label   string
}

// order puts the policy of the entry first.
func (p *Program) order() {
	sort.SliceStable(p.Policies, func(i, j int) bool {
		return p.Policies[i].Label == p.Graph.Entry.Label && p.Policies[j].Label != p.Graph.Entry.Label
	})
}

// Of is the program whose policy is the file that declares fn: what a test runs of
// the policies that it loads.
func (p *Program) Of(fn *starlark.Function) *Program {
	for _, m := range p.Graph.Modules {
		if m.Name != fn.Position().Filename() {
			continue
		}
		q := &Program{Graph: p.Graph.From(m), Globals: p.Globals, rt: p.rt}
		for _, part := range q.Graph.Modules {
			for _, pol := range p.Policies {
				if pol.Label == part.Label {
					q.Policies = append(q.Policies, pol)
				}
			}
		}
		q.order()
		return q
	}
	return p
}

// Main returns the entry's main.
func (p *Program) Main() (*starlark.Function, error) {
	fn, ok := p.Globals[p.Graph.Entry.Label]["main"].(*starlark.Function)
	if !ok {
		return nil, fmt.Errorf("%s: no function main\nhint: a policy starts in def main()", p.Graph.Entry.Name)
	}
	return fn, nil
}

// environment is what every policy can name.
func (rt *Runtime) environment() starlark.StringDict {
	env := guards(rt.Limits.Defaults())
	env["time"] = timeModule()
	env["policy"] = starlark.NewBuiltin("policy", declarePolicy)
	for name, fn := range controls {
		env[name] = starlark.NewBuiltin(name, fn)
	}
	for _, d := range rt.Primitives {
		env[d.Info().Name] = starlark.NewBuiltin(d.Info().Name, primitive(d))
	}
	return env
}

// Names lists what a policy can name, for suggestions and documentation.
func (rt *Runtime) Names() []string {
	var out []string
	for n := range rt.environment() {
		if !strings.HasPrefix(n, "$") {
			out = append(out, n)
		}
	}
	sort.Strings(out)
	return out
}

func declarePolicy(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	l, ok := t.Local(moduleKey).(*loading)
	if !ok {
		return nil, errors.New("policy: declares a policy at the top level of its file, not inside a function that runs")
	}
	var a struct {
		SOP      string   `star:"sop" doc:"the SOP that this procedure belongs to"`
		Section  string   `star:"section" doc:"its section"`
		Version  string   `star:"version" doc:"version of this procedure"`
		Protects []string `star:"protects?" doc:"assets of the site that must be complete after a run"`
		Optional bool     `star:"optional?" doc:"True: where the site does not declare what it protects, or does not allow it to prune, that part has nothing to do"`
	}
	if err := unpackInto(b.Name(), &a, args, kwargs); err != nil {
		return nil, err
	}
	for _, have := range l.program.Policies {
		if have.Label == l.label {
			return nil, errors.New("policy: is declared twice in this file")
		}
	}
	l.program.Policies = append(l.program.Policies, ledger.Policy{Label: l.label, SOP: a.SOP, Section: a.Section, Version: a.Version,
		Protects: a.Protects, Optional: a.Optional})
	return starlark.None, nil
}

var habits = map[string]string{
	"try": "there are no exceptions: use catch(lambda: …)", "import": "use load(\"@stdlib//name.star\", \"name\")",
	"while": "there is no while: use for with a bounded range", "class": "there are no classes: use struct-like results or dicts",
	"is": "use ==", "with": "there is no with: primitives clean up after themselves", "raise": "use fail(\"…\")",
	"from": "use load(\"@stdlib//name.star\", \"name\")", "async": "use parallel([…]) or each([…])", "lambda": "",
}

// explainSyntax adds what a newcomer from Python needs to know.
func explainSyntax(err error, text []byte, known vocabulary) error {
	var se syntax.Error
	var re resolve.ErrorList
	var deep *source.LimitError
	switch {
	case errors.As(err, &deep):
		limit := limitError(deep.Pos.String()+": the nesting of "+deep.What, source.MaxNesting, "")
		limit.Hint = "no flag raises it: write it in several statements or functions"
		return limit
	case errors.As(err, &se):
		if strings.HasPrefix(se.Msg, "got string literal, want ") {
			return fmt.Errorf("%w\nhint: there are no f-strings: use \"%%s is %%d\" %% (name, n)", err)
		}
		for word, hint := range habits {
			if hint != "" && (strings.Contains(se.Msg, "'"+word+"'") || strings.Contains(se.Msg, "got "+word+",") ||
				strings.HasSuffix(se.Msg, "keyword: "+word)) {
				return fmt.Errorf("%w\nhint: %s", err, hint)
			}
		}
	case errors.As(err, &re) && len(re) > 0:
		var lines []string
		for _, e := range re {
			said, hint := known.suggest(e.Msg)
			lines = append(lines, e.Pos.String()+": "+said+source.Quote(text, e.Pos))
			if hint != "" {
				lines = append(lines, "hint: "+hint)
			}
			if strings.Contains(e.Msg, "while loops") {
				lines = append(lines, "hint: "+habits["while"])
			}
		}
		return errors.New(strings.Join(lines, "\n"))
	}
	return err
}
