package cloudflare

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Call is one request that brings a part back. Body is to be sent as it is.
type Call struct {
	Method string
	Path   string // below the API's address: "/zones/…"
	Body   json.RawMessage
	Why    string // what it makes; what to change in it before
}

// Line is the call as a command; the body lies in a file, and so does the token: an
// argument would show it to everybody on the machine.
func (c Call) Line(file string) string {
	line := fmt.Sprintf(`curl --fail-with-body -sS -X %s "$API%s" -H @"$AUTH"`, c.Method, c.Path)
	if c.Body != nil {
		line += " -H 'Content-Type: application/json' --data @" + file
	}
	return line
}

// Calls are the requests that bring the export back, in the order in which each
// finds what it names: lists, custom rulesets, entrypoints of the account, of the
// zones, page and access rules, tunnels, networks, routes. Path and body hold the
// ids of the time of the export; where an object was made anew, Why says which id
// to put in.
func (x NetExport) Calls() ([]Call, error) {
	for _, z := range append([]NetZone{{ID: x.Account}}, x.Zones...) {
		if err := ids(z.ID); err != nil {
			return nil, err
		}
	}
	b := &calls{account: "/accounts/" + x.Account}
	b.lists(x.Lists)
	b.rulesets(b.account, x.Rulesets, "custom", "POST")
	b.rulesets(b.account, x.Rulesets, "root", "PUT")
	for _, z := range x.Zones {
		b.rulesets("/zones/"+z.ID, z.Rulesets, "zone", "PUT")
	}
	for _, z := range x.Zones {
		for _, p := range z.PageRules {
			b.add("POST", "/zones/"+z.ID+"/pagerules", b.keep(p, "targets", "actions", "priority", "status"), "page rule of "+z.Name)
		}
		b.access("/zones/"+z.ID, z.AccessRules, "zone")
	}
	b.access(b.account, x.AccessRules, "organization", "user")
	b.tunnels(x)
	return b.list, b.err
}

type calls struct {
	account string
	list    []Call
	err     error
}

func (b *calls) add(method, path string, body json.RawMessage, why string) {
	b.list = append(b.list, Call{method, path, body, why})
}

// keep is an object with some of its fields.
func (b *calls) keep(raw json.RawMessage, names ...string) json.RawMessage {
	o, out := b.fields(raw), map[string]json.RawMessage{}
	for _, n := range names {
		if v, ok := o[n]; ok && string(v) != "null" {
			out[n] = v
		}
	}
	return b.body(out)
}

func (b *calls) fields(raw json.RawMessage) map[string]json.RawMessage {
	var o map[string]json.RawMessage
	if err := json.Unmarshal(raw, &o); err != nil && b.err == nil {
		b.err = fmt.Errorf("read an object of the export: %w", err)
	}
	return o
}

func (b *calls) body(v any) json.RawMessage {
	raw, err := marshal(v)
	if err != nil && b.err == nil {
		b.err = err
	}
	return raw
}

// word is a field that is a text, fit for a line and a path.
func (b *calls) word(raw json.RawMessage, name string) string {
	var s string
	if json.Unmarshal(b.fields(raw)[name], &s) != nil {
		return ""
	}
	return printable(s)
}

// id is one that may stand in a path.
func (b *calls) id(raw json.RawMessage, name string) string {
	id := b.word(raw, name)
	if err := ids(id); err != nil && b.err == nil {
		b.err = err
	}
	return id
}

func (b *calls) lists(lists []List) {
	for _, l := range lists {
		name := b.word(l.List, "name")
		b.add("POST", b.account+"/rules/lists", b.keep(l.List, "name", "kind", "description"),
			"list "+name+": leave it out when the list is there")
		items := []json.RawMessage{}
		for _, i := range l.Items {
			items = append(items, b.keep(i, "ip", "asn", "hostname", "redirect", "comment"))
		}
		b.add("PUT", b.account+"/rules/lists/"+b.id(l.List, "id")+"/items", array(items),
			"all items of list "+name+"; of a list that was made anew, put its new id into the path. It works on: GET "+
				"…/rules/lists/bulk_operations/ID tells when it is done")
	}
}

// rulesets of one kind: custom ones are made anew, entrypoints are replaced.
func (b *calls) rulesets(owner string, list []json.RawMessage, kind, method string) {
	for _, r := range list {
		if b.word(r, "kind") != kind {
			continue
		}
		var rules []json.RawMessage
		if raw, ok := b.fields(r)["rules"]; ok && json.Unmarshal(raw, &rules) != nil && b.err == nil {
			b.err = fmt.Errorf("read ruleset %s: its rules are not a list", b.word(r, "id"))
		}
		kept := []json.RawMessage{}
		for _, rule := range rules {
			kept = append(kept, b.keep(rule, "action", "action_parameters", "description", "enabled", "exposed_credential_check", "expression",
				"logging", "ratelimit", "ref"))
		}
		o := b.fields(b.keep(r, "name", "description", "kind", "phase"))
		o["rules"] = array(kept)
		phase := b.word(r, "phase")
		if method == "POST" {
			b.add(method, owner+"/rulesets", b.body(o),
				"custom ruleset "+b.word(r, "name")+"; rules that execute it name its id, which the answer shows: it was "+b.word(r, "id"))
			continue
		}
		if phase == "" || strings.Trim(phase, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			b.err = fmt.Errorf("read ruleset %s: bad phase %q", b.word(r, "id"), phase)
			return
		}
		delete(o, "kind")
		delete(o, "phase")
		b.add(method, owner+"/rulesets/phases/"+phase+"/entrypoint", b.body(o), "all rules of phase "+phase)
	}
}

// access rules of a scope: a zone's list shows those of its account, too.
func (b *calls) access(owner string, list []json.RawMessage, scopes ...string) {
	for _, r := range list {
		scope := b.fields(r)["scope"]
		for _, s := range scopes {
			if scope == nil || b.word(scope, "type") == s {
				b.add("POST", owner+"/firewall/access_rules/rules", b.keep(r, "mode", "configuration", "notes"), "access rule")
				break
			}
		}
	}
}

func (b *calls) tunnels(x NetExport) {
	for _, t := range x.Tunnels {
		name, id := b.word(t.Tunnel, "name"), b.id(t.Tunnel, "id")
		b.add("POST", b.account+"/cfd_tunnel", b.keep(t.Tunnel, "name", "config_src"),
			"tunnel "+name+": leave it out when the tunnel is there; a new one has a new id and token, which its machine needs")
		if t.Config != nil {
			b.add("PUT", b.account+"/cfd_tunnel/"+id+"/configurations", b.keep(t.Config, "config"),
				"ingress rules of tunnel "+name+"; of a tunnel that was made anew, put its new id into the path, and into the CNAME records to "+id+
					".cfargotunnel.com")
		}
	}
	for _, n := range x.VirtualNetworks {
		b.add("POST", b.account+"/teamnet/virtual_networks", b.keep(n, "name", "comment", "is_default_network"),
			"virtual network "+b.word(n, "name")+": leave it out when it is there")
	}
	for _, r := range x.Routes {
		b.add("POST", b.account+"/teamnet/routes", b.keep(r, "network", "comment", "tunnel_id", "virtual_network_id"),
			"route to "+b.word(r, "network")+"; ids of tunnels and networks that were made anew differ")
	}
}

// recordsPerCall is what the smallest plan allows in one batch.
const recordsPerCall = 200

// RecordCalls are the requests that create records in a zone, from Cloudflare's own
// JSON. A batch is one transaction.
func RecordCalls(zoneID string, records []json.RawMessage) ([]Call, error) {
	if err := ids(zoneID); err != nil {
		return nil, err
	}
	b := &calls{}
	for from := 0; from < len(records); from += recordsPerCall {
		posts := []json.RawMessage{}
		for _, r := range records[from:min(from+recordsPerCall, len(records))] {
			names := []string{"name", "type", "ttl", "proxied", "comment", "tags", "settings", "priority", "content", "data", "private_routing"}
			if structured(b.fields(r)) {
				names = append(names[:8:8], "data")
			}
			posts = append(posts, b.keep(r, names...))
		}
		b.add("POST", "/zones/"+zoneID+"/dns_records/batch", b.body(map[string]json.RawMessage{"posts": array(posts)}),
			fmt.Sprintf("records %d to %d", from+1, from+len(posts)))
	}
	return b.list, b.err
}

// structured reports that a record is created by its data: its content is made of
// that.
func structured(o map[string]json.RawMessage) bool {
	var typ string
	if json.Unmarshal(o["type"], &typ) != nil {
		return false
	}
	data := strings.TrimSpace(string(o["data"]))
	return len(data) > 2 && data != "null" && strings.Contains(" CAA CERT DNSKEY DS HTTPS LOC NAPTR SMIMEA SRV SSHFP SVCB TLSA URI ",
		" "+typ+" ")
}

// SettingCalls are the requests that set what can be set of a zone.
func SettingCalls(zoneID string, dnsSettings, settings json.RawMessage) ([]Call, error) {
	if err := ids(zoneID); err != nil {
		return nil, err
	}
	b := &calls{}
	if dnsSettings != nil {
		b.add("PATCH", "/zones/"+zoneID+"/dns_settings", b.keep(dnsSettings, "flatten_all_cnames", "foundation_dns", "multi_provider", "ns_ttl",
			"secondary_overrides", "soa", "zone_mode"), "settings of DNS")
	}
	var list, items []json.RawMessage
	if settings != nil {
		if err := json.Unmarshal(settings, &list); err != nil {
			return nil, fmt.Errorf("read settings of the zone: %w", err)
		}
	}
	for _, s := range list {
		if string(b.fields(s)["editable"]) == "true" {
			items = append(items, b.keep(s, "id", "value"))
		}
	}
	if len(items) > 0 {
		b.add("PATCH", "/zones/"+zoneID+"/settings", b.body(map[string]json.RawMessage{"items": array(items)}), "settings of the zone")
	}
	return b.list, b.err
}
