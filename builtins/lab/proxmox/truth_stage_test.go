package proxmox

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
)

// readme are the rights of README's token.
func readme() map[string][]string {
	backup := []string{"VM.Audit", "VM.Backup", "Datastore.Audit", "Datastore.AllocateSpace"}
	return map[string][]string{"/": {"Sys.Audit", "SDN.Audit", "VM.Audit"}, "/vms": backup, "/storage/backup": backup}
}

// less takes privileges away, everywhere.
func less(acl map[string][]string, names ...string) map[string][]string {
	out := map[string][]string{}
	for path, have := range acl {
		for _, p := range have {
			if !slices.ContainsFunc(names, func(n string) bool { return p == n || strings.HasPrefix(p, n+".") && n == "Datastore" }) {
				out[path] = append(out[path], p)
			}
		}
	}
	return out
}

// rightsOf are those that a scenario began with.
func rightsOf(name string) map[string][]string {
	acl := readme()
	if what, ok := strings.CutPrefix(name, "no-"); ok {
		return less(acl, what)
	}
	switch name {
	case "token-without-acl", "user-without-acl":
		return map[string][]string{}
	case "hidden-guest":
		acl["/vms/121"] = nil
	case "hidden-guest-vzdump":
		acl["/vms/103"] = nil
	}
	if strings.HasPrefix(name, "storage-") {
		acl["/storage/small"] = acl["/storage/backup"]
	}
	if strings.HasPrefix(name, "restore-") && !strings.HasSuffix(name, "-without-rights") {
		restore := strings.Fields("VM.Allocate VM.Audit VM.PowerMgmt VM.Config.Network VM.Config.Options VM.Config.Disk VM.Config.CPU " +
			"VM.Config.Memory VM.Config.HWType VM.Config.CDROM Datastore.AllocateSpace SDN.Use")
		acl["/vms"] = append(acl["/vms"], restore...)
		acl["/storage/local"], acl["/sdn/zones/localnetwork"] = restore, restore
	}
	return acl
}

// small is the second storage, in the state that a scenario wants.
func small(name string) *Storage {
	st := &Storage{Type: "dir", Path: "/srv/small", Content: "backup"}
	switch name {
	case "storage-disabled":
		st.Disabled, st.Prune = true, "keep-last=1"
	case "storage-unmounted", "storage-unknown":
		st.Unmounted = true
	case "storage-wrong-content":
		st.Content = "iso"
	case "storage-full", "storage-full-ct", "storage-full-wholly":
	default:
		return nil
	}
	return st
}

func newTruth(t *testing.T, name string, calls []call) *truth {
	t.Helper()
	s := &truth{t: t, name: name, calls: calls, ids: map[string]string{}}
	s.c = openCluster(t, t.TempDir())
	s.c.zone = time.UTC // the recorded node's
	s.base = serve(t, s.c)
	must(t, s.c.change(func(st *state) error {
		st.Pools = nil
		st.Storages = map[string]*Storage{
			"backup": {Type: "dir", Path: "/srv/backup", Content: "backup", Prune: "keep-all=1"},
			"local":  {Type: "dir", Path: "/var/lib/vz", Content: "iso,vztmpl,rootdir,images,backup"},
		}
		if extra := small(name); extra != nil {
			st.Storages["small"] = extra
		}
		st.Tokens = map[string]*Token{"root@pam!rec": {Secret: "s", Root: true}}
		if !strings.HasSuffix(name, "-expired") && !strings.HasSuffix(name, "-disabled") || name == "storage-disabled" {
			secret := "s"
			if name == "wrong-token" {
				secret = "another"
			}
			st.Tokens["runner@pve!runner"] = &Token{Secret: secret, ACL: rightsOf(name)}
		}
		return nil
	}))
	must(t, s.c.SetStorage("backup", func(*Storage) {}))
	s.guests()
	s.firewall()
	s.archives()
	s.before()
	return s
}

// recorded reads a file of this package's testdata that describes the recorded site.
func recorded(t *testing.T, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	must(t, err)
	must(t, json.Unmarshal(raw, v))
}

// guests makes those of the recorded node.
func (s *truth) guests() {
	t := s.t
	old, err := s.c.Guests()
	must(t, err)
	for _, g := range old {
		must(t, s.c.RemoveGuest(g.ID))
	}
	var list []struct {
		Guest
		Description string
	}
	recorded(t, "recorded-guests.json", &list)
	there := s.listed()
	for _, g := range list {
		if g.Node = "pve1"; !there(g.ID) {
			continue
		}
		if s.name == "locked-guest" {
			g.Lock = map[int]string{120: "backup", 130: "snapshot"}[g.ID]
		}
		must(t, s.c.AddGuest(g.Guest))
		if g.Description != "" {
			must(t, s.c.editConf("pve1", g.Kind, g.ID, func(x *guest) error {
				x.conf.comments = strings.Split(g.Description, "\n")
				return nil
			}))
		}
		if g.Kind == "lxc" {
			path, err := s.c.Disk(g.ID, "rootfs")
			must(t, err)
			for _, dir := range []string{"dev", "etc", "lost+found", "proc", "root", "run", "sbin", "srv", "sys", "tmp", "var"} {
				must(t, os.MkdirAll(filepath.Join(path, dir), 0o755))
			}
			must(t, os.WriteFile(filepath.Join(path, "etc/hostname"), []byte(g.Name+"\n"), 0o644))
		}
	}
}

// listed says which guests were there: those that the scenario lists first, unless it
// hides some.
func (s *truth) listed() func(id int) bool {
	hides := strings.HasPrefix(s.name, "hidden-") || strings.HasPrefix(s.name, "no-") || strings.HasSuffix(s.name, "-acl")
	first := map[string][]any{}
	for _, c := range s.calls {
		kind := strings.TrimPrefix(c.Request.URL, "/api2/json/nodes/pve1/")
		if m, ok := c.Body.(map[string]any); ok && (kind == "qemu" || kind == "lxc") && first[kind] == nil {
			first[kind], _ = m["data"].([]any)
		}
	}
	return func(id int) bool {
		if s.name == "hidden-guest-vzdump" {
			return id <= 110
		}
		if hides || len(first) < 2 {
			return id < 1000
		}
		for _, list := range first {
			for _, e := range list {
				if e.(map[string]any)["vmid"] == float64(id) {
					return true
				}
			}
		}
		return false
	}
}

// firewall makes the recorded rules and networks, out of the recorded answers.
func (s *truth) firewall() {
	t := s.t
	all := scenarios(t)["firewall-export-full"]
	data := map[string]any{}
	for _, c := range all {
		if m, ok := c.Body.(map[string]any); ok && c.Status == 200 {
			data[strings.TrimPrefix(c.Request.URL, "/api2/json")] = m["data"]
		}
	}
	entries := func(path string) (out []map[string]any) {
		list, _ := data[path].([]any)
		for _, e := range list {
			m := e.(map[string]any)
			for k, v := range m {
				if f, ok := v.(float64); ok {
					m[k] = int(f)
				}
			}
			delete(m, "digest")
			out = append(out, m)
		}
		return out
	}
	file := func(base, to string) {
		f := &firewallFile{options: map[string]any{}, aliases: entries(base + "/aliases"), rules: entries(base + "/rules")}
		if o, ok := data[base+"/options"].(map[string]any); ok {
			for k, v := range o {
				if n, isNumber := v.(float64); isNumber {
					v = int(n)
				}
				if k != "digest" {
					f.options[k] = v
				}
			}
		}
		for _, m := range entries(base + "/ipset") {
			name := fmt.Sprint(m["name"])
			comment, _ := m["comment"].(string)
			f.sets = append(f.sets, &firewallSet{name, comment, entries(base + "/ipset/" + name)})
		}
		for _, m := range entries(base + "/groups") {
			name := fmt.Sprint(m["group"])
			comment, _ := m["comment"].(string)
			f.groups = append(f.groups, &firewallSet{name, comment, entries(base + "/groups/" + name)})
		}
		path := s.c.node("pve1", to)
		must(t, removeFiles(path))
		if text := f.text(); text != "" {
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, writeFile(path, []byte(text)))
		}
	}
	file("/cluster/firewall", "etc/pve/firewall/cluster.fw")
	file("/nodes/pve1/firewall", "etc/pve/nodes/pve1/host.fw")
	for _, g := range []string{"qemu/100", "lxc/101", "lxc/130"} {
		file("/nodes/pve1/"+g+"/firewall", "etc/pve/firewall/"+g[strings.IndexByte(g, '/')+1:]+".fw")
	}
	file("/cluster/sdn/vnets/vn1/firewall", "etc/pve/sdn/firewall/vn1.fw")
	subnet := "subnet: z1-10.77.0.0-24\n\tvnet vn1\n\tgateway 10.77.0.1\n\n"
	vnets := "vnet: vn1\n\tzone z1\n\n"
	for _, c := range s.calls { // what was there is what the scenario lists first
		if m, ok := c.Body.(map[string]any); ok && strings.HasSuffix(c.Request.URL, "/vnets/vn1/subnets") && c.Request.Method == "GET" &&
			s.name != "no-SDN.Audit" {
			if list, _ := m["data"].([]any); len(list) == 0 {
				subnet = ""
			}
			break
		}
	}
	switch s.name {
	case "subnets-post", "subnets-dhcp":
		subnet = ""
	case "firewall-export-unapplied-vnet":
		vnets += "vnet: vn2\n\tzone z1\n\n"
		must(t, writeFile(s.c.node("pve1", "etc/pve/sdn/.pending"), []byte("vnets vn2")))
	}
	for name, text := range map[string]string{"zones": "simple: z1\n\n", "vnets": vnets, "subnets": subnet} {
		must(t, writeFile(s.c.node("pve1", "etc/pve/sdn/"+name+".cfg"), []byte(text)))
	}
	must(t, writeFile(s.c.node("pve1", "etc/network/interfaces"), []byte("auto vmbr0\niface vmbr0 inet static\n\taddress "+
		"10.99.0.1/24\n\tbridge-ports none\n\tbridge-stp off\n\tbridge-fd 0\n")))
}

func (s *truth) inject(faults ...fault.Fault) {
	s.t.Helper()
	must(s.t, s.c.cfg.Faults.Replace(faults))
}

func (s *truth) grant(acl map[string][]string) {
	s.t.Helper()
	must(s.t, s.c.SetToken("runner@pve!runner", &Token{Secret: "s", ACL: acl}))
}

// before does what a scenario needs beside its storages, rights and archives.
func (s *truth) before() {
	t := s.t
	if phase, ok := strings.CutPrefix(s.name, "vzdump-hook-fails-"); ok {
		must(t, os.WriteFile(s.c.node("pve1", "etc/vzdump.conf"), []byte("script: /root/rec/hook\n"), 0o600))
		s.inject(fault.Fault{On: "hook " + phase, Do: "fail"})
	}
	switch s.name {
	case "storage-full", "storage-full-ct":
		s.inject(fault.Fault{On: "storage small", Do: "full"})
	case "storage-full-wholly":
		s.inject(fault.Fault{On: "storage small", Do: "full wholly"})
	case "node-without-figures":
		s.inject(fault.Fault{On: "pvestatd pve1", Do: "hang"})
	case "task-running":
		s.inject(fault.Fault{On: "vzdump 101", Do: "slow 1h"})
	case "vzdump-conf-exclude-path":
		must(t, os.WriteFile(s.c.node("pve1", "etc/vzdump.conf"), []byte("exclude-path: /srv/nicht\nmode: suspend\nbwlimit: 20000\ntmpdir: "+
			"/var/tmp\n"), 0o600))
	}
}

// turn does what happened on the recorded node before a call.
func (s *truth) turn(i int) {
	switch s.name + " " + fmt.Sprint(i+1) {
	case "task-running 3":
		s.until("starting first sync")
	case "task-running 10":
		s.until("waiting")
	case "foreign-task 4":
		s.grant(less(readme(), "Sys.Audit"))
	case "foreign-task 7":
		s.grant(less(readme(), "Sys.Audit"))
	case "jobs 8":
		s.grant(less(readme(), "Sys.Audit"))
	case "vzdump-defaults 3":
		must(s.t, os.WriteFile(s.c.node("pve1", "etc/vzdump.conf"), []byte("exclude-path: /srv/nicht /var/cache/*\nmode: suspend\nbwlimit: "+
			"20000\ntmpdir: /var/tmp\n"), 0o600))
	case "vzdump-defaults 5":
		must(s.t, os.WriteFile(s.c.node("pve1", "etc/vzdump.conf"), []byte("exclude-path: \"/srv/a b\" /srv/x,/y\n"), 0o600))
	}
}

// until waits for a line in the log of a task of this run.
func (s *truth) until(text string) {
	s.t.Helper()
	for {
		for _, now := range s.ids {
			t, _ := s.c.findTask(now)
			if t == nil {
				continue
			}
			lines, err := t.lines()
			must(s.t, err)
			if strings.Contains(strings.Join(lines, "\n"), text) {
				return
			}
		}
		must(s.t, sleep(s.t.Context(), time.Millisecond))
	}
}

// running reports a call that the recording made while a task ran.
func (s *truth) running(call) bool { return s.name == "task-running" }
