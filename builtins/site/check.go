package site

import (
	"cmp"
	"fmt"

	"github.com/neosofia/runner/runtime/ledger"
)

// check finds what is wrong in the site as a whole. What refers to a call that is wrong
// itself is not judged.
func (b *builder) check() {
	b.joinSets()
	for _, a := range b.site.Demands.Assets {
		whole := true
		for _, d := range a.On {
			known := b.demand(a, d)
			whole = whole && known
		}
		if whole && len(a.On) > 0 {
			b.reachable(a)
		}
	}
	b.mirrors()
	for _, t := range b.site.Targets {
		system, _ := t.Place.Storage()
		if system == "" || b.broken[system] {
			continue
		}
		if _, err := b.site.System(system); err != nil {
			b.add(b.at("target", t.Name, "url", ""), fmt.Errorf("target %s: %w", t.Name, err))
		}
	}
	for _, l := range b.site.Logs {
		if l.Host == "" || b.broken[l.Host] {
			continue
		}
		if _, err := b.site.Host(l.Host); err != nil {
			b.add(b.at("logs", l.Name, "host", ""), fmt.Errorf("logs %s: %w", l.Name, err))
		}
	}
	if len(b.site.Proxmox) > 1 {
		for _, g := range b.site.Groups {
			b.add(b.at("asset", g.Asset, "guests", ""), fmt.Errorf("asset %s chooses guests of %d clusters: guests of one name would be taken for "+
				"each other\nhint: give each proxmox(...) an asset of its own, with asset = …", g.Asset, len(b.site.Proxmox)))
		}
	}
	owner := map[string]string{}
	for _, p := range b.site.Proxmox {
		pos := b.at("proxmox", p.Name, "asset", "")
		if other := owner[p.Asset]; other != "" {
			b.add(pos, fmt.Errorf("proxmox %s and %s have the asset %q: guests of one name would be taken for each other\nhint: give each an "+
				"asset of its own, with asset = …", other, p.Name, p.Asset))
		}
		owner[p.Asset] = p.Name
		if _, ok := b.site.Demands.Asset(p.Asset); p.Asset != "" && !ok && !b.broken[p.Asset] && len(b.site.Groups) == 0 {
			b.add(pos, fmt.Errorf("proxmox %s: its guests belong to the asset %q, which is not declared\nhint: asset(name = %q, …), or "+
				"another one with asset = …", p.Name, p.Asset, p.Asset))
		}
	}
}

// demand judges what an asset asks of one target; it reports whether the target is known.
func (b *builder) demand(a ledger.AssetDemand, d ledger.CopyDemand) bool {
	if b.broken[d.Target] {
		return false
	}
	pos := b.at("asset", a.Name, "on", cmp.Or(d.Set, d.Target))
	t, err := b.site.Target(d.Target)
	if err != nil {
		b.add(pos, fmt.Errorf("asset %s: %w", a.Name, err))
		return false
	}
	b.mirrored(a, d, t)
	if d.Level >= ledger.Opened && len(t.SealedTo) > 0 && !b.site.hasIdentityOnHost() {
		b.add(pos, fmt.Errorf("asset %s demands %s on %s, which is sealed, and this host has no identity to open it with\nhint: demand "+
			"\"read\" (the clear stream is opened before it is sealed), or give the host identity(secret = …, on_host = "+
			"True)", a.Name, ledger.LevelName(d.Level), t.Name))
	}
	return true
}

// reachable refuses an asset whose own list of targets cannot give the copies that
// it asks for.
func (b *builder) reachable(a ledger.AssetDemand) {
	media := map[string]bool{}
	offsite, offline := 0, 0
	for _, one := range a.Promises() { // of a set, one medium
		t, err := b.site.Target(one[0].Target)
		if err != nil {
			return
		}
		media[t.Medium] = true
		if t.Offsite {
			offsite++
		}
		if t.Offline {
			offline++
		}
	}
	for _, c := range []struct {
		arg, what  string
		want, have int
	}{
		{"copies", "copies", a.Copies, len(a.Promises())}, {"media", "media", a.Media, len(media)},
		{"offsite", "offsite copies", a.Offsite, offsite}, {"offline", "offline copies", a.Offline, offline},
	} {
		if c.have < c.want {
			b.add(b.at("asset", a.Name, c.arg, ""),
				fmt.Errorf("asset %s asks for %d %s, and the targets in its on = {…} can give %d\nhint: name more targets there, or ask for less",
					a.Name, c.want, c.what, c.have))
		}
	}
}
