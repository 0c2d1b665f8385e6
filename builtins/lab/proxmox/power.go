package proxmox

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// postPower starts, stops or shuts down a guest.
func (c *Cluster) postPower(r *request) (any, error) {
	g, err := c.guestOf(r)
	if err != nil {
		return nil, err
	}
	verb := path.Base(r.path)
	switch {
	case verb == "start" && g.st.Running:
		return nil, failf("%s already running", g.title())
	case verb == "shutdown" && !g.st.Running:
		return nil, failf("%s not running", g.title())
	case verb == "stop" && !g.st.Running && g.kind == "lxc":
		return nil, failf("CT %d not running", g.id)
	}
	prefix := map[string]string{"qemu": "qm", "lxc": "vz"}[g.kind]
	return c.start(g.node, prefix+verb, strconv.Itoa(g.id), r.user.name, r.params)
}

func (c *Cluster) runPower(ctx context.Context, t *task) error {
	id, _ := strconv.Atoi(t.rec.ID)
	kind := map[string]string{"qm": "qemu", "vz": "lxc"}[t.rec.Type[:2]]
	due, err := c.cfg.Faults.Due(event(t.rec.Type, id), workDeeds...)
	if err != nil {
		return err
	}
	p, err := c.newPace(due, c.cfg.Now())
	if err != nil {
		return err
	}
	if err := p.at(ctx, 1, 1); err != nil {
		return errors.New("interrupted by signal")
	}
	if f, ok := deed(due, "fail"); ok {
		return errors.New(f.Args)
	}
	s, err := c.state()
	if err != nil {
		return err
	}
	g, err := c.at(s, t.rec.Node, kind, id)
	if err != nil {
		return err
	}
	if err := g.lockError(); err != nil {
		return err
	}
	if strings.HasSuffix(t.rec.Type, "start") {
		if err := c.startable(s, g); err != nil {
			return err
		}
	}
	if err := c.setRunning(id, strings.HasSuffix(t.rec.Type, "start")); err != nil {
		return err
	}
	return ending(due)
}

// startable refuses a guest that could not boot: a template, or one whose
// disks are not there.
func (c *Cluster) startable(s *state, g *guest) error {
	if g.conf.int("template", 0) == 1 {
		return errors.New("you can't start a vm if it's a template")
	}
	if g.kind == "lxc" && g.conf.keys["rootfs"] == "" {
		return errors.New("missing rootfs")
	}
	for _, d := range g.conf.disks() {
		if d.cdrom() || d.bind() {
			continue
		}
		path, err := c.image(s, g.node, g.kind, d.volid)
		if err != nil {
			return err
		}
		if !exists(path) {
			return fmt.Errorf("volume '%s' does not exist", d.volid)
		}
	}
	return nil
}

// deleteGuest destroys a stopped guest.
func (c *Cluster) deleteGuest(r *request) (any, error) {
	g, err := c.guestOf(r)
	if err != nil {
		return nil, err
	}
	if g.conf.int("protection", 0) == 1 {
		return nil, failf("can't remove %s - protection mode enabled", g.title())
	}
	if err := g.lockError(); err != nil {
		return nil, err
	}
	if g.st.Running && (g.kind == "qemu" || !r.bool("force")) {
		if g.kind == "lxc" {
			return nil, failf("unable to destroy CT %d - container is running", g.id)
		}
		return nil, failf("VM %d is running - destroy failed", g.id)
	}
	kind := map[string]string{"qemu": "qmdestroy", "lxc": "vzdestroy"}[g.kind]
	return c.start(g.node, kind, strconv.Itoa(g.id), r.user.name, r.params)
}

func (c *Cluster) runDestroy(ctx context.Context, t *task) error {
	id, _ := strconv.Atoi(t.rec.ID)
	kind := map[string]string{"qmdestroy": "qemu", "vzdestroy": "lxc"}[t.rec.Type]
	due, err := c.cfg.Faults.Due(event(t.rec.Type, id), workDeeds...)
	if err != nil {
		return err
	}
	if f, ok := deed(due, "fail"); ok {
		return errors.New(f.Args)
	}
	p, err := c.newPace(due, c.cfg.Now())
	if err != nil {
		return err
	}
	if err := p.at(ctx, 1, 1); err != nil {
		return errors.New("interrupted by signal")
	}
	s, err := c.state()
	if err != nil {
		return err
	}
	g, err := c.at(s, t.rec.Node, kind, id)
	if err != nil && !t.resumed { // a resumed one may have done its work
		return err
	}
	if err == nil {
		if err := c.destroy(s, g); err != nil {
			return err
		}
	}
	if v, _ := parseBool(url.Values(t.rec.Args).Get("purge")); v {
		if err := t.log("purging %s %d from related configurations..", kindTitle(kind), id); err != nil {
			return err
		}
	}
	return ending(due)
}

// destroy removes a guest: disks, configuration, firewall file, state.
func (c *Cluster) destroy(s *state, g *guest) error {
	if err := c.removeDisks(s, g); err != nil {
		return err
	}
	if err := removeFiles(c.confPath(g.node, g.kind, g.id), c.firewallPath(s, g.id)); err != nil {
		return err
	}
	return c.change(func(s *state) error {
		delete(s.Guests, g.id)
		delete(s.Locks, g.id)
		return nil
	})
}
