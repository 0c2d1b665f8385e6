package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/source"
	"go.starlark.net/syntax"
)

// A policy that is optional fits any site: what it protects and the site does not declare,
// it leaves alone. It says so in a line, and the rest of the night goes on.

// optional is the policy of a file, where it is optional.
func (p *Program) optional(label string) (ledger.Policy, bool) {
	for _, pol := range p.Policies {
		if pol.Label == label {
			return pol, pol.Optional
		}
	}
	return ledger.Policy{}, false
}

// Protects lists the assets that a run of the program must leave complete; none reports
// that there would be some, and the site has none of them.
func (p *Program) Protects(d ledger.Demands) (out []string, none bool) {
	left := 0
	for _, pol := range p.Policies {
		for _, a := range pol.Protects {
			parts := d.Parts(a)
			if len(parts) == 0 && pol.Optional {
				left++
				continue
			}
			if len(parts) == 0 {
				parts = []string{a} // whoever judges the run says that it is not declared
			}
			out = append(out, parts...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), len(out) == 0 && left > 0
}

// empty is what a run ends with that had nothing to do: a success would protect nothing.
func empty() ledger.Finding {
	return ledger.Finding{Severity: ledger.DegradedRun, Text: "the site has nothing of what these policies protect: nothing was saved",
		Type: "in site.star: declare the assets that they protect, and the systems"}
}

// Lacks says, a line each, what optional parts of the program will not do in a site.
func (p *Program) Lacks(names Names) (out []string) {
	for _, pol := range p.Policies {
		file := strings.TrimPrefix(pol.Label, "//")
		for _, a := range pol.Protects {
			if pol.Optional && !contains(names["asset"], a) {
				out = append(out, fmt.Sprintf("no asset %s in the site: %s has nothing to do", a, file))
			}
		}
	}
	for _, d := range p.rt.Primitives {
		info := d.Info()
		if info.Kind == Destroy && info.Previews && !contains(names["destroy"], info.Name) && p.spares(info.Name) {
			out = append(out, fmt.Sprintf("the site does not allow %s: nothing is removed, and targets fill; allow(destroy = [%q]) in site.star "+
				"lets it", info.Name, info.Name))
		}
	}
	return out
}

// spares reports whether an optional policy calls a primitive to remove things.
func (p *Program) spares(primitive string) (found bool) {
	for _, m := range p.Graph.Modules {
		if _, ok := p.optional(m.Label); ok {
			calls(m, func(call *syntax.CallExpr, name string) { found = found || name == primitive && applies(call) })
		}
	}
	return found
}

// spared reports whether a call that the site does not allow is one of an optional policy,
// and could also only tell.
func (r *Run) spared(c *call) bool {
	return c.info.Previews && slices.ContainsFunc(r.cfg.Program.Graph.Modules, func(m *source.Module) bool {
		_, ok := r.cfg.Program.optional(m.Label)
		return ok && strings.HasPrefix(c.begin.Position, m.Name+":")
	})
}

// spare records such a call as done, with nothing removed.
func (r *Run) spare(ctx context.Context, c *call) (outcome, error) {
	s := &Step{ID: c.id, Run: r.header.ID, Attempt: 1, run: r, name: c.info.Name}
	s.Log("the site does not allow it: nothing is removed, and targets fill; allow(destroy = [%q]) in site.star lets it", c.info.Name)
	c.info.Kind = Read
	raw, err := r.end(ctx, c, Result{Value: json.RawMessage("[]")}, nil, false, 0)
	return outcome{value: raw}, err
}
