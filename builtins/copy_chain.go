package builtins

import (
	"context"
	"fmt"
	"slices"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// maxNeeds bounds how many artifacts one may need, all in all.
const maxNeeds = 1024

// lack is an artifact that another one needs, with the targets that hold the
// other one only.
type lack struct {
	art     ledger.Artifact // ID alone where the ledger knows no more of it
	targets []string
}

func (l lack) words() string {
	switch {
	case l.art.Created.IsZero():
		return "the archive " + l.art.ID
	case len(l.art.Needs) == 0:
		return "the full archive of " + l.art.Created.UTC().Format("2006-01-02")
	}
	return "the earlier archive of " + l.art.Created.UTC().Format("2006-01-02")
}

// lacking lists all that art needs and that some of the targets have no whole
// copy of, the earliest first.
func lacking(ctx context.Context, catalog ledger.Catalog, art ledger.Artifact, targets []string) ([]lack, error) {
	seen := map[string]bool{art.ID: true}
	var out []lack
	for queue := slices.Clone(art.Needs); len(queue) > 0; queue = queue[1:] {
		id := queue[0]
		if seen[id] {
			continue
		}
		if seen[id] = true; len(seen) > maxNeeds {
			return nil, fmt.Errorf("the artifact %s needs more than %d others", art.ID, maxNeeds)
		}
		l := lack{}
		var err error
		if l.art, _, err = catalog.Artifact(ctx, id); err != nil {
			return nil, err
		}
		l.art.ID = id
		for _, name := range targets {
			cp, found, err := catalog.Copy(ctx, ledger.CopyID(id, name))
			if err != nil {
				return nil, err
			}
			if found {
				bad, err := damaged(ctx, catalog, cp)
				if err != nil {
					return nil, err
				}
				found = !bad
			}
			if !found {
				l.targets = append(l.targets, name)
			}
		}
		if len(l.targets) > 0 {
			out = append(out, l)
		}
		queue = append(queue, l.art.Needs...)
	}
	slices.SortStableFunc(out, func(a, b lack) int { return a.art.Created.Compare(b.art.Created) })
	return out, nil
}

// chain brings what the artifact needs to those targets that have the artifact
// now, and not what it needs: a medium that was away when a chain began, say.
// What cannot be brought is a finding.
func (c *carry) chain(ctx context.Context, bring func(*carry, context.Context) error) error {
	if len(c.art.Needs) == 0 {
		return nil
	}
	catalog, err := c.s.Catalog(ctx)
	if err != nil {
		return err
	}
	var targets []string
	for _, cp := range c.copies {
		targets = append(targets, cp.Target)
	}
	list, err := lacking(ctx, catalog, c.art, targets)
	if err != nil {
		return err
	}
	for _, l := range list {
		below := &carry{s: c.s, w: c.w, art: l.art, names: l.targets, asked: true, soft: -1, needed: l.words()}
		if len(l.art.Files) == 0 {
			below.art.Asset, below.art.Item = c.art.Asset, c.art.Item
			for _, name := range l.targets {
				below.fail(name, &runtime.Error{Code: "E_ARCHIVE_MISSING", Doing: "find " + l.words(), Said: "the ledger does not know it"})
			}
		} else {
			c.s.Log("%s needs %s, which %v did not have: it is copied, too", c.art.Item, l.words(), l.targets)
			if err := bring(below, ctx); err != nil {
				return err
			}
		}
		c.join(below)
	}
	return nil
}

// join adds what became of a needed artifact.
func (c *carry) join(below *carry) {
	if below.soft >= 0 && c.soft < 0 {
		c.soft = len(c.failed) + below.soft
	}
	c.failed, c.lost = append(c.failed, below.failed...), append(c.lost, below.lost...)
	c.copies = append(c.copies, below.copies...)
	c.res.Facts.Add(below.res.Facts)
}
