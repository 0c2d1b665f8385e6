package proxmox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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
			out[len(out)-1][key] = number(value)
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

// sdn answers with one of /etc/pve/sdn/*.cfg.
func sdn(file, idKey string) handler {
	return func(c *Cluster, r *request) (any, error) {
		all, err := sectionConfig(c.node(r.s.nodes()[0], "etc/pve/sdn/"+file+".cfg"), idKey)
		if err != nil {
			return nil, err
		}
		return list(all), nil
	}
}

func (c *Cluster) getSubnets(r *request) (any, error) {
	all, err := sectionConfig(c.node(r.s.nodes()[0], "etc/pve/sdn/subnets.cfg"), "subnet")
	if err != nil {
		return nil, err
	}
	var own []map[string]any
	for _, s := range all {
		if s["vnet"] == r.vars["vnet"] {
			own = append(own, s)
		}
	}
	return list(own), nil
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
			cur = map[string]any{"iface": w[1], "method": w[3], "method6": "manual", "families": []string{w[2]}, "type": "eth", "active": 1, "exists": 1, "priority": len(out) + 3}
			if strings.HasPrefix(w[1], "vmbr") {
				cur["type"] = "bridge"
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
	return list(out), nil
}
