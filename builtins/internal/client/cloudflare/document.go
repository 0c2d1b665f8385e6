package cloudflare

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// Document is the export in the form of all rulesets.
func (x NetExport) Document(system string) (*ruleset.Document, error) {
	d := &ruleset.Document{System: system, Vendor: "cloudflare"}
	var err error
	add := func(name string, entries []json.RawMessage) {
		if err == nil {
			err = ruleset.Add(d, name, false, entries)
		}
	}
	one := func(v any) json.RawMessage {
		raw, merr := json.Marshal(v)
		if err == nil {
			err = merr
		}
		return raw
	}
	add("account", []json.RawMessage{one(map[string]string{"id": x.Account})})
	var lists, tunnels, zones []json.RawMessage
	for _, l := range x.Lists {
		lists = append(lists, l.List)
		add("account/lists/"+textOf(l.List, "name"), l.Items)
	}
	for _, t := range x.Tunnels {
		tunnels = append(tunnels, one(t))
	}
	add("account/lists", lists)
	add("account/rulesets", x.Rulesets)
	add("account/access_rules", x.AccessRules)
	add("account/tunnels", tunnels)
	add("account/routes", x.Routes)
	add("account/virtual_networks", x.VirtualNetworks)
	for _, z := range x.Zones {
		zones = append(zones, one(map[string]string{"id": z.ID, "name": z.Name}))
		add("zone/"+z.Name+"/rulesets", z.Rulesets)
		add("zone/"+z.Name+"/access_rules", z.AccessRules)
		add("zone/"+z.Name+"/page_rules", z.PageRules)
	}
	add("zones", zones)
	for _, m := range x.Missing {
		d.Miss(m.Part, m.Why)
	}
	return d, err
}

func textOf(raw json.RawMessage, key string) string {
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil {
		return ""
	}
	s, _ := m[key].(string)
	return s
}

// FromDocument is the export that a document was made of.
func FromDocument(d *ruleset.Document) (NetExport, error) {
	var x NetExport
	list := func(name string) []json.RawMessage {
		if s := d.Section(name); s != nil {
			return s.Entries
		}
		return nil
	}
	for _, e := range list("account") {
		x.Account = textOf(e, "id")
	}
	for _, e := range list("account/lists") {
		x.Lists = append(x.Lists, List{e, list("account/lists/" + textOf(e, "name"))})
	}
	for _, e := range list("account/tunnels") {
		var t Tunnel
		if err := json.Unmarshal(e, &t); err != nil {
			return x, fmt.Errorf("read tunnels: %w", err)
		}
		x.Tunnels = append(x.Tunnels, t)
	}
	x.Rulesets, x.AccessRules = list("account/rulesets"), list("account/access_rules")
	x.Routes, x.VirtualNetworks = list("account/routes"), list("account/virtual_networks")
	for _, e := range list("zones") {
		z := NetZone{Name: textOf(e, "name"), ID: textOf(e, "id")}
		if strings.ContainsAny(z.Name, "\n\r") {
			return x, fmt.Errorf("read zones: %q is not a name", z.Name)
		}
		z.Rulesets, z.AccessRules, z.PageRules = list("zone/"+z.Name+"/rulesets"), list("zone/"+z.Name+"/access_rules"),
			list("zone/"+z.Name+"/page_rules")
		x.Zones = append(x.Zones, z)
	}
	return x, nil
}
