package copying

import (
	"context"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
)

// pretend is bring without targets: what they would say is what the test injects. Of a
// set of media the first is there, and the others are with their keeper.
func (c *job) pretend(context.Context) error {
	for _, name := range c.names {
		if err := c.s.Fault("to", name); err != nil {
			c.fail(name, err)
			continue
		}
		spec, err := c.w.Site.Target(name)
		if err != nil {
			c.fail(name, err)
			continue
		}
		if set, travels := c.w.Site.Demands.Set(name); travels && !c.asked && name != set.Names[0] {
			c.res.Facts.Media = append(c.res.Facts.Media, ledger.Medium{Target: name, State: "detached", At: c.s.Now()})
			continue
		}
		inPlace := spec.Place.InPlace
		var files []ledger.StoredFile
		for _, f := range c.art.Files {
			files = append(files, ledger.StoredFile{Name: f.Name, Of: f.Name, Size: f.Size, SHA256: strings.Repeat("0", 64)})
		}
		c.copies = append(c.copies, ledger.Copy{ID: ledger.CopyID(c.art.ID, name), Artifact: c.art.ID, Kind: c.art.Kind, Asset: c.art.Asset,
			Item:   c.art.Item,
			Target: name, Medium: spec.Medium, Location: spec.Location, Device: ledger.Device{ID: "fake:" + name}, Files: files, Bytes: c.art.Bytes,
			Taken: c.art.Created, Created: c.s.Now(), Offline: spec.Offline, Offsite: spec.Offsite, Opened: len(spec.SealedTo) > 0,
			SealedTo: spec.SealedTo,
			InPlace:  inPlace, Foreign: inPlace && c.art.Foreign, Lost: inPlace && c.art.Lost})
		if spec.Offline {
			c.res.Facts.Media = append(c.res.Facts.Media, ledger.Medium{Target: name, State: "attached", At: c.s.Now()})
		}
	}
	return nil
}
