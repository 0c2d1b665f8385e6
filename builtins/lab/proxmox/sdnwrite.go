package proxmox

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What was made and not applied is listed in etc/pve/sdn/.pending, one "file id" a line:
// PUT /cluster/sdn applies all.

func (c *Cluster) sdnPath(s *state, file string) string {
	return c.node(s.nodes()[0], filepath.Join("etc/pve/sdn", file))
}

func (c *Cluster) sdnPending(s *state) ([]string, error) {
	raw, err := os.ReadFile(c.sdnPath(s, ".pending"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return strings.Split(strings.TrimSpace(string(raw)), "\n"), err
}

// putSDN applies what is pending. The real one starts a task.
func (c *Cluster) putSDN(r *request) (any, error) {
	if err := removeFiles(c.sdnPath(r.s, ".pending")); err != nil {
		return nil, err
	}
	return c.start(r.s.nodes()[0], "reloadnetworkall", "", r.user.name, r.params)
}

// appendSDN adds a section to a file, pending.
func (c *Cluster) appendSDN(r *request, file, what, id string, m map[string]any) (any, error) {
	return nil, c.locked(func() error {
		path := c.sdnPath(r.s, file+".cfg")
		all, err := sectionConfig(path, "id")
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(e map[string]any) bool { return e["id"] == id }) {
			return failf("create sdn %s object failed: sdn %s object ID '%s' already defined", what, what, id)
		}
		raw, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		typ := fmt.Sprint(m["type"])
		if m["type"] == nil {
			typ = what
		}
		text := string(raw) + typ + ": " + id + "\n"
		for _, k := range sortedKeys(m) {
			values, many := m[k].([]string)
			if !many {
				values = []string{fmt.Sprint(m[k])}
			}
			for _, v := range values {
				if k != "type" {
					text += fmt.Sprintf("\t%s %s\n", k, v)
				}
			}
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := writeFile(path, []byte(text+"\n")); err != nil {
			return err
		}
		pending, err := c.sdnPending(r.s)
		if err != nil {
			return err
		}
		return writeFile(c.sdnPath(r.s, ".pending"), []byte(strings.Join(append(pending, file+" "+id), "\n")))
	})
}

// postSDN makes an object of one of the files.
func postSDN(file, idKey string) handler {
	return func(c *Cluster, r *request) (any, error) {
		return c.appendSDN(r, file, strings.TrimSuffix(file, "s"), r.get(idKey), r.body(idKey))
	}
}

func (c *Cluster) postSubnet(r *request) (any, error) {
	v, err := c.vnet(r)
	if err != nil {
		return nil, err
	}
	zone := fmt.Sprint(v["zone"])
	if err := r.user.need("/sdn/zones/"+zone+"/"+r.vars["vnet"], "SDN.Allocate"); err != nil {
		return nil, err
	}
	for _, s := range r.params["dhcp-range"] {
		for k, v := range dhcpRange(s) {
			if _, err := netip.ParseAddr(fmt.Sprint(v)); err != nil {
				return nil, failf("create sdn subnet object failed: 400 Parameter verification failed.\ndhcp-range: %s is not a valid IP %s", k, v)
			}
		}
	}
	m := r.body("subnet")
	m["vnet"] = r.vars["vnet"]
	return c.appendSDN(r, "subnets", "subnet", zone+"-"+strings.ReplaceAll(r.get("subnet"), "/", "-"), m)
}

// removeSDN takes a section out of a file.
func (c *Cluster) removeSDN(r *request, file, id string) (any, error) {
	return nil, c.locked(func() error {
		path := c.sdnPath(r.s, file+".cfg")
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var kept []string
		for part := range strings.SplitSeq(string(raw), "\n\n") {
			head, _, _ := strings.Cut(part, "\n")
			if _, own, _ := strings.Cut(head, ": "); own != id {
				kept = append(kept, part)
			}
		}
		return writeFile(path, []byte(strings.Join(kept, "\n\n")))
	})
}

func (c *Cluster) deleteVnet(r *request) (any, error) { return c.removeSDN(r, "vnets", r.vars["vnet"]) }
func (c *Cluster) deleteSubnet(r *request) (any, error) {
	return c.removeSDN(r, "subnets", r.vars["subnet"])
}

// vnet finds the one that a request names.
func (c *Cluster) vnet(r *request) (map[string]any, error) {
	all, err := sectionConfig(c.sdnPath(r.s, "vnets.cfg"), "vnet")
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if v["vnet"] == r.vars["vnet"] {
			return v, nil
		}
	}
	return nil, failf("sdn vnet '%s' does not exist", r.vars["vnet"])
}

// applied reports that a vnet is there and was applied.
func (c *Cluster) applied(r *request) (bool, error) {
	if _, err := c.vnet(r); err != nil {
		return false, nil
	}
	pending, err := c.sdnPending(r.s)
	return !slices.Contains(pending, "vnets "+r.vars["vnet"]), err
}
