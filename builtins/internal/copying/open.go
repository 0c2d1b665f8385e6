package copying

import (
	"context"
	"fmt"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// open opens the targets, and sorts out those that cannot take a copy.
func (c *job) open(ctx context.Context) ([]*target.Target, error) {
	catalog, err := c.s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	have, err := catalog.Copies(ctx, ledger.Query{Ref: c.art.ID})
	if err != nil {
		return nil, err
	}
	devices := map[string]string{}
	for _, cp := range have {
		if cp.Device.ID != "" {
			devices[cp.Device.ID] = cp.Target
		}
	}
	var open []*target.Target
	for _, name := range c.names {
		t, err := c.w.OpenTarget(ctx, c.s, name, c.art)
		if ctx.Err() != nil {
			return open, context.Cause(ctx)
		}
		if err != nil {
			if err := c.absent(ctx, catalog, name, err); err != nil {
				return open, err
			}
			continue
		}
		device := t.Device().ID
		if t.InPlace() {
			device = c.w.ArchiveDevice(c.art.Origin).ID
		}
		if err := c.liesThere(name); err != nil {
			t.Close()
			c.fail(name, err)
			continue
		}
		if err := c.sameMedium(ctx, catalog, t); err != nil {
			t.Close()
			c.fail(name, err)
			continue
		}
		if other, taken := devices[device]; taken && device != "" && other != name {
			t.Close()
			c.fail(name, &failure.Error{Code: target.CodeSameDevice, System: "target " + name, Doing: "copy " + c.art.Item,
				Said: fmt.Sprintf("it lies on the same device as %s (%s): two folders on one disk are one copy", other, device)})
			continue
		}
		if device != "" {
			devices[device] = name
		}
		if t.Spec().Offline {
			notes, err := c.w.Sound(ctx, name)
			for _, n := range notes {
				c.s.Detail("%s: %s", name, n)
			}
			if err != nil {
				t.Close()
				c.fail(name, err)
				continue
			}
			seen, err := catalog.Observe(ctx, name, "attached", t.Device(), c.s.Now())
			if err != nil {
				t.Close()
				return open, err
			}
			c.res.Facts.Media = append(c.res.Facts.Media, seen)
			c.w.Meet("attached " + name)
		}
		open = append(open, t)
	}
	return open, nil
}

// liesThere refuses to count an archive in place on a storage where it does not
// lie: another one, or one of another cluster.
func (c *job) liesThere(name string) error {
	spec, err := c.w.Site.Target(name)
	if err != nil {
		return err
	}
	if !spec.Place.InPlace {
		return nil
	}
	system, storage := spec.Place.Storage()
	if (system == "" || system == c.art.Origin.System) && storage == c.art.Origin.Storage {
		return nil
	}
	return &failure.Error{Code: target.CodeNotFound, System: "target " + name, Doing: "count " + c.art.Item + " in place",
		Said: fmt.Sprintf("its archive lies on storage %s of %s", c.art.Origin.Storage, c.art.Origin.System),
		Hint: "name the target whose url is that storage in asset(on = …)"}
}

// sameMedium refuses a folder that lay on another device when it got its last
// copy, unless the site names the medium: a disk that is not mounted leaves its
// mount point behind, on the system disk.
func (c *job) sameMedium(ctx context.Context, catalog ledger.Catalog, t *target.Target) error {
	if spec := t.Spec(); !t.Place().Local || spec.UUID != "" || spec.Serial != "" {
		return nil
	}
	copies, err := catalog.Copies(ctx, ledger.Query{Target: t.Name()})
	if err != nil || len(copies) == 0 {
		return err
	}
	last, now := copies[len(copies)-1].Device, t.Device()
	if last.ID == "" || last.ID == now.ID {
		return nil
	}
	return &failure.Error{Code: target.CodeWrongMedium, System: "target " + t.Name(), Doing: "look at its device",
		Said: fmt.Sprintf("the folder lies on %s now; its last copy was written to %s", now.ID, last.ID),
		Hint: "is the disk mounted? If it was replaced, name the new one with uuid and serial in site.star"}
}

// absent tells a medium that was taken away, as it should be, from a failure.
func (c *job) absent(ctx context.Context, catalog ledger.Catalog, name string, err error) error {
	spec, serr := c.w.Site.Target(name)
	if serr != nil || !spec.Offline || c.asked || !failure.Is(err, target.CodeMediaAbsent) {
		c.fail(name, err)
		return nil
	}
	if c.w.Met("attached " + name) { // it was pulled: what this run wrote may be half there
		c.fail(name, &failure.Error{Code: target.CodeMediaAbsent, System: "target " + name, Doing: "write to it",
			Said: "it was taken away while this run wrote to it", Cause: err,
			Hint: "plug it in again, then: runner media open " + name + "; runner exec media.star --arg name=" + name + "; and runner media " +
				"eject before it is unplugged"})
		return nil
	}
	c.s.Log("%s is not attached; whether it is due is judged at the end", name)
	seen, err := catalog.Observe(ctx, name, "detached", ledger.Device{}, c.s.Now())
	c.res.Facts.Media = append(c.res.Facts.Media, seen)
	return err
}
