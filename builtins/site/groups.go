package site

import (
	"fmt"
	"slices"
	"strings"

	"github.com/neosofia/runner/runtime"
	"go.starlark.net/starlark"
)

// Choice says which guests belong to an asset: those with a tag, those of a pool, or those
// of some names, by their items, present names or VMIDs.
type Choice struct {
	Tags, Pools, Names []string
}

// StarlarkType implements runtime.TypeNamed.
func (Choice) StarlarkType() string { return "guests" }

// Unpack implements starlark.Unpacker.
func (c *Choice) Unpack(v starlark.Value) error {
	switch x := v.(type) {
	case starlark.String:
		return fmt.Errorf("got the text %s, want tagged(…), pool(…) or a list of names", x)
	case runtime.Opaque:
		one, ok := x.Value().(Choice)
		if !ok {
			return fmt.Errorf("got %s, want tagged(…), pool(…) or a list of names", v.Type())
		}
		c.Tags, c.Pools, c.Names = append(c.Tags, one.Tags...), append(c.Pools, one.Pools...), append(c.Names, one.Names...)
		return nil
	case starlark.Iterable:
		iter := x.Iterate()
		defer iter.Done()
		for e := starlark.Value(nil); iter.Next(&e); {
			if name, ok := starlark.AsString(e); ok {
				c.Names = append(c.Names, name)
			} else if err := c.Unpack(e); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("got %s, want tagged(…), pool(…) or a list of names", v.Type())
}

func (c Choice) empty() bool { return len(c.Tags)+len(c.Pools)+len(c.Names) == 0 }

// Group is an asset with the guests that it chooses.
type Group struct {
	Asset string
	Choice
}

// Traits are what a guest is chosen by.
type Traits struct {
	Names []string // any of them means it
	Tags  []string
	Pool  string
}

// Match is a group that a guest belongs to, and why: "tag prod".
type Match struct{ Asset, Why string }

// by is why a guest belongs to a group; "": it does not. Proxmox takes tags for the same
// whatever their case.
func (g Group) by(t Traits) string {
	for _, want := range g.Tags {
		if slices.ContainsFunc(t.Tags, func(have string) bool { return strings.EqualFold(have, want) }) {
			return "tag " + want
		}
	}
	if t.Pool != "" && slices.Contains(g.Pools, t.Pool) {
		return "pool " + t.Pool
	}
	for _, want := range g.Names {
		if slices.Contains(t.Names, want) {
			return "name " + want
		}
	}
	return ""
}

// Matches are the groups that a guest belongs to, in the order of the site.
func (s *Site) Matches(t Traits) (out []Match) {
	for _, g := range s.Groups {
		if why := g.by(t); why != "" {
			out = append(out, Match{g.Asset, why})
		}
	}
	return out
}

// AssetOf is the asset that a guest of a system belongs to: the first that chooses it, else
// that of the system, unless that one chooses, too. "" is none.
func (s *Site) AssetOf(p *Proxmox, matches []Match) string {
	if len(matches) > 0 {
		return matches[0].Asset
	}
	if _, declared := s.Demands.Asset(p.Asset); !declared || s.chooses(p.Asset) {
		return ""
	}
	return p.Asset
}

func (s *Site) chooses(asset string) bool {
	return slices.ContainsFunc(s.Groups, func(g Group) bool { return g.Asset == asset })
}

// GuestAssets are those that guests of a system can belong to.
func (s *Site) GuestAssets(p *Proxmox) (out []string) {
	if _, declared := s.Demands.Asset(p.Asset); declared {
		out = append(out, p.Asset)
	}
	for _, g := range s.Groups {
		if !slices.Contains(out, g.Asset) {
			out = append(out, g.Asset)
		}
	}
	return out
}

// UsesPools reports whether an asset chooses guests by their pool.
func (s *Site) UsesPools() bool {
	return slices.ContainsFunc(s.Groups, func(g Group) bool { return len(g.Pools) > 0 })
}

type taggedArgs struct {
	Tag string `star:"tag" doc:"as Proxmox VE shows it; its case does not matter"`
}

func tagged(a *taggedArgs) (starlark.Value, error) {
	if a.Tag == "" || strings.ContainsAny(a.Tag, ";, ") {
		return nil, bad("tag", "tag %q: want one tag", a.Tag)
	}
	return runtime.NewOpaque(Choice{Tags: []string{a.Tag}}), nil
}

type poolArgs struct {
	Name string `star:"name" doc:"of the pool in Proxmox VE"`
}

func pool(a *poolArgs) (starlark.Value, error) {
	if a.Name == "" {
		return nil, bad("name", "the pool has no name")
	}
	return runtime.NewOpaque(Choice{Pools: []string{a.Name}}), nil
}

// group notes which guests an asset chooses.
func (b *builder) group(asset string, c *Choice) error {
	if c == nil {
		return nil
	}
	if c.empty() {
		return bad("guests", "guests is empty: want tagged(…), pool(…) or a list of names")
	}
	for _, g := range b.site.Groups {
		exactly := func(a, b string) bool { return a == b }
		for _, pair := range []struct {
			what       string
			mine, have []string
			same       func(a, b string) bool // as by matches them
		}{{"guest", c.Names, g.Names, exactly}, {"tag", c.Tags, g.Tags, strings.EqualFold}, {"pool", c.Pools, g.Pools, exactly}} {
			for _, name := range pair.mine {
				if slices.ContainsFunc(pair.have, func(have string) bool { return pair.same(have, name) }) {
					return bad("guests", "%s %s belongs to the asset %s already: a guest has one asset", pair.what, name, g.Asset)
				}
			}
		}
	}
	b.site.Groups = append(b.site.Groups, Group{asset, *c})
	return nil
}

// joinGroups makes each group a part of the assets of the systems: who protects those
// protects it as well.
func (s *Site) joinGroups() {
	for i, a := range s.Demands.Assets {
		if !s.chooses(a.Name) {
			continue
		}
		for _, p := range s.Proxmox {
			if p.Asset != a.Name {
				s.Demands.Assets[i].In = append(s.Demands.Assets[i].In, p.Asset)
			}
		}
	}
}
