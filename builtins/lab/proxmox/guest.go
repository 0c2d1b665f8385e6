package proxmox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// guest is one VM ("qemu") or container ("lxc") with all that is known of it.
type guest struct {
	id   int
	kind string // "qemu" or "lxc"
	node string
	conf *conf
	st   guestState
	lock string // from the configuration, or one that ends by itself
}

func (g *guest) name() string {
	key, prefix := "name", "VM"
	if g.kind == "lxc" {
		key, prefix = "hostname", "CT"
	}
	if n := g.conf.keys[key]; n != "" {
		return n
	}
	return prefix + strconv.Itoa(g.id)
}

// title is how error texts call the guest: "VM 100", "CT 101".
func (g *guest) title() string { return kindTitle(g.kind) + " " + strconv.Itoa(g.id) }

func kindTitle(kind string) string {
	if kind == "lxc" {
		return "CT"
	}
	return "VM"
}

// lockError is the refusal of a locked guest, nil when it is free.
func (g *guest) lockError() error {
	if g.lock == "" {
		return nil
	}
	return fmt.Errorf("%s is locked (%s)", kindTitle(g.kind), g.lock)
}

func confDir(kind string) string {
	if kind == "lxc" {
		return "lxc"
	}
	return "qemu-server"
}

func (c *Cluster) confPath(node, kind string, id int) string {
	return c.node(node, filepath.Join("etc/pve/nodes", node, confDir(kind), strconv.Itoa(id)+".conf"))
}

// firewallPath is one file per guest for the whole cluster; the first node's
// folder stands for the shared /etc/pve.
func (c *Cluster) firewallPath(s *state, id int) string {
	return c.node(s.nodes()[0], "etc/pve/firewall/"+strconv.Itoa(id)+".fw")
}

// guests reads all guests of the cluster, sorted by id.
func (c *Cluster) guests(s *state) ([]*guest, error) {
	var out []*guest
	for _, node := range s.nodes() {
		for _, kind := range []string{"qemu", "lxc"} {
			entries, err := os.ReadDir(filepath.Dir(c.confPath(node, kind, 0)))
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				id, err := strconv.Atoi(strings.TrimSuffix(e.Name(), ".conf"))
				if err != nil || !strings.HasSuffix(e.Name(), ".conf") {
					continue
				}
				g, err := c.readGuest(s, node, kind, id)
				if errors.Is(err, fs.ErrNotExist) {
					continue // destroyed between the listing and now
				}
				if err != nil {
					return nil, err
				}
				out = append(out, g)
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].id < out[j].id })
	return out, nil
}

func (c *Cluster) readGuest(s *state, node, kind string, id int) (*guest, error) {
	text, err := os.ReadFile(c.confPath(node, kind, id))
	if err != nil {
		return nil, err
	}
	cf, err := parseConf(string(text))
	if err != nil {
		return nil, fmt.Errorf("guest %d: %w", id, err)
	}
	g := &guest{id: id, kind: kind, node: node, conf: cf, st: s.Guests[id], lock: cf.keys["lock"]}
	for name, until := range s.Locks[id] {
		if g.lock == "" && c.cfg.Now().Unix() < until {
			g.lock = name
		}
	}
	return g, nil
}

// find returns the guest wherever it is, nil when there is none.
func (c *Cluster) find(s *state, id int) (*guest, error) {
	for _, node := range s.nodes() {
		for _, kind := range []string{"qemu", "lxc"} {
			g, err := c.readGuest(s, node, kind, id)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return g, err
		}
	}
	return nil, nil
}

// at returns the guest of this kind on this node, or PVE's refusal.
func (c *Cluster) at(s *state, node, kind string, id int) (*guest, error) {
	g, err := c.readGuest(s, node, kind, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, failf("Configuration file 'nodes/%s/%s/%d.conf' does not exist", node, confDir(kind), id)
	}
	return g, err
}

// saveConf writes the guest's configuration file.
func (c *Cluster) saveConf(g *guest) error {
	return writeFile(c.confPath(g.node, g.kind, g.id), []byte(g.conf.text()))
}

// editConf changes a guest's configuration under the cluster's lock.
func (c *Cluster) editConf(node, kind string, id int, edit func(*guest) error) error {
	return c.locked(func() error {
		s, err := c.state()
		if err != nil {
			return err
		}
		g, err := c.at(s, node, kind, id)
		if err != nil {
			return err
		}
		if err := edit(g); err != nil {
			return err
		}
		return c.saveConf(g)
	})
}

// setLock takes the guest's lock, or refuses when it is held.
func (c *Cluster) setLock(g *guest, name string) error {
	return c.editConf(g.node, g.kind, g.id, func(now *guest) error {
		if err := now.lockError(); err != nil {
			return err
		}
		now.conf.keys["lock"] = name
		return nil
	})
}

// dropLock gives the lock back if it is still this one. A guest that is gone
// has none.
func (c *Cluster) dropLock(g *guest, name string) error {
	if !exists(c.confPath(g.node, g.kind, g.id)) {
		return nil
	}
	return c.editConf(g.node, g.kind, g.id, func(now *guest) error {
		if now.conf.keys["lock"] == name {
			delete(now.conf.keys, "lock")
		}
		return nil
	})
}

// setRunning starts or stops a guest.
func (c *Cluster) setRunning(id int, running bool) error {
	return c.change(func(s *state) error {
		st := s.Guests[id]
		st.Running, st.Since = running, 0
		if running {
			st.Since = c.cfg.Now().Unix()
		}
		s.Guests[id] = st
		return nil
	})
}

// agent is the state of a VM's guest agent: "up", "down", or "" without one.
func (g *guest) agent() string {
	v := g.conf.keys["agent"]
	if v == "" || strings.HasPrefix(v, "0") || strings.HasPrefix(v, "enabled=0") {
		return ""
	}
	if g.st.Agent == "down" || !g.st.Running {
		return "down"
	}
	return "up"
}

// cores are those of the configuration; a container without any has the node's.
func (g *guest) cores() int64 {
	if g.kind == "lxc" {
		return g.conf.int("cores", 2)
	}
	return g.conf.int("cores", 1)
}
