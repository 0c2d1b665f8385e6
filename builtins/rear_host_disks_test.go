package builtins

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab/host"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
)

func TestGuestsOnTheSystemsDiskNeedACopyElsewhere(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainUSB...)
	b.disks(onRoot)
	for _, id := range []int{101, 102, 103, 900} {
		if err := b.lab.RemoveGuest(id); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, b.run(`rear_host(host = "pve1")`), "E_LAYOUT_HOLDS_GUESTS", "100 (erp)", "no copy of it on another disk is proven",
		`snapshot_vm(guest = "erp")`)
	b.good(`verify(copies = copy(artifact = snapshot_vm(guest = "erp"), to = ["offline-a"]), level = "read")`)
	wantCode(t, b.run(`rear_host(host = "pve1", unattended = True)`), "E_LAYOUT_HOLDS_GUESTS", "starts by itself")
	out := b.run(`return verify(copies = copy(artifact = rear_host(host = "pve1"), to = ["offline-a"]), level = "opened")`)
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	a := b.rears()[0]
	if a.Declared["erases"] != "100 (erp)" || a.Declared["serials"] == "" || strings.Contains(a.Declared["serials"], "LABUSB000A") {
		t.Errorf("got %v, want the guest, and the serial of the system's disk", a.Declared)
	}
	shown, err := report.NewRun(t.Context(), b.catalog(), out.Run)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := shown.Text(&text, report.TextOptions{More: true, Width: 200}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a recovery of pve1 erases guest 100 (erp); it comes back from offline-a, of ",
		"disks that a recovery makes anew: /dev/"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("show does not say %q:\n%s", want, text.String())
		}
	}
	var plan struct{ Shared, Erases []string }
	raw, err := os.ReadFile(b.onNode(a.Origin.Dir, "plan.json"))
	if err != nil || json.Unmarshal(raw, &plan) != nil || !slices.Equal(plan.Shared, []string{"100 (erp)"}) ||
		!slices.Equal(plan.Erases, []string{"/var/lib/vz"}) {
		t.Errorf("%v, %+v", err, plan)
	}
}

func TestATargetOnTheSystemsDiskStopsTheImage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.disks(func(list []*host.Device) []*host.Device {
		return slices.DeleteFunc(list, func(d *host.Device) bool { return d.Name == "sdc" })
	})
	wantCode(t, b.run(`rear_host(host = "pve1")`), "E_LAYOUT_HOLDS_COPIES", "target node", "/dev/sda")
}

// A target that is reached over SSH can be the host itself.
func TestATargetOfTheHostsOwnSSHServerIsKept(t *testing.T) {
	t.Parallel()
	b := newBench(t, "sftp://runner@offsite.lab:22/~/", "sftp://runner@192.0.2.77:22/~/")
	file := b.onNode("proc", "net", "fib_trie")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	b.good(`rear_host(host = "pve1")`) // nobody has that address
	if err := os.WriteFile(file, []byte("Main:\n  |-- 192.0.2.77\n     /32 host LOCAL\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.run(`rear_host(host = "pve1")`), "E_LAYOUT_HOLDS_COPIES", "target offsite", "/dev/sda")
}

func TestAGuestsOldCopyDoesNotCount(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainUSB...)
	b.disks(onRoot)
	for _, id := range []int{101, 102, 103, 900} {
		if err := b.lab.RemoveGuest(id); err != nil {
			t.Fatal(err)
		}
	}
	b.good(`verify(copies = copy(artifact = snapshot_vm(guest = "erp"), to = ["offline-a"]), level = "read")`)
	if out := b.run(`rear_host(host = "pve1")`); out.Err != nil {
		t.Fatal(out.Err)
	}
	b.clock.mu.Lock()
	b.clock.ahead += 9 * 24 * time.Hour
	b.clock.mu.Unlock()
	wantCode(t, b.run(`rear_host(host = "pve1")`), "E_LAYOUT_HOLDS_GUESTS", "100 (erp)",
		"no copy of it on another disk is proven that is at most")
}

func TestAChangedDiskDegrades(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.good(`rear_host(host = "pve1")`)
	b.disks(func(list []*host.Device) []*host.Device {
		list[0].Size += 1 << 30
		return list
	})
	out := b.run(`rear_host(host = "pve1")`)
	wantFinding(t, out, ledger.DegradedRun, "not those of the image before", "disk /dev/sda")
}

// The root lies in a LUKS container: its header is saved, and what only this
// board's TPM opens is a gap.
func TestHeadersOfContainersAreSaved(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ metadata, want string }{
		"with a passphrase":        {`{"keyslots":{"0":{},"1":{}},"tokens":{"0":{"type":"systemd-tpm2","keyslots":["1"]}}}`, ""},
		"with the board's TPM":     {`{"keyslots":{"1":{}},"tokens":{"0":{"type":"systemd-tpm2","keyslots":["1"]}}}`, "/dev/sda3"},
		"of the first LUKS format": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.disks(func(list []*host.Device) []*host.Device {
				luks, uuid := "crypto_LUKS", "7a5e0c1e-00cc-4a00-8000-000000000001"
				part := list[0].Children[1]
				inner := *part
				inner.Name, inner.Path, inner.Type = "root_crypt", "/dev/mapper/root_crypt", "crypt"
				part.FSType, part.UUID, part.Children = &luks, &uuid, []*host.Device{&inner}
				return list
			})
			if c.metadata != "" {
				if err := os.WriteFile(b.onNode("lab/luks.json"), []byte(c.metadata), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out := b.run(`rear_host(host = "pve1")`)
			if out.Err != nil {
				t.Fatal(out.Err)
			}
			a := b.rears()[0]
			raw, err := os.ReadFile(b.onNode(a.Origin.Dir, "luks-dev-sda3.header"))
			if err != nil || !strings.HasPrefix(string(raw), "LUKS\xba\xbe") ||
				a.Declared[ledger.DeclaredShown("LUKS containers")] != "/dev/sda3" ||
				a.Declared[ledger.DeclaredShown("opened by this board alone (TPM)")] != c.want {
				t.Errorf("got %q, %v, %v", raw, err, a.Declared)
			}
			if gaps := len(a.Gaps); gaps != len(c.want)/len("/dev/sda3") {
				t.Errorf("got gaps %+v", a.Gaps)
			}
		})
	}
}

// The shape that Proxmox's installer makes: root and the guests' thin pool in one
// volume group.
func TestTheInstallersThinPoolIsNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainUSB...)
	b.disks(func(list []*host.Device) []*host.Device {
		group := list[0].Children[1]
		for _, name := range []string{"pve-data", "pve-vm--100--disk--0"} {
			group.Children = append(group.Children, &host.Device{Name: name, Path: "/dev/mapper/" + name, Type: "lvm", Size: 35433480192,
				Mounts: []*string{nil}})
		}
		return list
	})
	if err := os.WriteFile(b.onNode("etc/pve/storage.cfg"), []byte("lvmthin: local\n\tthinpool data\n\tvgname pve\n\ndir: backup\n\tpath "+
		"/srv/backup\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []int{101, 102, 103, 900} {
		if err := b.lab.RemoveGuest(id); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, b.run(`rear_host(host = "pve1")`), "E_LAYOUT_HOLDS_GUESTS", "100 (erp)", "/dev/pve")
	b.good(`verify(copies = copy(artifact = snapshot_vm(guest = "erp"), to = ["offline-a"]), level = "read")`)
	out := b.run(`rear_host(host = "pve1")`)
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	a := b.rears()[0]
	layout, err := os.ReadFile(b.onNode(a.Origin.Dir, "disklayout.conf"))
	if err != nil || !strings.Contains(string(layout), "\nlvmvol /dev/pve data 35433480192b thin,pool") ||
		a.Declared["erases"] != "100 (erp)" {
		t.Errorf("%v, %v\n%s", err, a.Declared, layout)
	}
	conf, err := os.ReadFile(b.onNode(a.Origin.Dir, "local.conf"))
	if err != nil || !strings.Contains(string(conf), "runner.erases=100") ||
		!strings.Contains(string(conf), "It erases these guests, too: 100 (erp)") {
		t.Errorf("%v\n%s", err, conf)
	}
}
