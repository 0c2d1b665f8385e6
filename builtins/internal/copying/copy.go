package copying

import (
	"context"
	"io"
	"strings"

	"github.com/neosofia/runner/builtins/internal/kinds"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// bring copies the artifact to those targets that can take it.
func (c *job) copyTo(ctx context.Context) error {
	open, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		for _, t := range open {
			t.Close()
		}
	}()
	if len(open) == 0 {
		return nil
	}
	var names []string
	for _, t := range open {
		names = append(names, "target:"+t.Name())
		if t.Mirrors() { // what it mirrors stays as it is meanwhile
			names = append(names, "target:"+t.Spec().MirrorOf)
		}
	}
	release, err := c.s.Hold(ctx, names...)
	if err != nil {
		return err
	}
	defer release()
	if err := c.clear(ctx, open); err != nil {
		return err
	}
	head, err := c.s.Head(ctx)
	if err != nil {
		return err
	}
	if err := c.known(ctx); err != nil {
		return err
	}
	k, _ := kinds.Find(c.art.Kind)
	outcomes := target.Copy(ctx, target.Source{
		Artifact: c.art, Check: k.Open, Commands: k.Commands, Head: head,
		Manifest: map[string]string{"run": c.s.Run, "step": c.s.ID, "runner": c.w.Env.Version, "host": c.w.Env.Host},
		Open: func(ctx context.Context, file string, offset int64) (io.ReadCloser, error) {
			return c.read(ctx, file, offset)
		},
	}, open)
	for _, o := range outcomes {
		c.outcome(ctx, o)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// whole brings what the artifact needs to those targets that have the artifact
// now, and not what it needs: a medium that was away when a chain began, say.
// What cannot be brought is a finding.
func (c *job) whole(ctx context.Context, copyTo func(*job, context.Context) error) error {
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
	list, err := catalog.Needs(ctx, c.art, targets)
	if err != nil {
		return err
	}
	for _, l := range list {
		below := &job{s: c.s, w: c.w, art: l.Artifact, names: l.Targets, asked: true, soft: -1, needed: l.Words()}
		if len(l.Artifact.Files) == 0 {
			below.art.Asset, below.art.Item = c.art.Asset, c.art.Item
			for _, name := range l.Targets {
				below.fail(name, &failure.Error{Code: target.CodeArchiveMissing, Doing: "find " + l.Words(), Said: "the ledger does not know it"})
			}
		} else {
			c.s.Log("%s needs %s, which %s did not have: it is copied, too", c.art.Item, l.Words(), strings.Join(l.Targets, ", "))
			if err := copyTo(below, ctx); err != nil {
				return err
			}
		}
		c.join(below)
	}
	return nil
}

// clear removes copies that were found damaged: what lies there has the right
// names and sizes, and would be taken for the copy.
func (c *job) clear(ctx context.Context, open []*target.Target) error {
	catalog, err := c.s.Catalog(ctx)
	if err != nil {
		return err
	}
	have, err := catalog.ProvenCopies(ctx, ledger.Query{Item: c.art.Item, Ref: c.art.ID})
	if err != nil {
		return err
	}
	for _, cp := range have {
		if cp.Level >= ledger.Stored || cp.InPlace {
			continue
		}
		for _, t := range open {
			if t.Name() != cp.Target {
				continue
			}
			bad, err := catalog.Damaged(ctx, cp.ID)
			if err != nil {
				return err
			}
			if !bad {
				continue
			}
			if t.Mirrors() {
				t.Doubt(cp.Copy) // its source is what it mirrors
			} else if err := c.source(ctx); err != nil {
				return err // a damaged copy is better than none
			}
			c.s.Log("%s: the copy that is there was found damaged: it is made again", cp.Target)
			if _, err := t.Remove(ctx, cp.Copy); err != nil {
				return err
			}
		}
	}
	return nil
}

// source says whether the artifact can be read again.
func (c *job) source(ctx context.Context) error {
	r, err := c.w.OpenFile(ctx, c.art.Origin, c.art.Files[0].Name, 0)
	if err != nil {
		return err
	}
	return r.Close()
}

// known fills in the digests that an earlier copy recorded: the source must still
// be what it was then.
func (c *job) known(ctx context.Context) error {
	catalog, err := c.s.Catalog(ctx)
	if err != nil {
		return err
	}
	have, err := catalog.Copies(ctx, ledger.Query{Ref: c.art.ID})
	if err != nil {
		return err
	}
	files := append([]ledger.File(nil), c.art.Files...)
	for _, cp := range have {
		for _, f := range cp.Files {
			for i := range files {
				if files[i].Name == f.Of && !f.Sealed && f.Part == 0 && files[i].SHA256 == "" {
					files[i].SHA256 = f.SHA256
				}
			}
		}
	}
	c.art.Files = files
	return nil
}
