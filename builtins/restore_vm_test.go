package builtins

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/ledger"
)

// saved opens a lab in which a guest is copied to every target and proven.
func saved(t *testing.T, guest string, edits ...string) *bench {
	t.Helper()
	b := newBench(t, edits...)
	b.good(`return verify(copies = copy(artifact = snapshot_vm(guest = "` + guest + `")), level = "read")`)
	return b
}

// sameDisk compares a restored disk with the one that was saved, byte for byte.
func (b *bench) sameDisk(from, to int, key string) {
	b.t.Helper()
	var data [2][]byte
	for i, id := range []int{from, to} {
		path, err := b.lab.Disk(id, key)
		if err == nil {
			data[i], err = os.ReadFile(path)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	if len(data[0]) == 0 || !bytes.Equal(data[0], data[1]) {
		b.t.Errorf("%s of %d: got %d bytes that differ from the %d of %d", key, to, len(data[1]), len(data[0]), from)
	}
}

// confPath is the configuration file of a guest; its comments are the description.
func (b *bench) confPath(g lab.Guest) string {
	kind := map[string]string{"qemu": "qemu-server"}[g.Kind]
	if kind == "" {
		kind = g.Kind
	}
	return fmt.Sprintf("%s/world/pve/nodes/%[2]s/etc/pve/nodes/%[2]s/%[3]s/%[4]d.conf", b.dir, g.Node, kind, g.ID)
}

func (b *bench) conf(g lab.Guest) string {
	b.t.Helper()
	raw, err := os.ReadFile(b.confPath(g))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(raw)
}

// restored checks the guest that a restore left: off, apart from the network,
// with the step's token.
func (b *bench) restored(id int, run string) lab.Guest {
	b.t.Helper()
	g, ok := b.guest(id)
	if !ok {
		b.t.Fatalf("there is no guest %d", id)
	}
	if g.Running || g.Lock != "" || !strings.Contains(b.conf(g), "#runner%3A"+run+"/") || g.Config["onboot"] == "1" {
		b.t.Errorf("got %+v", g)
	}
	return g
}

func TestRestoreVMBringsDisksBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, guest string
		id          int
		args        string
		site        []string
		disks       []string
		target      string
	}{
		{"a VM from its archive in place", "erp", 100, "", nil, []string{"scsi0", "efidisk0"}, "node"},
		{"a VM from a plain copy on a disk", "git", 102, `, from_target = "offline-a"`, plainUSB, []string{"virtio0"}, "offline-a"},
		{"a VM from a sealed copy offsite", "git", 102, `, from_target = "offsite"`, []string{"+", onHost}, []string{"virtio0"}, "offsite"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := saved(t, c.guest, c.site...)
			out := b.good(`return restore_vm(guest = "` + c.guest + `", vmid = 9100, storage = "local", name = "drill"` + c.args + `)`)
			g := b.restored(9100, out.Run)
			if g.Name != "drill" || !strings.Contains(g.Config["net0"], "link_down=1") ||
				!strings.Contains(out.Value.String(), `"target": "`+c.target+`"`) {
				t.Errorf("got %+v, %s", g, out.Value)
			}
			was, _ := b.guest(c.id)
			if mac := was.Config["net0"][7:24]; strings.Contains(g.Config["net0"], mac) || g.Config["vmgenid"] == was.Config["vmgenid"] {
				t.Errorf("the restored guest has the MAC or the id of the first: %v", g.Config)
			}
			for _, d := range c.disks {
				b.sameDisk(c.id, 9100, d)
			}
			b.clean(1)
		})
	}
}

// clean demands that the node holds so many archives, that nothing else lies
// beside them, and that no clean-up is left to do.
func (b *bench) clean(archives int) {
	b.t.Helper()
	if n := len(b.dumps()); n != archives {
		b.t.Errorf("got %d archives on the node, want %d: %v", n, archives, b.dumps())
	}
	notes, err := filepath.Glob(b.dir + "/world/pve/nodes/pve1/srv/backup/dump/*.notes")
	if err != nil || len(notes) != archives {
		b.t.Errorf("got notes %v, %v; want %d", notes, err, archives)
	}
	if undos := rows[ledger.Undo](b, ledger.RowUndo, ledger.Query{}); len(undos) != 0 {
		b.t.Errorf("left to do: %+v", undos)
	}
}

func TestRestoreVMBringsAContainerBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, args string
		site       []string
	}{
		{"from its archive in place", "", nil},
		{"from a sealed copy offsite", `, from_target = "offsite"`, []string{"+", onHost}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := saved(t, "mail", c.site...)
			out := b.good(`return restore_vm(guest = "mail", vmid = 9101, storage = "local"` + c.args + `)`)
			g := b.restored(9101, out.Run)
			if !strings.Contains(g.Config["net0"], "link_down=1") || strings.Contains(g.Config["net0"], "BC:24:11:10:01:01") {
				t.Errorf("got %s", g.Config["net0"])
			}
			n := 0
			from, err := b.lab.Disk(101, "rootfs")
			if err != nil {
				t.Fatal(err)
			}
			to, err := b.lab.Disk(9101, "rootfs")
			if err != nil {
				t.Fatal(err)
			}
			err = filepath.WalkDir(from, func(p string, e fs.DirEntry, err error) error {
				rel := strings.TrimPrefix(p, from)
				if err != nil || !e.Type().IsRegular() || rel == "/tmp/leftover" || rel == "/var/run/postfix.pid" {
					return err
				}
				want, err := os.ReadFile(p)
				if err != nil {
					return err
				}
				got, err := os.ReadFile(to + rel)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: got %d bytes, %v; want %d", rel, len(got), err, len(want))
				}
				n++
				return nil
			})
			if err != nil || n < 50 {
				t.Errorf("compared %d files, %v", n, err)
			}
			b.clean(1)
		})
	}
}

func TestRestoreVMGoesOnToTheNextCopy(t *testing.T) {
	t.Parallel()
	b := saved(t, "scratch", "+", onHost)
	old := b.artifacts()[0]
	b.clock.advance(day)
	b.good(proveScratch)
	newest := b.artifacts()[1]
	flip(t, b.dump(newest))
	flip(t, b.usb("offline-a", b.copyOf(newest, "offline-a").Ref, newest.Files[0].Name+".age"))
	out := b.run(`return restore_vm(guest = "scratch", vmid = 9100, storage = "local")`)
	if out.Err != nil || out.Result != ledger.DegradedRun || !strings.Contains(out.Value.String(), `"target": "offsite"`) {
		t.Fatalf("got %s, %v, %v", out.Result, out.Err, out.Value)
	}
	for _, name := range []string{"node", "offline-a"} {
		wantFinding(t, out, ledger.DegradedRun, "the copy on "+name+" of "+newest.Created.Format("2006-01-02T15:04:05Z")+" was left", "E_DAMAGED")
		if n := len(b.proofs(name)); n != 1 {
			t.Errorf("%s: got %d proofs, want that of the older copy alone", name, n)
		}
	}
	b.sameDisk(900, 9100, "scsi0")
	b.clean(2)
	// With all copies of the newest gone, the one of the day before serves.
	flip(t, b.offsite(b.copyOf(newest, "offsite").Ref, newest.Files[0].Name+".age"))
	out = b.run(`return restore_vm(guest = "scratch", vmid = 9101, storage = "local")`)
	if out.Err != nil || !strings.Contains(out.Value.String(), old.Created.Format("2006-01-02T15:04:05Z")) {
		t.Errorf("got %v, %v", out.Err, out.Value)
	}
}

func (b *bench) copyOf(a ledger.Artifact, target string) ledger.Copy {
	b.t.Helper()
	c, found, err := b.catalog().Copy(b.t.Context(), ledger.CopyID(a.ID, target))
	if err != nil || !found {
		b.t.Fatalf("no copy of %s on %s: %v", a.ID, target, err)
	}
	return c
}

func TestRestoreVMFaults(t *testing.T) {
	t.Parallel()
	const all = `return restore_vm(guest = "scratch", vmid = 9100, storage = "local")`
	for _, c := range []struct {
		name   string
		call   string
		faults []lab.Fault
		before func(*bench)
		code   string
		words  []string
	}{
		{name: "a VMID that is taken", call: `return restore_vm(guest = "scratch", vmid = 101, storage = "local")`, code: "E_VMID_TAKEN",
			words: []string{"belongs to mail", "never overwrites"}},
		{name: "a guest without copies", call: `return restore_vm(guest = "git", vmid = 9100, storage = "local")`, code: "E_NO_COPY",
			words: []string{"no proven copy", "runner recover --from"}},
		{name: "a sealed copy without an identity",
			call: `return restore_vm(guest = "scratch", vmid = 9100, storage = "local", from_target = "offsite")`, code: "E_NO_COPY",
			words: []string{"E_NO_IDENTITY", "runner recover"}},
		{name: "a restore that fails", faults: []lab.Fault{{On: "qmrestore 9100", Do: "fail unable to allocate image"}},
			code: "E_RESTORE_FAILED", words: []string{"unable to allocate image"}},
		{name: "a restore whose worker is killed", faults: []lab.Fault{{On: "qmrestore 9100", Do: "exit unexpected status"}},
			code: "E_RESTORE_FAILED", words: []string{"unexpected status"}},
		{name: "a privilege that is missing", faults: []lab.Fault{{On: "POST /nodes/pve1/qemu",
			Do: "answer 403 Permission check failed (/vms/9100, VM.Allocate)"}}, code: "E_PVE_AUTH", words: []string{"VM.Allocate"}},
		{name: "a storage that is unknown", call: `return restore_vm(guest = "scratch", vmid = 9100, storage = "nope")`, code: "E_PVE",
			words: []string{"shows no storage nope"}},
		{name: "all copies damaged", code: "E_NO_COPY", words: []string{"the copy on node", "E_DAMAGED", "the copy on offsite", "E_NO_IDENTITY"},
			before: func(b *bench) { flip(b.t, b.dump(b.artifacts()[0])); b.detach("offline-a") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := saved(t, "scratch")
			b.inject(c.faults...)
			if c.before != nil {
				c.before(b)
			}
			if c.call == "" {
				c.call = all
			}
			wantCode(t, b.run(c.call), c.code, c.words...)
			if g, there := b.guest(9100); there {
				t.Errorf("a failed restore left %+v", g)
			}
			b.clean(1)
		})
	}
}

func TestRestoreVMFindsALostAnswer(t *testing.T) {
	t.Parallel()
	for _, do := range []string{"cut", "answer-after 596"} {
		b := saved(t, "scratch")
		b.inject(lab.Fault{On: "POST /nodes/pve1/qemu", Do: do, Times: 1})
		out := b.good(`return restore_vm(guest = "scratch", vmid = 9100, storage = "local")`)
		b.restored(9100, out.Run)
		b.sameDisk(900, 9100, "scsi0")
		b.clean(1)
	}
}

func TestRestoreVMNeverOverwritesAnArchiveOfTheNode(t *testing.T) {
	t.Parallel()
	b := saved(t, "scratch", plainUSB...)
	b.inject(lab.Fault{On: "sftp pve1.lab put", Do: "enospc 1000"})
	out := b.run(`return restore_vm(guest = "scratch", vmid = 9100, storage = "local", from_target = "offline-a")`)
	wantCode(t, out, "E_STORAGE_FULL", "/srv/backup/dump/vzdump-qemu-900-", "no space left", "free space on the storage")
	b.clean(1)
}

// An archive of somebody else that has the very name is neither written to nor removed.
func TestRestoreVMLeavesAForeignArchiveOfItsNameAlone(t *testing.T) {
	t.Parallel()
	b := saved(t, "scratch", plainUSB...)
	var names []string
	for i := range 600 {
		name := "/srv/backup/dump/vzdump-qemu-900-" + b.clock.Now().Add(time.Duration(i)*time.Second).Format("2006_01_02-15_04_05") + ".vma.zst"
		names = append(names, b.dir+"/world/pve/nodes/pve1"+name)
	}
	for _, name := range names {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			if err := os.WriteFile(name, []byte("foreign"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	out := b.run(`return restore_vm(guest = "scratch", vmid = 9100, storage = "local", from_target = "offline-a")`)
	wantCode(t, out, "E_STORAGE", "is there already")
	for _, name := range names {
		if _, err := os.Stat(name); err != nil {
			t.Errorf("an archive of somebody else went: %v", err)
		}
	}
}

func TestRestoreVMSurvivesACrash(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		at   func(ledger.Entry) bool
		slow string
	}{
		{"before the archive is brought", func(e ledger.Entry) bool { return e.Type == ledger.UndoBegin }, ""},
		{"after it was brought", marking("copy"), ""},
		{"between the request and its mark", marking("upid"), "slow 1s"},
		{"after the restore", func(e ledger.Entry) bool { return e.Type == ledger.UndoEnd }, ""},
		{"before its end is recorded", ending, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := saved(t, "scratch", plainUSB...)
			if c.slow != "" {
				b.inject(lab.Fault{On: "qmrestore 9100", Do: c.slow})
			}
			policy := main(`return restore_vm(guest = "scratch", vmid = 9100, storage = "local", from_target = "offline-a")`)
			id := b.dies(policy, c.at)
			b.clock.advance(2 * time.Minute)
			out := b.resume(policy, id)
			if out.Err != nil || out.Result != ledger.OK {
				t.Fatalf("got %s, %v, %v", out.Result, out.Err, out.Findings)
			}
			b.restored(9100, id)
			b.sameDisk(900, 9100, "scsi0")
			b.clean(1)
		})
	}
}

// A run that died and is never resumed is cleaned up by the next one.
func TestTheNextRunCleansUpAfterARestoreThatDied(t *testing.T) {
	t.Parallel()
	b := saved(t, "scratch", plainUSB...)
	policy := main(`return restore_vm(guest = "scratch", vmid = 9100, storage = "local", from_target = "offline-a")`)
	b.dies(policy, marking("upid"))
	b.clock.advance(2 * time.Minute)
	out := b.exec(policy)
	if out.Err != nil || out.Result != ledger.OK {
		t.Fatalf("got %s, %v, %v", out.Result, out.Err, out.Findings)
	}
	b.restored(9100, out.Run)
	b.clean(1)
}

func TestRestoreVMNeedsAVMIDAndAStorage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for call, want := range map[string]string{
		`restore_vm(guest = "erp", storage = "local")`:                              "missing argument for vmid",
		`restore_vm(guest = "erp", vmid = 9100)`:                                    "missing argument for storage",
		`restore_vm(vmid = 9100, storage = "local")`:                                "name the guest or the artifact, one of them",
		`restore_vm(guest = "erp", artifact = "x", vmid = 9100, storage = "local")`: "name the guest or the artifact, one of them",
	} {
		if out := b.run(call); out.Err == nil || !strings.Contains(out.Err.Error(), want) {
			t.Errorf("%s: got %v", call, out.Err)
		}
	}
}

// Some containers Proxmox restores for a token with more rights than it should have, or
// for root alone: the way that needs none is in the hint.
func TestARestoreThatATokenMayNotMakeNamesTheWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ guest, words string }{{"mail", "privileged container wants Sys.Modify on /"},
		{"wiki", "bind mount is restored by root@pam alone"}} {
		b := newBench(t)
		b.set(101, func(g *lab.Guest) { delete(g.Config, "unprivileged") })
		b.good(fmt.Sprintf(`c = copy(artifact = snapshot_vm(guest = %q), to = ["node"])`, c.guest), `return verify(copies = c)`)
		out := b.run(fmt.Sprintf(`return restore_vm(guest = %q, vmid = 9100, storage = "local")`, c.guest))
		wantCode(t, out, "E_RESTORE_FAILED", c.words, "as root on the node: pct restore 9100 backup:backup/vzdump-lxc-", "--storage local")
		if _, there := b.guest(9100); there {
			t.Errorf("%s: something was left behind", c.guest)
		}
	}
}

// A refusal's hint is for its cause, and names this site's token.
func TestARestoreWithoutARightNamesIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, guest, without, from, code, want string }{
		{"no VM may be made", "git", "VM.Allocate", "/vms", "E_PVE_AUTH", "give VM.Allocate on /vms/9100 "},
		{"no container may be made", "mail", "VM.Allocate", "/vms", "E_PVE_AUTH", "give VM.Allocate on /vms/9100 "},
		{"no bridge may be used by a container", "mail", "SDN.Use", "/sdn/zones/localnetwork", "E_PVE_AUTH",
			"give SDN.Use on /sdn/zones/localnetwork"},
		{"the storage is not to be seen", "mail", "", "/storage/local", "E_PVE", "give Datastore.AllocateSpace on /storage/local "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.run(fmt.Sprintf(`c = copy(artifact = snapshot_vm(guest = %q), to = ["node"])`, c.guest), `return verify(copies = c)`)
			acl := leastRights()
			restore := strings.Fields("VM.Allocate VM.Audit VM.PowerMgmt VM.Config.Network VM.Config.Options VM.Config.Disk VM.Config.CPU " +
				"VM.Config.Memory VM.Config.HWType VM.Config.CDROM Datastore.AllocateSpace SDN.Use")
			for _, path := range []string{"/vms", "/storage/local", "/sdn/zones/localnetwork"} {
				acl[path] = append(acl[path], restore...)
			}
			acl[c.from] = slices.DeleteFunc(acl[c.from], func(p string) bool { return c.without == "" || p == c.without })
			b.rights(acl)
			out := b.run(fmt.Sprintf(`return restore_vm(guest = %q, vmid = 9100, storage = "local")`, c.guest))
			wantCode(t, out, c.code, c.want, "'runner@pve!runner'")
			if strings.Contains(fmt.Sprint(out.Err), "bind mount") {
				t.Errorf("the hint is for another cause: %v", out.Err)
			}
		})
	}
}

// The description comes back, with the step's token behind it, and what the archive did
// not hold is reported.
func TestARestoredGuestKeepsItsDescription(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.asRoot().Put(t.Context(), "/nodes/pve1/qemu/102/config",
		map[string]any{"description": "Küche & Büro\nzweite Zeile: 100 % #1"}, nil); err != nil {
		t.Fatal(err)
	}
	b.edit(`accept_gap(item = "git"`, `accept_gap(item = "other"`)
	b.run(`c = copy(artifact = snapshot_vm(guest = "git"), to = ["node"])`, `return verify(copies = c)`)
	out := b.run(`return restore_vm(guest = "git", vmid = 9100, storage = "local")`)
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	wantFinding(t, out, ledger.DegradedRun, "git comes back as 9100 without disk scsi1: backup=0")
	config, err := b.asRoot().GuestConfig(t.Context(), proxmox.Guest{VMID: 9100, Node: "pve1", Type: "qemu"})
	if want := "Küche & Büro\nzweite Zeile: 100 % #1\nrunner:" + out.Run + "/0"; err != nil || config["description"] != want {
		t.Errorf("got %q, %v, want %q", config["description"], err, want)
	}
}

func TestRestoreVMRefusesTheVMIDOfAHiddenGuest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.good(`c = copy(artifact = snapshot_vm(guest = "scratch"), to = ["node"])`, `return verify(copies = c)`)
	b.rights(leastRights("/vms/103"))
	wantCode(t, b.run(`return restore_vm(guest = "scratch", vmid = 103, storage = "backup")`), "E_VMID_TAKEN",
		"a guest that the token may not see")
}

func TestThePlaceOfARestoreIsAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	world := b.config(main("pass")).World.(*systems.Systems)
	vmid, storages, err := RestorePlace(t.Context(), world, "")
	if _, taken := b.guest(int(vmid)); err != nil || taken || vmid < 100 || strings.Join(storages, " ") != "local" {
		t.Errorf("got %d, %v, %v", vmid, storages, err)
	}
	if err := b.lab.SetStorage("backup", func(s *lab.Storage) { s.Content = "backup,images" }); err != nil {
		t.Fatal(err)
	}
	if _, storages, err = RestorePlace(t.Context(), world, ""); err != nil || len(storages) != 2 {
		t.Errorf("got %v, %v, want both", storages, err)
	}
	b.inject(lab.Fault{On: "GET /cluster/nextid", Do: "answer 500 no"})
	if _, _, err = RestorePlace(t.Context(), world, ""); err == nil || !strings.Contains(err.Error(), "ask for a free VMID") {
		t.Errorf("got %v", err)
	}
}
