package builtins

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/newsite"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/stdlib"
)

// labHost is the lab's node, as a machine that runner init looks at.
func labHost(t *testing.T, files map[string]string) host.Host {
	t.Helper()
	w, err := lab.Open(t.Context(), filepath.Join(t.TempDir(), "world"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	for name, text := range files {
		path := filepath.Join(w.Node().Root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h, err := host.Remote(t.Context(), "node", ssh.Config{Address: "root@" + lab.NodeAddr, HostKey: lab.HostKeys()["pve1.lab"], Dial: w.Dial,
		Key: func(context.Context) ([]byte, error) { return lab.Secrets()["node-ssh-key"], nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// disksOf gives each first folder of a path a disk of its own.
func disksOf(path string) (ledger.Device, error) {
	first := strings.Split(path, "/")[1]
	return ledger.Device{ID: "serial:" + first, UUID: "uuid-of-" + first, Serial: first, FS: "ext4"}, nil
}

var node = map[string]string{
	"etc/hostname": "pve1.example.org\n",
	"etc/pve/nodes/pve1/qemu-server/100.conf": "cores: 2\nname: erp\n\n[before]\nname: old\n",
	"etc/pve/nodes/pve1/lxc/101.conf":         "hostname: mail\n",
	"etc/pve/nodes/pve2/lxc/102.conf":         "arch: amd64\n",
	"etc/pve/nodes/pve1/pve-ssl.pem":          "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	"etc/pve/storage.cfg": "dir: local\n\tpath /var/lib/vz\n\tcontent iso,backup\n\nlvmthin: data\n\tcontent " +
		"images\n\npbs: pbs\n\tcontent backup\n\ndir: backup\n\tpath /srv/backup\n\tcontent backup\n",
	"etc/pve/jobs.cfg": "vzdump: nightly\n\tschedule 21:00\n\tstorage local\n\tall 1\n",
	"usr/sbin/rear":    "", "usr/sbin/nft": "", "usr/sbin/ip": "", "usr/bin/journalctl": "", "var/log/journal/x": "",
	"srv/data/a": "alpha", "mnt/copies/x": "", "mnt2/copies/x": "",
}

// What runner init writes is a site, and check finds no fault in its policies.
func TestWhatInitWritesIsASite(t *testing.T) {
	t.Parallel()
	h := labHost(t, node)
	for name, c := range map[string]struct {
		wish  newsite.Wish
		loads string   // of the night
		holds []string // in site.star
	}{
		"a node": {newsite.Wish{To: []string{"/mnt/copies"}, Root: true}, "logs networking operating_system virtual_machines",
			[]string{`storage = "backup"`, "6 guests: 102, erp, git, mail, scratch, wiki", "Proxmox's own backup job nightly: 21:00 to local",
				"local (dir), pbs (pbs)", `uuid = "uuid-of-mnt"`, "# Node pve2", "Rescue images hold password hashes", `pve_tasks = True`,
				`"node": "opened", "copies": "opened"`, "copies = 2"}},
		"a node alone": {newsite.Wish{Root: true}, "virtual_machines", []string{`on = {"node": "opened"}`}},
		"folders of a node": {newsite.Wish{Save: []string{"/srv/data", "/srv"}, To: []string{"/mnt/copies", "/mnt2/copies"}, Root: true,
			Without: []string{"proxmox", "rear", "journal", "firewall"}},
			"files", []string{`items = ["data", "srv"]`, `name = "copies-2"`, "copies = 2", "rear = False", "firewall = False"}},
		"not root": {newsite.Wish{Save: []string{"/srv"}, To: []string{"/mnt"}, Without: []string{"proxmox", "rear"}}, "files",
			[]string{"firewall = False"}},
		"on the system's disk": {newsite.Wish{Save: []string{"/srv"}, To: []string{"/srv/data"}, Without: []string{"proxmox", "rear"}}, "files",
			[]string{"It lies on a disk whose files are saved"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.wish.Dir, c.wish.Program, c.wish.Device = "/etc/runner", "/opt/runner", disksOf
			m, err := newsite.Look(t.Context(), h, c.wish)
			if err != nil {
				t.Fatal(err)
			}
			files, err := m.Files(os.DirFS("../policies"))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for _, f := range files {
				if err := os.WriteFile(filepath.Join(dir, f.Name), []byte(f.Text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var loads []string
			for _, m := range regexp.MustCompile(`load\(":(\w+)\.star"`).FindAllStringSubmatch(files[1].Text, -1) {
				loads = append(loads, m[1])
			}
			if got := strings.Join(loads, " "); got != c.loads {
				t.Errorf("the night has %s, want %s", got, c.loads)
			}
			if w := missing(files[0].Text, c.holds); w != "" {
				t.Errorf("%q is not in\n%s", w, files[0].Text)
			}
			site, err := site.Load("site.star", []byte(files[0].Text), runtime.Limits{})
			if err != nil {
				t.Fatalf("%v\n%s", err, files[0].Text)
			}
			rt := &runtime.Runtime{Primitives: All(), Stdlib: stdlib.Files}
			p, err := rt.Load(filepath.Join(dir, "nightly.star"), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range p.Check(SiteNames(site)) {
				t.Errorf("check says %s", d)
			}
			if unit := files[len(files)-2]; unit.Name != "runner.service" ||
				!strings.Contains(unit.Text, "\nExecStart=/opt/runner exec /etc/runner/nightly.star\n") {
				t.Errorf("the unit is %+v", unit)
			}
			if todo := strings.Join(m.ToDo("/etc/runner"), "\n"); strings.Contains(todo, "pveum") != (c.loads != "files") ||
				!strings.Contains(todo, "runner exec /etc/runner/nightly.star") {
				t.Errorf("to do:\n%s", todo)
			}
		})
	}
}

func TestInitSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	h := labHost(t, map[string]string{"etc/hostname": "box\n", "srv/file": "x"})
	for name, c := range map[string]struct {
		wish newsite.Wish
		want string
	}{
		"nothing to save":     {newsite.Wish{}, "name what is to be saved, --save PATH"},
		"no place for copies": {newsite.Wish{Save: []string{"/srv"}}, "name a folder that copies go to, --to DIR"},
		"a path is missing":   {newsite.Wish{Save: []string{"/nowhere"}, To: []string{"/srv"}}, "--save /nowhere: it is not there"},
		"copies in a file":    {newsite.Wish{Save: []string{"/srv"}, To: []string{"/srv/file"}}, "--to /srv/file: it is not a folder"},
		"a relative path":     {newsite.Wish{Save: []string{"srv"}, To: []string{"/srv"}}, "want an absolute path"},
		"an unknown part": {newsite.Wish{Save: []string{"/srv"}, To: []string{"/srv"}, Without: []string{"zones"}},
			`"zones" cannot be left out`},
	} {
		c.wish.Device = disksOf
		if !strings.Contains(c.want, "unknown") {
			c.wish.Without = append(c.wish.Without, "proxmox")
		}
		if _, err := newsite.Look(t.Context(), h, c.wish); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
