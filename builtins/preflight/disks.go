package preflight

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/ledger"
)

// disks looks for copies that would be no copies: two targets of one asset on one device,
// and a target on a device of what is saved there. What is saved is known from the last
// artifacts, and from the paths that policies name.
type disks struct {
	w      *systems.Systems
	on     map[string]ledger.Device // target -> where its folder lies, of those that are there
	faults []Fault
}

func lookAtDisks(ctx context.Context, w *systems.Systems, catalog ledger.Catalog, needs Needs) ([]Fault, error) {
	d := &disks{w: w, on: map[string]ledger.Device{}}
	for _, t := range w.Site.Targets {
		if !t.Place.Local || w.Env.Device == nil {
			continue
		}
		dev, err := w.Env.Device(t.Place.Folder())
		if t.UUID != "" && !strings.EqualFold(t.UUID, dev.UUID) || t.Serial != "" && t.Serial != dev.Serial {
			continue // its medium is not there: what lies there is a mount point
		}
		if err == nil && dev.ID != "" {
			d.on[t.Name] = dev
		}
	}
	for _, a := range w.Site.Demands.Assets {
		d.twins(a)
		if a.Name != needs.FilesAsset || w.Env.Root != "" {
			continue
		}
		for _, p := range needs.Paths {
			d.beside(a, p, "", w.DevicesOf(p))
		}
	}
	newest, err := newestArtifacts(ctx, catalog)
	if err != nil {
		return nil, err
	}
	for _, art := range newest {
		if art.Asset == needs.FilesAsset && len(needs.Paths) > 0 {
			continue // the paths told it
		}
		if a, ok := w.Site.Demands.Asset(art.Asset); ok {
			d.beside(a, art.Item, art.Item, art.Devices)
		}
	}
	return d.faults, nil
}

// newestArtifacts are the last of each item that says where its source lay.
func newestArtifacts(ctx context.Context, catalog ledger.Catalog) ([]ledger.Artifact, error) {
	all, err := catalog.Artifacts(ctx, ledger.Query{})
	if err != nil {
		return nil, err
	}
	last := map[[2]string]ledger.Artifact{}
	for _, a := range all {
		last[[2]string{a.Asset, a.Item}] = a
	}
	out := slices.Collect(maps.Values(last))
	out = slices.DeleteFunc(out, func(a ledger.Artifact) bool { return len(a.Devices) == 0 })
	slices.SortFunc(out, func(a, b ledger.Artifact) int { return strings.Compare(a.Asset+"\x00"+a.Item, b.Asset+"\x00"+b.Item) })
	return out, nil
}

// twins refuses two targets of an asset on one device: copy makes no second one there.
func (d *disks) twins(a ledger.AssetDemand) {
	first := map[string]string{}
	for _, on := range a.On {
		dev, ok := d.on[on.Target]
		if !ok {
			continue
		}
		if other := first[dev.ID]; other != "" {
			d.faults = append(d.faults, Fault{System: "asset " + a.Name,
				Text: fmt.Sprintf("targets %s and %s lie on one device (%s): two folders on one disk are one copy (E_SAME_DEVICE)", other, on.Target,
					dev.ID),
				Hint: "put one of them on another disk, or take it out of on = {…}"})
			continue
		}
		first[dev.ID] = on.Target
	}
}

// beside says of the targets of an asset that lie on a device of what is saved there.
func (d *disks) beside(a ledger.AssetDemand, what, item string, source []string) {
	for _, on := range a.On {
		dev, ok := d.on[on.Target]
		if !ok || !dev.Shares(source) || d.accepted(item, on.Target) {
			continue
		}
		text := fmt.Sprintf("target %s lies on the disk of %s (%s): when that disk dies, so do both, and the copy is not counted", on.Target,
			what, dev.ID)
		if !slices.ContainsFunc(d.faults, func(f Fault) bool { return f.Text == text }) {
			d.faults = append(d.faults, Fault{System: "asset " + a.Name, Text: text, Note: d.elsewhere(a, source),
				Hint: fmt.Sprintf("in site.star: a target(…) on another disk, named in on of asset(name = %q)", a.Name)})
		}
	}
}

// accepted reports whether the site accepts a copy beside its source; of a path it is not
// known which item it belongs to.
func (d *disks) accepted(item, target string) bool {
	return slices.ContainsFunc(d.w.Site.Demands.Accepted, func(x ledger.Exception) bool {
		return (item == "" || x.Item == item) && x.What == ledger.OwnDisk(target) && now().Before(x.Until)
	})
}

// elsewhere reports whether an asset has a target that lies on none of the devices.
func (d *disks) elsewhere(a ledger.AssetDemand, source []string) bool {
	return slices.ContainsFunc(a.On, func(on ledger.CopyDemand) bool {
		dev, local := d.on[on.Target]
		return !local || !dev.Shares(source)
	})
}
