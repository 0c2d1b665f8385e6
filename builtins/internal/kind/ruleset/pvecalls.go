package ruleset

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/neosofia/runner/builtins/internal/kind"

	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// proxmoxCalls are the calls that bring the firewall, SDN and networks of a Proxmox
// VE back, as pvesh on a node takes them. What others name comes first: aliases,
// then sets, then groups, then rules, options last; the cluster's own options, which
// switch the firewall on, are the very last line.
func proxmoxCalls(d *ruleset.Document) ([]string, error) {
	out := []string{"#!/bin/sh -eu", "# On a node of the cluster. pvesh create inserts a rule at the top: rules are given from the last to " +
		"the first.",
		"# Where an entry is there already, pvesh says so and this ends: remove what is wrong, then go on from that line."}
	guests := map[string]string{}
	if err := eachEntry(d, "guests", false, func(m map[string]any) {
		typ := "qemu"
		if m["type"] == "lxc" {
			typ = "lxc"
		}
		guests[fmt.Sprint(m["vmid"])] = typ
	}); err != nil {
		return nil, err
	}
	out = append(out, `NODE=${NODE:-$(hostname)} # where the guests are; those of another node: that node's lines with its name`)
	var scopes []string
	for _, s := range d.Sections {
		if scope, _, ok := cutScope(s.Name); ok && !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	sdn, err := sdnCalls(d)
	if err != nil {
		return nil, err
	}
	out = append(out, sdn...)
	out = append(out, "pvesh set /cluster/sdn")
	for _, part := range []string{"aliases", "ipset", "groups", "rules", "options"} {
		for _, scope := range scopes {
			path := scopePath(scope, guests)
			if scope == "cluster" && part == "options" {
				continue // the very last
			}
			lines, err := scopeCalls(d, scope, part, path)
			if err != nil {
				return nil, err
			}
			out = append(out, lines...)
		}
	}
	if err := eachNetwork(d, &out); err != nil {
		return nil, err
	}
	last, err := scopeCalls(d, "cluster", "options", "/cluster/firewall")
	if err != nil {
		return nil, err
	}
	out = append(out, "# This switches the firewall on. Have a console at hand.")
	return append(out, last...), nil
}

// sdnCalls make what zones need before the zones, and what is in them after.
func sdnCalls(d *ruleset.Document) (out []string, err error) {
	create := func(section, path string, derived ...string) {
		err = errors.Join(err, eachEntry(d, section, false, func(m map[string]any) {
			if section == "sdn/ipams" && m["ipam"] == "pve" {
				return // there always
			}
			out = append(out, "pvesh create "+path+options(m, derived...)+secretOf(section, m))
		}))
	}
	err = eachEntry(d, "sdn/fabrics", false, func(m map[string]any) {
		out = append(out, fabricCalls(m)...)
	})
	create("sdn/prefix-lists", "/cluster/sdn/prefix-lists")
	create("sdn/route-maps", "/cluster/sdn/route-maps/entries")
	for _, kind := range []string{"ipams", "dns", "controllers", "zones", "vnets"} {
		create("sdn/"+kind, "/cluster/sdn/"+kind)
	}
	for _, s := range d.Sections {
		vnet, ok := strings.CutSuffix(strings.TrimPrefix(s.Name, "sdn/vnets/"), "/subnets")
		if !ok {
			continue
		}
		err = errors.Join(err, eachEntry(d, s.Name, false, func(m map[string]any) {
			if cidr, ok := m["cidr"]; ok {
				m["subnet"] = cidr
			}
			m["type"] = "subnet"
			out = append(out, "pvesh create /cluster/sdn/vnets/"+kind.Quote(vnet)+"/subnets"+options(m, "cidr", "id", "mask", "network", "zone",
				"vnet"))
		}))
	}
	return out, err
}

// secretOf asks for what an export leaves out and the call demands.
func secretOf(section string, m map[string]any) string {
	for _, s := range []struct{ section, id, field string }{{"sdn/ipams", "ipam", "token"}, {"sdn/dns", "dns", "key"}} {
		if s.section == section && m[s.field] == nil {
			return fmt.Sprintf(` --%s "${%s:?of %s, it is not exported: set it in the environment}"`, s.field, strings.ToUpper(s.field),
				kind.Safe(fmt.Sprint(m[s.id])))
		}
	}
	return ""
}

// fabricCalls make the fabrics, then their nodes.
func fabricCalls(m map[string]any) (out []string) {
	list := func(key string) (entries []map[string]any) {
		all, _ := m[key].([]any)
		for _, e := range all {
			if one, ok := e.(map[string]any); ok && len(one) > 0 {
				entries = append(entries, one)
			}
		}
		return entries
	}
	for _, f := range list("fabrics") {
		out = append(out, "pvesh create /cluster/sdn/fabrics/fabric"+options(f))
	}
	for _, n := range list("nodes") {
		out = append(out, "pvesh create /cluster/sdn/fabrics/node/"+kind.Quote(fmt.Sprint(n["fabric_id"]))+options(n, "fabric_id"))
	}
	return out
}

// cutScope splits "guest/100/rules" into "guest/100" and "rules".
func cutScope(name string) (scope, part string, ok bool) {
	first, rest, _ := strings.Cut(name, "/")
	switch first {
	case "cluster":
		return "cluster", rest, true
	case "node", "guest":
		id, part, _ := strings.Cut(rest, "/")
		return first + "/" + id, part, true
	case "sdn":
		vnet, isVnet := strings.CutPrefix(rest, "vnets/")
		if at := strings.LastIndexByte(vnet, '/'); isVnet && at > 0 && vnet[at+1:] != "subnets" {
			return "sdn/vnets/" + vnet[:at], vnet[at+1:], true
		}
	}
	return "", "", false
}

// scopePath is where pvesh finds a scope.
func scopePath(scope string, guests map[string]string) string {
	first, id, _ := strings.Cut(scope, "/")
	switch first {
	case "sdn":
		return "/cluster/sdn/vnets/" + kind.Quote(strings.TrimPrefix(id, "vnets/")) + "/firewall"
	case "node":
		return "/nodes/" + kind.Quote(id) + "/firewall"
	case "guest":
		return `/nodes/"$NODE"/` + guests[id] + "/" + kind.Quote(id) + "/firewall"
	}
	return "/cluster/firewall"
}

func scopeCalls(d *ruleset.Document, scope, part, path string) (out []string, err error) {
	switch part {
	case "options":
		err = eachEntry(d, scope+"/options", false, func(m map[string]any) {
			if len(m) > 0 {
				out = append(out, "pvesh set "+path+"/options"+options(m))
			}
		})
	case "rules":
		err = eachEntry(d, scope+"/rules", true, func(m map[string]any) {
			out = append(out, "pvesh create "+path+"/rules"+options(m, "ipversion"))
		})
	case "aliases":
		err = eachEntry(d, scope+"/aliases", false, func(m map[string]any) {
			out = append(out, "pvesh create "+path+"/aliases"+options(m, "ipversion"))
		})
	case "ipset", "groups":
		key := map[string]string{"ipset": "name", "groups": "group"}[part]
		err = eachEntry(d, scope+"/"+part, false, func(m map[string]any) {
			out = append(out, "pvesh create "+path+"/"+part+options(m))
			name := fmt.Sprint(m[key])
			if e := eachEntry(d, scope+"/"+part+"/"+name, part == "groups", func(m map[string]any) {
				out = append(out, "pvesh create "+path+"/"+part+"/"+kind.Quote(name)+options(m, "ipversion"))
			}); e != nil {
				err = e
			}
		})
	}
	return out, err
}

// eachNetwork lists what the nodes' interfaces were: they are set by hand, with a
// console, since a wrong one cuts the node off.
func eachNetwork(d *ruleset.Document, out *[]string) error {
	for _, s := range d.Sections {
		scope, part, ok := cutScope(s.Name)
		if !ok || part != "network" {
			continue
		}
		*out = append(*out, "# Interfaces of "+scope+", to be compared with /etc/network/interfaces by hand:")
		for _, e := range s.Entries {
			*out = append(*out, "#   "+string(e))
		}
	}
	return nil
}

func eachEntry(d *ruleset.Document, section string, backwards bool, f func(m map[string]any)) error {
	s := d.Section(section)
	if s == nil {
		return nil
	}
	entries := slices.Clone(s.Entries)
	if backwards {
		slices.Reverse(entries)
	}
	for _, e := range entries {
		var m map[string]any
		if err := json.Unmarshal(e, &m); err != nil {
			return fmt.Errorf("section %s: %w", section, err)
		}
		f(m)
	}
	return nil
}

// options are words of pvesh for the fields of an entry, without those that the answer
// has and the call refuses: they follow from others.
func options(m map[string]any, derived ...string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if slices.Contains(derived, k) {
			continue
		}
		values, list := m[k].([]any)
		if !list {
			values = []any{m[k]}
		}
		for _, v := range values {
			fmt.Fprintf(&b, " --%s %s", kind.Safe(k), kind.Quote(word(v)))
		}
	}
	return b.String()
}

// word is a value as a call takes it. What an answer gives as an object is a property
// string there: key=value,key=value, the values of a list in it apart by semicolons.
func word(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var pairs []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			pairs = append(pairs, k+"="+word(v[k]))
		}
		return strings.Join(pairs, ",")
	case []any:
		var words []string
		for _, x := range v {
			words = append(words, word(x))
		}
		return strings.Join(words, ";")
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return map[bool]string{true: "1", false: "0"}[v]
	}
	return fmt.Sprint(v)
}
