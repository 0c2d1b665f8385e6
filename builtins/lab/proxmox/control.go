package proxmox

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// What tests and the lab do to a cluster from outside of its API.

// Guest is one guest as a test sees and changes it.
type Guest struct {
	ID      int
	Kind    string // "qemu" or "lxc"
	Node    string
	Name    string
	Running bool
	Agent   string            // state of a VM's guest agent: "up", "down"; "" without one
	Lock    string            // "" or the name of the lock
	Config  map[string]string // all keys of its configuration
}

// Guests lists all guests, by id.
func (c *Cluster) Guests() ([]Guest, error) {
	s, err := c.state()
	if err != nil {
		return nil, err
	}
	list, err := c.guests(s)
	if err != nil {
		return nil, err
	}
	var out []Guest
	for _, g := range list {
		out = append(out, Guest{ID: g.id, Kind: g.kind, Node: g.node, Name: g.name(), Running: g.st.Running, Agent: g.agent(), Lock: g.lock,
			Config: g.conf.keys})
	}
	return out, nil
}

// SetGuest changes one guest: node, run state, agent, lock, configuration. A
// changed Name wins over the configuration's key.
func (c *Cluster) SetGuest(id int, edit func(*Guest)) error {
	return c.change(func(s *state) error {
		g, err := c.find(s, id)
		if err != nil {
			return err
		}
		if g == nil {
			return fmt.Errorf("set guest %d: no such guest", id)
		}
		v := Guest{ID: g.id, Kind: g.kind, Node: g.node, Name: g.name(), Running: g.st.Running, Agent: g.agent(), Lock: g.lock,
			Config: g.conf.keys}
		name, node, agent := v.Name, v.Node, v.Agent
		edit(&v)
		g.conf.keys = v.Config
		if v.Name != name {
			g.conf.keys[map[string]string{"qemu": "name", "lxc": "hostname"}[g.kind]] = v.Name
		}
		delete(g.conf.keys, "lock")
		if v.Lock != "" {
			g.conf.keys["lock"] = v.Lock
		}
		st := g.st
		if v.Running != st.Running {
			st.Running, st.Since = v.Running, c.cfg.Now().Unix()
		}
		if v.Agent != agent {
			st.Agent = v.Agent
		}
		s.Guests[id] = st
		if err := c.saveConf(g); err != nil {
			return err
		}
		if v.Node != node {
			return c.move(s, g, v.Node)
		}
		return nil
	})
}

// AddGuest makes a guest with this configuration and empty disks of the sizes
// that the configuration names.
func (c *Cluster) AddGuest(v Guest) error {
	return c.change(func(s *state) error {
		if g, err := c.find(s, v.ID); err != nil || g != nil {
			return errors.Join(err, fmt.Errorf("add guest %d: the id is taken", v.ID))
		}
		if !s.hasNode(v.Node) || (v.Kind != "qemu" && v.Kind != "lxc") {
			return fmt.Errorf("add guest %d: no node %q or kind %q", v.ID, v.Node, v.Kind)
		}
		cf := &conf{keys: map[string]string{}}
		for k, val := range v.Config {
			cf.keys[k] = val
		}
		cf.keys[map[string]string{"qemu": "name", "lxc": "hostname"}[v.Kind]] = v.Name
		if v.Lock != "" {
			cf.keys["lock"] = v.Lock
		}
		g := &guest{id: v.ID, kind: v.Kind, node: v.Node, conf: cf}
		s.Guests[v.ID] = guestState{Running: v.Running, Since: c.cfg.Now().Unix(), Agent: v.Agent}
		for _, d := range cf.disks() {
			if err := c.emptyDisk(s, g, d); err != nil {
				return err
			}
		}
		return c.saveConf(g)
	})
}

func (c *Cluster) emptyDisk(s *state, g *guest, d disk) error {
	if d.bind() || d.cdrom() {
		return nil
	}
	path, err := c.image(s, g.node, g.kind, d.volid)
	if err != nil {
		return err
	}
	size, _ := parseSize(d.props.get("size"))
	if g.kind == "lxc" {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		m := volumePattern.FindStringSubmatch(d.volid)
		path = c.imageFile(g.node, s.Storages[m[1]], m[2])
	}
	if err := os.MkdirAll(path[:strings.LastIndexByte(path, '/')], 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

// RemoveGuest destroys a guest with its disks, whatever it is doing.
func (c *Cluster) RemoveGuest(id int) error {
	s, err := c.state()
	if err != nil {
		return err
	}
	g, err := c.find(s, id)
	if err != nil {
		return err
	}
	if g == nil {
		return fmt.Errorf("remove guest %d: no such guest", id)
	}
	return c.destroy(s, g)
}

// MoveGuest moves a guest and its disks to another node. A guest that is there
// already stays.
func (c *Cluster) MoveGuest(id int, node string) error {
	return c.change(func(s *state) error {
		g, err := c.find(s, id)
		if err != nil {
			return err
		}
		if g == nil || !s.hasNode(node) {
			return fmt.Errorf("move guest %d to node %q: one of them does not exist", id, node)
		}
		return c.move(s, g, node)
	})
}

func (c *Cluster) move(s *state, g *guest, node string) error {
	if g.node == node {
		return nil
	}
	if !s.hasNode(node) {
		return fmt.Errorf("move guest %d: no node %q", g.id, node)
	}
	for _, d := range g.conf.disks() {
		if d.bind() || d.cdrom() {
			continue
		}
		for _, kind := range []string{"qemu", "lxc"} {
			from, err := c.image(s, g.node, kind, d.volid)
			if err != nil {
				return err
			}
			to, err := c.image(s, node, kind, d.volid)
			if err != nil {
				return err
			}
			if err := moveFile(from, to); err != nil {
				return err
			}
			if err := moveFile(ownersPath(from), ownersPath(to)); err != nil {
				return err
			}
		}
	}
	return os.Rename(c.confPath(g.node, g.kind, g.id), c.confPath(node, g.kind, g.id))
}

// moveFile renames a file or folder; one that is not there is fine.
func moveFile(from, to string) error {
	if from == to || !exists(from) {
		return nil
	}
	if err := os.MkdirAll(to[:strings.LastIndexByte(to, '/')], 0o755); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// lockFor locks a guest: "backup" for good, "backup 2s" for a time.
func (c *Cluster) lockFor(id int, args string) error {
	name, span, timed := strings.Cut(args, " ")
	if name == "" {
		name = "snapshot"
	}
	if !timed {
		return c.SetGuest(id, func(g *Guest) { g.Lock = name })
	}
	d, err := time.ParseDuration(span)
	if err != nil {
		return fmt.Errorf("read duration of fault \"lock %s\": %w", args, err)
	}
	return c.change(func(s *state) error {
		s.Locks[id] = map[string]int64{name: c.cfg.Now().Add(d).Unix() + 1}
		return nil
	})
}

// SetStorage changes a storage's entry, or makes a new one on all nodes.
func (c *Cluster) SetStorage(id string, edit func(*Storage)) error {
	return c.change(func(s *state) error {
		st := s.Storages[id]
		if st == nil {
			st = &Storage{Type: "dir", Path: "/srv/" + id, Content: "backup"}
			s.Storages[id] = st
		}
		edit(st)
		for _, n := range s.Nodes {
			if err := c.makeNode(n, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetToken makes or changes an API token: nil removes it.
func (c *Cluster) SetToken(name string, t *Token) error {
	return c.change(func(s *state) error {
		if t == nil {
			delete(s.Tokens, name)
		} else {
			s.Tokens[name] = t
		}
		return nil
	})
}

// Archives returns the files of all backups of one storage on one node, by
// name. They may be changed and removed.
func (c *Cluster) Archives(node, storage string) ([]string, error) {
	s, err := c.state()
	if err != nil {
		return nil, err
	}
	st := s.Storages[storage]
	if st == nil {
		return nil, fmt.Errorf("list archives: no storage %q", storage)
	}
	list, err := c.archives(node, storage, st)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range list {
		out = append(out, a.path)
	}
	return out, nil
}

// BackUp does what a backup job of the cluster's own does for guests of a node, to its
// end: as root, with its own notes.
func (c *Cluster) BackUp(ctx context.Context, node, storage string, ids ...int) error {
	var list []string
	for _, id := range ids {
		list = append(list, strconv.Itoa(id))
	}
	upid, err := c.start(node, "vzdump", "", "root@pam", url.Values{"vmid": {strings.Join(list, ",")}, "storage": {storage}, "mode": {"snapshot"},
		"compress": {"zstd"}, "notes-template": {"{{guestname}}, by the job of {{node}}"}, "quiet": {"1"}, "mailnotification": {"failure"}})
	if err != nil {
		return err
	}
	exit, err := c.Wait(ctx, upid)
	if err == nil && exit != "OK" {
		err = fmt.Errorf("the backup job ended with: %s", exit)
	}
	return err
}

// Disk returns where the content of a guest's disk lies: a raw file for a VM,
// a folder for a container.
func (c *Cluster) Disk(id int, key string) (string, error) {
	s, err := c.state()
	if err != nil {
		return "", err
	}
	g, err := c.find(s, id)
	if err != nil {
		return "", err
	}
	if g == nil {
		return "", errors.New("find disk: no guest " + strconv.Itoa(id))
	}
	for _, d := range g.conf.disks() {
		if d.key == key {
			return c.image(s, g.node, g.kind, d.volid)
		}
	}
	return "", fmt.Errorf("find disk: guest %d has no %s", id, key)
}
