package proxmox

import (
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Sizes that nobody decides on: as on a small machine.
const (
	diskTotal = 270553174016
	diskUsed  = 40677449728
	memTotal  = 25276514304
	memUsed   = 6390390784
	upSeconds = 3695
)

func (c *Cluster) getVersion(*request) (any, error) {
	return map[string]any{"release": "9.2", "repoid": "14a22df35955d97d", "version": "9.2.11"}, nil
}

func (c *Cluster) getPermissions(r *request) (any, error) {
	if who := r.get("userid"); who != "" && who != r.user.name {
		if err := r.user.need("/access", "Sys.Audit"); err != nil {
			return nil, err
		}
		t := r.s.Tokens[who]
		for _, name := range sortedKeys(r.s.Tokens) { // a user has what its tokens have, here
			if t == nil && owner(name) == who {
				t = r.s.Tokens[name]
			}
		}
		switch {
		case t == nil && who == "root@pam":
			t = &Token{Root: true}
		case t == nil:
			t = &Token{}
		}
		return (&user{who, t}).permissions(r.get("path"), r.s.entries()...), nil
	}
	return r.user.permissions(r.get("path"), r.s.entries()...), nil
}

// entries are the paths that the ACL has entries of.
func (s *state) entries() (out []string) {
	for _, t := range s.Tokens {
		for at := range t.ACL {
			out = append(out, at)
		}
	}
	return out
}

func (c *Cluster) getNodes(r *request) (any, error) {
	out := []any{}
	for _, n := range r.s.nodes() {
		e := map[string]any{"id": "node/" + n, "level": "", "node": n, "ssl_fingerprint": c.cfg.Fingerprint, "status": "online", "type": "node"}
		switch {
		case c.blind(n):
			delete(e, "level")
			e["status"] = "unknown"
		case r.user.has("/nodes/"+n, "Sys.Audit"):
			addFigures(e)
		}
		out = append(out, e)
	}
	return out, nil
}

// blind reports a node whose pvestatd brings no figures.
func (c *Cluster) blind(node string) bool {
	due, err := c.cfg.Faults.Due("pvestatd "+node, "hang")
	return err == nil && len(due) > 0
}

func addFigures(e map[string]any) {
	for k, v := range map[string]any{"cpu": 0.25, "disk": diskUsed, "maxcpu": 2, "maxdisk": diskTotal, "maxmem": memTotal, "mem": memUsed,
		"uptime": upSeconds} {
		e[k] = v
	}
}

func (c *Cluster) getNodeStatus(*request) (any, error) {
	return map[string]any{
		"boot-info": map[string]any{"mode": "legacy-bios"}, "cpu": 0, "idle": 0, "wait": 0, "uptime": upSeconds,
		"cpuinfo": map[string]any{"cores": 2, "cpus": 2, "family": "25", "flags": "fpu vme sse4_2 aes avx2", "hvm": "",
			"mhz": "2445.424", "model": "AMD EPYC", "sockets": 1, "user_hz": 100, "vendor": "AuthenticAMD"},
		"current-kernel": map[string]any{"machine": "x86_64", "release": "6.14.11-4-pve", "sysname": "Linux",
			"version": "#1 SMP PREEMPT_DYNAMIC PMX 6.14.11-4"},
		"kversion":   "Linux 6.14.11-4-pve #1 SMP PREEMPT_DYNAMIC PMX 6.14.11-4",
		"ksm":        map[string]any{"shared": 0},
		"loadavg":    []string{"0.64", "0.17", "0.73"},
		"memory":     map[string]any{"available": memTotal - memUsed, "free": 8117817344, "total": memTotal, "used": memUsed},
		"pveversion": "pve-manager/9.2.11/14a22df35955d97d",
		"rootfs":     map[string]any{"avail": diskTotal - diskUsed, "free": diskTotal - diskUsed, "total": diskTotal, "used": diskUsed},
		"swap":       map[string]any{"free": 0, "total": 0, "used": 0},
	}, nil
}

func (c *Cluster) getClusterStatus(r *request) (any, error) {
	var out []any
	if r.s.Name != "" {
		out = append(out, map[string]any{"id": "cluster", "name": r.s.Name, "nodes": len(r.s.Nodes), "quorate": 1, "type": "cluster",
			"version": len(r.s.Nodes)})
	}
	for i, n := range r.s.nodes() {
		id, local := i, 0
		if r.s.Name != "" {
			id++
		}
		if i == 0 {
			local = 1
		}
		out = append(out, map[string]any{"id": "node/" + n, "ip": "10.77.0." + strconv.Itoa(i+1), "level": "", "local": local,
			"name": n, "nodeid": id, "online": 1, "type": "node"})
	}
	return out, nil
}

func (c *Cluster) getResources(r *request) (any, error) {
	kind := r.get("type")
	out := []any{}
	if kind == "" || kind == "vm" {
		guests, err := c.guests(r.s)
		if err != nil {
			return nil, err
		}
		for _, g := range guests {
			if r.user.has("/vms/"+strconv.Itoa(g.id), "VM.Audit") {
				e := c.resource(g)
				if pool := r.s.poolOf(g.id); pool != "" {
					e["pool"] = pool
				}
				if c.blind(g.node) {
					maps.DeleteFunc(e, func(k string, _ any) bool {
						return !slices.Contains([]string{"id", "node", "pool", "tags", "type", "vmid"}, k)
					})
					e["status"] = "unknown"
				}
				out = append(out, e)
			}
		}
	}
	for _, n := range r.s.nodes() {
		if kind == "" || kind == "node" {
			e := map[string]any{"cgroup-mode": 2, "id": "node/" + n, "level": "", "node": n, "status": "online", "type": "node"}
			if r.user.has("/nodes/"+n, "Sys.Audit") {
				addFigures(e)
			}
			out = append(out, e)
		}
		if kind == "" || kind == "storage" {
			out = append(out, c.storageResources(r, n)...)
		}
		if (kind == "" || kind == "network") && r.user.has("/sdn/zones/localnetwork", "SDN.Audit", "SDN.Use") {
			out = append(out, map[string]any{"id": "network/" + n + "/zone/localnetwork", "network": "localnetwork", "network-type": "zone",
				"node": n, "status": "ok", "type": "network"})
		}
	}
	return out, nil
}

// poolOf is the pool that a guest is in: one at most.
func (s *state) poolOf(id int) string {
	for _, name := range sortedKeys(s.Pools) {
		if containsInt(s.Pools[name], id) {
			return name
		}
	}
	return ""
}

// resource is a guest in /cluster/resources.
func (c *Cluster) resource(g *guest) map[string]any {
	e := c.status(g)
	for _, k := range []string{"cpus", "maxswap", "swap", "pid", "serial"} {
		delete(e, k)
	}
	for k := range e {
		if strings.HasPrefix(k, "pressure") {
			delete(e, k)
		}
	}
	e["id"], e["node"], e["type"] = g.kind+"/"+strconv.Itoa(g.id), g.node, g.kind
	e["maxcpu"], e["memhost"], e["template"] = g.cores(), 0, g.conf.int("template", 0)
	e["diskread"], e["diskwrite"] = 0, 0
	return e
}

func (c *Cluster) storageResources(r *request, node string) []any {
	var out []any
	for _, id := range sortedKeys(r.s.Storages) {
		if !auditStorage(r.user, id) {
			continue
		}
		st := r.s.Storages[id]
		status := "available"
		if _, err := c.storage(r.s, id); err != nil {
			status = "unknown"
		}
		out = append(out, map[string]any{"content": st.Content, "disk": diskUsed, "id": "storage/" + node + "/" + id, "maxdisk": diskTotal,
			"node":       node,
			"plugintype": st.Type, "shared": flag(st.Shared), "status": status, "storage": id, "type": "storage"})
	}
	return out
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (c *Cluster) getNextID(r *request) (any, error) {
	guests, err := c.guests(r.s)
	if err != nil {
		return nil, err
	}
	taken := map[int]*guest{}
	for _, g := range guests {
		taken[g.id] = g
	}
	if v := r.get("vmid"); v != "" {
		if taken[r.vmid()] != nil {
			return nil, badParam("vmid", "VM "+v+" already exists")
		}
		return v, nil
	}
	id := 100
	for taken[id] != nil {
		id++
	}
	return strconv.Itoa(id), nil
}

// getNotBackedUp lists the guests that no job covers; one that is switched off covers, too.
func (c *Cluster) getNotBackedUp(r *request) (any, error) {
	guests, err := c.guests(r.s)
	if err != nil {
		return nil, err
	}
	covered := map[int]bool{}
	for _, j := range r.s.Jobs {
		skip := map[string]bool{}
		list := func(key string) []string { v, _ := j[key].(string); return splitList(v) }
		for _, v := range list("exclude") {
			skip[v] = true
		}
		for _, g := range guests {
			id := strconv.Itoa(g.id)
			all := j["all"] == 1 || j["all"] == float64(1)
			pool, _ := j["pool"].(string)
			if (all || contains(list("vmid"), id) || containsInt(r.s.Pools[pool], g.id)) && !skip[id] {
				covered[g.id] = true
			}
		}
	}
	out := []any{}
	sort.Slice(guests, func(i, j int) bool { return guests[i].id < guests[j].id })
	for _, g := range guests {
		if !covered[g.id] && r.user.has("/vms/"+strconv.Itoa(g.id), "VM.Audit") {
			out = append(out, map[string]any{"name": g.name(), "type": g.kind, "vmid": g.id})
		}
	}
	return out, nil
}

func contains(list []string, v string) bool {
	for _, e := range list {
		if e == v {
			return true
		}
	}
	return false
}

func containsInt(list []int, v int) bool {
	for _, e := range list {
		if e == v {
			return true
		}
	}
	return false
}
