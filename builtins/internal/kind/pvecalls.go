package kind

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// proxmoxCalls are the calls that bring the firewall, SDN and networks of a Proxmox
// VE back, as pvesh on a node takes them. What others name comes first: aliases,
// then sets, then groups, then rules, options last; the cluster's own options, which
// switch the firewall on, are the very last line.
func proxmoxCalls(d *ruleset.Document) ([]string, error) {
	out := []string{"#!/bin/sh -eu", "# On a node of the cluster. pvesh create inserts a rule at the top: rules are given from the last to the first.",
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
	for _, kind := range []string{"zones", "controllers", "ipams", "dns", "vnets"} {
		if err := eachEntry(d, "sdn/"+kind, false, func(m map[string]any) {
			if kind == "ipams" && m["ipam"] == "pve" {
				return // there always
			}
			out = append(out, "pvesh create /cluster/sdn/"+kind+options(m))
		}); err != nil {
			return nil, err
		}
	}
	for _, s := range d.Sections {
		vnet, ok := strings.CutSuffix(strings.TrimPrefix(s.Name, "sdn/vnets/"), "/subnets")
		if !ok {
			continue
		}
		if err := eachEntry(d, s.Name, false, func(m map[string]any) {
			if cidr, ok := m["cidr"]; ok {
				m["subnet"] = cidr
				delete(m, "cidr")
			}
			m["type"] = "subnet"
			delete(m, "vnet")
			out = append(out, "pvesh create /cluster/sdn/vnets/"+Quote(vnet)+"/subnets"+options(m))
		}); err != nil {
			return nil, err
		}
	}
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

// cutScope splits "guest/100/rules" into "guest/100" and "rules".
func cutScope(name string) (scope, part string, ok bool) {
	first, rest, _ := strings.Cut(name, "/")
	switch first {
	case "cluster":
		return "cluster", rest, true
	case "node", "guest":
		id, part, _ := strings.Cut(rest, "/")
		return first + "/" + id, part, true
	}
	return "", "", false
}

// scopePath is where pvesh finds a scope.
func scopePath(scope string, guests map[string]string) string {
	first, id, _ := strings.Cut(scope, "/")
	switch first {
	case "node":
		return "/nodes/" + Quote(id) + "/firewall"
	case "guest":
		return `/nodes/"$NODE"/` + guests[id] + "/" + Quote(id) + "/firewall"
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
			delete(m, "ipversion")
			out = append(out, "pvesh create "+path+"/rules"+options(m))
		})
	case "aliases":
		err = eachEntry(d, scope+"/aliases", false, func(m map[string]any) {
			delete(m, "ipversion")
			out = append(out, "pvesh create "+path+"/aliases"+options(m))
		})
	case "ipset", "groups":
		key := map[string]string{"ipset": "name", "groups": "group"}[part]
		err = eachEntry(d, scope+"/"+part, false, func(m map[string]any) {
			out = append(out, "pvesh create "+path+"/"+part+options(m))
			name := fmt.Sprint(m[key])
			if e := eachEntry(d, scope+"/"+part+"/"+name, part == "groups", func(m map[string]any) {
				delete(m, "ipversion")
				out = append(out, "pvesh create "+path+"/"+part+"/"+Quote(name)+options(m))
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

// options are words of pvesh for the fields of an entry.
func options(m map[string]any) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := m[k]
		if n, ok := v.(float64); ok {
			v = int64(n)
		}
		if l, ok := v.([]any); ok {
			for _, x := range l {
				fmt.Fprintf(&b, " --%s %s", Safe(k), Quote(fmt.Sprint(x)))
			}
			continue
		}
		fmt.Fprintf(&b, " --%s %s", Safe(k), Quote(fmt.Sprint(v)))
	}
	return b.String()
}
