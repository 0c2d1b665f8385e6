package proxmox

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// guestOf finds the guest that a request's path names.
func (c *Cluster) guestOf(r *request) (*guest, error) {
	return c.at(r.s, r.node(), r.kind(), r.vmid())
}

// kind of guest that the path names.
func (r *request) kind() string {
	if strings.HasPrefix(r.path, "/nodes/"+r.vars["node"]+"/lxc") || strings.HasPrefix(r.path, "/nodes/localhost/lxc") {
		return "lxc"
	}
	return "qemu"
}

func (c *Cluster) getVMs(r *request) (any, error) { return c.listGuests(r, "qemu") }
func (c *Cluster) getCTs(r *request) (any, error) { return c.listGuests(r, "lxc") }

func (c *Cluster) listGuests(r *request, kind string) (any, error) {
	guests, err := c.guests(r.s)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, g := range guests {
		if g.node == r.node() && g.kind == kind && r.user.has("/vms/"+strconv.Itoa(g.id), "VM.Audit") {
			e := c.status(g)
			if kind == "qemu" && !r.bool("full") {
				delete(e, "qmpstatus")
			}
			out = append(out, e)
		}
	}
	return out, nil
}

// status is what lists and status/current share.
func (c *Cluster) status(g *guest) map[string]any {
	e := map[string]any{
		"cpu": 0, "cpus": g.cores(), "disk": 0, "maxdisk": g.maxDisk(), "maxmem": g.conf.int("memory", 512) << 20, "mem": 0,
		"name": g.name(), "netin": 0, "netout": 0, "status": "stopped", "uptime": 0, "vmid": g.id,
	}
	if g.lock != "" {
		e["lock"] = g.lock
	}
	for _, k := range []string{"tags"} {
		if v := g.conf.keys[k]; v != "" {
			e[k] = v
		}
	}
	if g.conf.int("template", 0) == 1 {
		e["template"] = 1
	}
	if g.conf.keys["serial0"] != "" {
		e["serial"] = 1
	}
	if g.kind == "lxc" {
		for k, v := range map[string]any{"diskread": 0, "diskwrite": 0, "maxswap": g.conf.int("swap", 512) << 20, "swap": 0, "type": "lxc"} {
			e[k] = v
		}
	} else {
		e["memhost"] = 0
	}
	if g.st.Running {
		e["status"], e["uptime"], e["pid"] = "running", max(c.cfg.Now().Unix()-g.st.Since, 0), 900+g.id
		e["mem"], e["diskread"], e["diskwrite"] = 110592, 0, 0
		for _, k := range []string{"cpu", "io", "memory"} {
			for _, how := range []string{"full", "some"} {
				if g.kind == "lxc" {
					e["pressure"+k+how] = "0.00"
				} else {
					e["pressure"+k+how] = 0
				}
			}
		}
	}
	return e
}

// maxDisk is the size of the first disk, in bytes.
func (g *guest) maxDisk() int64 {
	for _, d := range g.conf.disks() {
		if n, ok := parseSize(d.props.get("size")); ok && !d.cdrom() {
			return n
		}
	}
	return 0
}

func (c *Cluster) getCurrent(r *request) (any, error) {
	g, err := c.guestOf(r)
	if err != nil {
		return nil, err
	}
	e := c.status(g)
	e["ha"] = map[string]any{"managed": 0}
	if g.kind == "lxc" {
		return e, nil
	}
	e["qmpstatus"] = e["status"]
	if g.agent() != "" {
		e["agent"] = 1
	}
	if g.st.Running {
		e["running-machine"], e["running-qemu"] = "pc-i440fx-10.0+pve1", "10.0.13"
		e["balloon"], e["ballooninfo"] = e["maxmem"], map[string]any{"actual": e["maxmem"], "max_mem": e["maxmem"]}
		e["blockstat"], e["nics"] = map[string]any{}, map[string]any{}
		e["proxmox-support"] = map[string]any{"backup-access-api": true, "backup-fleecing": true, "backup-max-workers": true,
			"pbs-dirty-bitmap": true, "pbs-dirty-bitmap-migration": true, "pbs-dirty-bitmap-savevm": true,
			"pbs-library-version": "1.5.0", "pbs-masterkey": true, "query-bitmap-info": true}
	}
	return e, nil
}

func (c *Cluster) getConfig(r *request) (any, error) {
	g, err := c.guestOf(r)
	if err != nil {
		return nil, err
	}
	return c.guestConf(g), nil
}

// guestConf is the configuration with the types that the schema of the writing
// method gives to its keys.
func (c *Cluster) guestConf(g *guest) map[string]any {
	m := c.schema.Paths["/nodes/{node}/"+g.kind+"/{vmid}/config"]["PUT"]
	out := g.conf.api(m)
	if g.lock != "" {
		out["lock"] = g.lock
	}
	return out
}

func (c *Cluster) getPending(r *request) (any, error) {
	g, err := c.guestOf(r)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for k, v := range c.guestConf(g) {
		out = append(out, map[string]any{"key": k, "value": v})
	}
	return out, nil
}

func (c *Cluster) putConfig(r *request) (any, error) {
	return nil, c.applyConfig(r.node(), r.kind(), r.vmid(), r.params)
}

func (c *Cluster) postConfig(r *request) (any, error) {
	if _, err := c.guestOf(r); err != nil {
		return nil, err
	}
	return c.start(r.node(), "qmconfig", strconv.Itoa(r.vmid()), r.user.name, r.params)
}

func (c *Cluster) runConfig(t *task) error {
	id, _ := strconv.Atoi(t.rec.ID)
	return c.applyConfig(t.rec.Node, "qemu", id, t.rec.Args)
}

// applyConfig changes the keys that a client may change in the lab: everything
// but disks and locks.
func (c *Cluster) applyConfig(node, kind string, id int, params url.Values) error {
	return c.editConf(node, kind, id, func(g *guest) error {
		if err := g.lockError(); err != nil {
			return err
		}
		if d := params.Get("digest"); d != "" && d != g.conf.digest() {
			return failf("detected modified configuration - file changed by other user? Try again.")
		}
		for _, k := range splitList(params.Get("delete")) {
			delete(g.conf.keys, k)
		}
		for k := range params {
			if k == "node" || k == "vmid" || k == "digest" || k == "delete" || k == "revert" || k == "background_delay" || k == "skiplock" ||
				k == "force" {
				continue
			}
			if err := setKey(g.conf, kind, k, params.Get(k)); err != nil {
				return err
			}
		}
		return nil
	})
}

// setKey sets one key of a configuration as PVE normalises it.
func setKey(cf *conf, kind, key, value string) error {
	switch {
	case key == "description":
		cf.comments = strings.Split(value, "\n")
		return nil
	case diskKey.MatchString(key) || mountKey.MatchString(key):
		return failf("the lab does not change disks: %s", key)
	case key == "tags":
		value = strings.Join(sortedTags(value), ";")
	case strings.HasPrefix(key, "net"):
		value = withMAC(kind, value)
	}
	if _, ok := parseBool(value); ok && (key == "onboot" || key == "protection" || key == "kvm") {
		v, _ := parseBool(value)
		value = strconv.Itoa(flag(v))
	}
	cf.keys[key] = value
	return nil
}

// sortedTags are those of a list in their order and in small letters, each once.
func sortedTags(value string) []string {
	tags := strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return r == ';' || r == ',' || r == ' ' })
	slices.Sort(tags)
	return slices.Compact(tags)
}

// withMAC gives a network card an address when it has none.
func withMAC(kind, value string) string {
	p := parseProps(value)
	if kind == "lxc" {
		if p.get("hwaddr") == "" {
			p.set("hwaddr", randomMAC())
		}
		if p.get("type") == "" {
			p.set("type", "veth")
		}
		slices.SortStableFunc(p.pairs, func(a, b [2]string) int { // the name first, the others in their order
			if (a[0] == "name") != (b[0] == "name") {
				return map[bool]int{true: -1, false: 1}[a[0] == "name"]
			}
			return strings.Compare(a[0], b[0])
		})
		return p.String()
	}
	if p.first != "" { // "virtio" without an address
		p.pairs = append([][2]string{{p.first, randomMAC()}}, p.pairs...)
		p.first = ""
	} else if model := p.get("model"); model != "" {
		mac := p.get("macaddr")
		if mac == "" {
			mac = randomMAC()
		}
		var rest [][2]string
		for _, kv := range p.pairs {
			if kv[0] != "model" && kv[0] != "macaddr" {
				rest = append(rest, kv)
			}
		}
		p.pairs = append([][2]string{{model, mac}}, rest...)
	}
	return p.String()
}

// newMAC replaces the address of a card, as "unique" does.
func newMAC(kind, value string) string {
	p := parseProps(value)
	for i, kv := range p.pairs {
		if (kind == "lxc" && kv[0] == "hwaddr") || (kind == "qemu" && strings.Count(kv[1], ":") == 5) {
			p.pairs[i][1] = randomMAC()
		}
	}
	return p.String()
}

func (c *Cluster) postPing(r *request) (any, error) {
	g, err := c.guestOf(r)
	if err != nil {
		return nil, err
	}
	if a := g.agent(); a == "" {
		return nil, failf("No QEMU guest agent configured")
	} else if !g.st.Running {
		return nil, failf("VM %d is not running", g.id)
	} else if a == "down" {
		return nil, failf("QEMU guest agent is not running")
	}
	due, err := c.cfg.Faults.Due(event("agent", g.id), "down")
	if err != nil {
		return nil, err
	}
	if len(due) > 0 {
		return nil, failf("QEMU guest agent is not running")
	}
	return map[string]any{"result": map[string]any{}}, nil
}
