package builtins

import (
	"os"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/preflight"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/ledger"
)

// foresee asks what a night would need, as check does.
func (b *bench) foresee() []preflight.Fault {
	b.t.Helper()
	return preflight.Night(b.t.Context(), b.config(main("pass")).World.(*systems.Systems), ledger.Catalog{Store: b.store.Store},
		preflight.Needs{Guests: true, Firewall: true, Zones: true, Images: true, Logs: true, Files: true, Restores: b.restores})
}

func TestANightIsTriedBeforeItComes(t *testing.T) {
	t.Parallel()
	store := func(edit func(*lab.Storage)) func(*bench) {
		return func(b *bench) {
			if err := b.lab.SetStorage("backup", edit); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	without := func(path, privilege string) func(*bench) {
		return func(b *bench) {
			acl := leastRights()
			var kept []string
			for _, p := range acl[path] {
				if p != privilege {
					kept = append(kept, p)
				}
			}
			acl[path] = kept
			b.rights(acl)
		}
	}
	for _, c := range []struct {
		name   string
		before func(*bench)
		faults []string // text and hint; more are wrong
		notes  []string
	}{
		{"as it is", func(*bench) {}, nil, []string{"root@pam alone restore a container with a bind mount: 103 (wiki)|pct restore NEWID"}},
		{"README's token", func(b *bench) { b.rights(leastRights()) }, nil, nil},
		{"no rights at all", func(b *bench) { b.rights(map[string][]string{}) }, []string{
			"Permission check failed (/vms, VM.Audit)|give VM.Audit on /vms", "(/, Sys.Audit)|give Sys.Audit on /",
			"(/sdn/zones, SDN.Audit|SDN.Allocate)|give SDN.Audit",
			"(/storage/backup, Datastore.AllocateSpace)|RunnerBackup"}, nil},
		{"guests are to be brought back", func(b *bench) { b.restores = true; b.rights(leastRights()) }, []string{
			"restore_vm makes no guest without it: Permission check failed (/vms, VM.Allocate)|--roles RunnerRestore",
			"(/sdn/zones/localnetwork, SDN.Use)|give SDN.Use"}, nil},
		{"one may be brought back", func(b *bench) {
			b.restores = true
			acl := leastRights()
			acl["/vms/9100"], acl["/sdn/zones/localnetwork/vmbr0"] = []string{"VM.Allocate"}, []string{"SDN.Use"}
			b.rights(acl)
		}, nil, nil},
		{"no VM.Backup", without("/vms", "VM.Backup"), []string{"no backup of guest 100, 101, 102, 103 is allowed: Permission check failed " +
			"(/vms, VM.Backup)|give VM.Backup on /vms"}, nil},
		{"no VM.Backup for one", func(b *bench) {
			acl := leastRights()
			acl["/vms/102"] = []string{"VM.Audit"}
			b.rights(acl)
		}, []string{"no backup of guest 102 is allowed: Permission check failed (/vms/102, VM.Backup)|NoAccess"}, nil},
		{"a guest that is hidden", func(b *bench) { b.rights(leastRights("/vms/103")) },
			[]string{"guest 103 exists, and the token may not see it|give VM.Audit on /vms/103"}, nil},
		{"no right to the storage", without("/storage/backup", "Datastore.AllocateSpace"),
			[]string{"no archive can be made or read without it: Permission check failed (/storage/backup, Datastore.AllocateSpace)"}, nil},
		{"a storage that is disabled", store(func(s *lab.Storage) { s.Disabled = true }),
			[]string{"storage backup on pve1 is disabled|--disable 0"}, nil},
		{"a storage that is not mounted", store(func(s *lab.Storage) { s.Unmounted = true }),
			[]string{"storage backup on pve1 is not mounted|pvesm status"}, nil},
		{"a storage for other things", store(func(s *lab.Storage) { s.Content = "iso" }),
			[]string{"storage backup on pve1 is not for backups: its content is iso|--content iso,backup"}, nil},
		{"a storage that keeps one", store(func(s *lab.Storage) { s.Prune = "keep-last=1" }),
			[]string{"keeps keep-last=1 by its own rule|keep-all=1"}, nil},
		{"a storage that is full", func(b *bench) { b.inject(lab.Fault{On: "storage backup", Do: "full"}) }, []string{"has 0.0 GiB free"}, nil},
		{"a node without figures", func(b *bench) { b.inject(lab.Fault{On: "pvestatd pve1", Do: "hang"}) }, nil, nil},
		{"no way to the archives", func(b *bench) {
			b.edit(`ssh = {"pve1": "root@pve1.lab:22"},`, "", `host_keys = {"pve1": `, `host_keys = {"pve9": `)
		}, []string{"read /srv/backup/dump on pve1: runner is not on that node|add ssh = {"}, nil},
		{"a node that is down", func(b *bench) { b.inject(lab.Fault{On: "ssh pve1.lab", Do: "refuse"}) }, nil,
			[]string{"read /srv/backup/dump on pve1", "host pve1: connect to"}},
		{"a wrong token", func(b *bench) { b.edit(`secret("pve-token")`, `secret("bad-token")`) },
			[]string{"Authentication failed! (401)|runner secret set"}, nil},
		{"files that the node leaves out", func(b *bench) {
			if err := os.WriteFile(b.dir+"/world/pve/nodes/pve1/etc/vzdump.conf", []byte("exclude-path: /srv/x\n"), 0o600); err != nil {
				b.t.Fatal(err)
			}
		}, nil, []string{"/etc/vzdump.conf of pve1 leaves files of every container out: /srv/x|accept_gap"}},
		{"a job that prunes there", func(b *bench) {
			if err := b.asRoot().Post(b.t.Context(), "/cluster/backup", map[string]any{"id": "old", "schedule": "21:00", "storage": "backup",
				"all": 1, "prune-backups": "keep-last=2"}, new(any)); err != nil {
				b.t.Fatal(err)
			}
		}, nil, []string{"Proxmox's own job old prunes on backup (keep-last=2)|a storage of its own"}},
		{"a privileged container", func(b *bench) { b.set(101, func(g *lab.Guest) { delete(g.Config, "unprivileged") }) }, nil,
			[]string{"privileged container wants Sys.Modify on /, which a token better has not: 101 (mail)|pct restore NEWID"}},
		{"a host that refuses the key", func(b *bench) { b.inject(lab.Fault{On: "ssh pve1.lab", Do: "new-hostkey"}) },
			[]string{"host pve1: connect to", "is not the one in the site"}, nil},
		{"a host without tar", func(b *bench) { b.inject(lab.Fault{On: "run pve1.lab tar", Do: "missing"}) },
			[]string{"host pve1: look for tar: run tar on pve1: no such program|apt install tar"}, nil},
		{"secrets that are not in the keyring", func(b *bench) {
			b.edit(`secret("cloudflare-token")`, `secret("nowhere")`, `secret("unifi-password")`, `secret("nothing")`)
		}, []string{"read secret nowhere|runner secret set nowhere", "read secret nothing"}, nil},
		{"many at once", func(b *bench) {
			b.rights(leastRights("/vms/103"))
			store(func(s *lab.Storage) { s.Prune = "keep-last=1" })(b)
		}, []string{"guest 103 exists", "keeps keep-last=1"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c.before(b)
			var faults, notes []string
			for _, f := range b.foresee() {
				text := f.Text + "|" + f.Hint
				if f.Note {
					notes = append(notes, text)
				} else {
					faults = append(faults, text)
				}
			}
			for _, list := range []struct{ got, want []string }{{faults, c.faults}, {notes, c.notes}} {
				for _, w := range list.want {
					text, hint, _ := strings.Cut(w, "|")
					found := false
					for _, g := range list.got {
						found = found || strings.Contains(g, text) && strings.Contains(g, hint)
					}
					if !found {
						t.Errorf("nothing says %q:\n%s", w, strings.Join(list.got, "\n"))
					}
				}
			}
			if len(faults) > 0 != (len(c.faults) > 0) {
				t.Errorf("got faults %q", faults)
			}
			if out := b.run(`return [snapshot_vm(guest = g) for g in ["mail", "git"]]`); len(faults) == 0 && out.Err != nil {
				t.Errorf("nothing was foreseen, and then: %v", out.Err)
			}
		})
	}
}
