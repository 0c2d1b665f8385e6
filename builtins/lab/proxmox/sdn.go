package proxmox

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"
	"strings"
)

// sectionConfig reads a file of Proxmox's section form: "type: id" and indented
// "key value" lines.
func sectionConfig(path, idKey string) ([]map[string]any, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []map[string]any
	for n, line := range strings.Split(string(raw), "\n") {
		switch {
		case strings.TrimSpace(line) == "":
		case line[0] == '\t' || line[0] == ' ':
			if len(out) == 0 {
				return nil, fmt.Errorf("%s line %d: a value without a section", path, n+1)
			}
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			var v any = number(value)
			if key == "dhcp-range" {
				old, _ := out[len(out)-1][key].([]any)
				v = append(old, dhcpRange(value))
			}
			out[len(out)-1][key] = v
		default:
			typ, id, ok := strings.Cut(line, ": ")
			if !ok {
				return nil, fmt.Errorf("%s line %d: want TYPE: ID", path, n+1)
			}
			out = append(out, map[string]any{"type": typ, idKey: id})
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return fmt.Sprint(out[i][idKey]) < fmt.Sprint(out[j][idKey]) })
	return out, nil
}

// dhcpRange is a range as an answer shows it; the file and the call hold it as a text.
func dhcpRange(text string) map[string]any {
	m := map[string]any{}
	for pair := range strings.SplitSeq(text, ",") {
		k, v, _ := strings.Cut(pair, "=")
		m[k] = v
	}
	return m
}

// sdnList reads one of /etc/pve/sdn/*.cfg as a list shows it: every entry has the digest
// of the whole file; ?running=1 shows what was applied, ?pending=1 what was not, apart.
func (c *Cluster) sdnList(r *request, file, idKey string) ([]map[string]any, error) {
	path := c.sdnPath(r.s, file+".cfg")
	all, err := sectionConfig(path, idKey)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	pending, err := c.sdnPending(r.s)
	if err != nil {
		return nil, err
	}
	var out []map[string]any
	for _, e := range all {
		fresh := slices.Contains(pending, file+" "+fmt.Sprint(e[idKey]))
		switch {
		case r.bool("running") && fresh:
			continue
		case r.bool("pending") && fresh:
			e = unapplied(e, idKey)
		}
		e["digest"] = digestOf(raw)
		if r.bool("running") || r.bool("pending") {
			e["digest"] = nil
		}
		out = append(out, e)
	}
	return out, nil
}

// unapplied shows an entry that was made and not applied: its values stand apart.
func unapplied(e map[string]any, idKey string) map[string]any {
	later, now := map[string]any{}, map[string]any{"state": "new"}
	for k, v := range e {
		if k == idKey || k == "type" || k == "vnet" {
			now[k] = v
		} else {
			later[k] = v
		}
	}
	now["pending"] = later
	return now
}

func digestOf(raw []byte) string {
	sum := sha1.Sum(raw)
	return hex.EncodeToString(sum[:])
}

// auditSDN is the right to see an object; lists leave out the others without a word.
func auditSDN(u *user, path string) bool { return u.has("/sdn/"+path, "SDN.Audit", "SDN.Allocate") }

// sdn answers with one of the files.
func sdn(file, idKey string) handler {
	return func(c *Cluster, r *request) (any, error) {
		all, err := c.sdnList(r, file, idKey)
		if err != nil {
			return nil, err
		}
		if file == "ipams" && !slices.ContainsFunc(all, func(e map[string]any) bool { return e["ipam"] == "pve" }) {
			all = append(all, map[string]any{"ipam": "pve", "type": "pve", "digest": digestOf(nil)})
		}
		return list(slices.DeleteFunc(all, func(e map[string]any) bool {
			path := file + "/" + fmt.Sprint(e[idKey])
			if file == "vnets" {
				path = fmt.Sprintf("zones/%v/%v", e["zone"], e["vnet"])
			}
			return !auditSDN(r.user, path)
		})), nil
	}
}

func (c *Cluster) getSubnets(r *request) (any, error) {
	v, err := c.vnet(r)
	if err != nil {
		return nil, err
	}
	all, err := c.sdnList(r, "subnets", "subnet")
	if err != nil {
		return nil, err
	}
	var own []map[string]any
	for _, s := range all {
		id := fmt.Sprint(s["subnet"])
		zone := fmt.Sprint(v["zone"])
		cidr := strings.TrimPrefix(id, zone+"-")
		at := strings.LastIndexByte(cidr, '-')
		if s["vnet"] != r.vars["vnet"] || at < 0 || !auditSDN(r.user, "zones/"+zone+"/"+r.vars["vnet"]) {
			continue
		}
		for k, value := range map[string]any{"id": id, "zone": zone, "network": cidr[:at], "mask": cidr[at+1:],
			"cidr": cidr[:at] + "/" + cidr[at+1:]} {
			s[k] = value
		}
		if s["dhcp-range"] == nil {
			s["dhcp-range"] = []any{}
		}
		own = append(own, s)
	}
	return list(own), nil
}

func (c *Cluster) getVnet(r *request) (any, error) {
	all, err := c.sdnList(r, "vnets", "vnet")
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if v["vnet"] == r.vars["vnet"] {
			return v, r.user.need(fmt.Sprintf("/sdn/zones/%v/%s", v["zone"], r.vars["vnet"]), "SDN.Audit", "SDN.Allocate")
		}
	}
	return nil, failf("sdn vnet '%s' does not exist", r.vars["vnet"])
}

func (c *Cluster) getZone(r *request) (any, error) {
	all, err := c.sdnList(r, "zones", "zone")
	if err != nil {
		return nil, err
	}
	for _, z := range all {
		if z["zone"] == r.vars["zone"] {
			return z, nil
		}
	}
	return nil, failf("sdn '%s' does not exist", r.vars["zone"])
}

// getFabrics: the lab has none.
func (c *Cluster) getFabrics(*request) (any, error) {
	return map[string]any{"fabrics": []any{}, "nodes": []any{}}, nil
}

// getVnetFirewall is an index that root@pam alone may read.
func (c *Cluster) getVnetFirewall(*request) (any, error) {
	return []any{map[string]any{"name": "options"}, map[string]any{"name": "rules"}}, nil
}

// getNetwork reads /etc/network/interfaces, of which it knows iface stanzas of
// static and manual addresses and their options.
func (c *Cluster) getNetwork(r *request) (any, error) {
	raw, err := os.ReadFile(c.node(r.node(), "etc/network/interfaces"))
	if err != nil {
		return nil, err
	}
	var out []map[string]any
	auto := map[string]bool{}
	var cur map[string]any
	for _, line := range strings.Split(string(raw), "\n") {
		w := strings.Fields(line)
		switch {
		case len(w) == 0 || strings.HasPrefix(w[0], "#"):
		case w[0] == "auto" && len(w) > 1:
			auto[w[1]] = true
		case w[0] == "iface" && len(w) >= 4:
			cur = map[string]any{"iface": w[1], "method": w[3], "method6": "manual", "families": []string{w[2]}, "type": "eth", "active": 1,
				"exists": 1, "priority": len(out) + 3}
			if strings.HasPrefix(w[1], "vmbr") {
				cur["type"] = "bridge"
				delete(cur, "exists") // of cards alone
			}
			out = append(out, cur)
		case cur != nil && len(w) >= 2:
			value := strings.Join(w[1:], " ")
			switch key := strings.ReplaceAll(w[0], "-", "_"); key {
			case "address":
				cur["cidr"] = value
				cur["address"], cur["netmask"], _ = strings.Cut(value, "/")
			default:
				if value == "none" {
					value = ""
				}
				cur[key] = value
			}
		}
	}
	for _, i := range out {
		if auto[fmt.Sprint(i["iface"])] && i["iface"] != "lo" {
			i["autostart"] = 1
		}
	}
	if !r.user.has("/sdn/zones/localnetwork", "SDN.Audit", "SDN.Use") { // left out without a word
		out = slices.DeleteFunc(out, func(i map[string]any) bool { return i["type"] == "bridge" })
	}
	return list(out), nil
}
