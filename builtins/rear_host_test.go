package builtins

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/lab/host"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
)

const (
	rearOn  = "run pve1.lab rear"
	onStick = `output = "usb", usb = "` + host.StickSerial + `", usb_uuid = "` + host.StickUUID + `", key = "pve-token"`
)

// node is a path of the lab's host.
func (b *bench) onNode(parts ...string) string {
	return filepath.Join(append([]string{b.lab.Node().Root}, parts...)...)
}

func (b *bench) rears() (out []ledger.Artifact) {
	for _, a := range b.artifacts() {
		if a.Kind == "rear" {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(x, y ledger.Artifact) int { return x.Created.Compare(y.Created) })
	return out
}

// disks changes the host's disks.
func (b *bench) disks(edit func([]*host.Device) []*host.Device) {
	b.t.Helper()
	if err := b.lab.Node().SetDevices(edit(host.Disks())); err != nil {
		b.t.Fatal(err)
	}
}

// onRoot puts the guests' storage on the disk of the system.
func onRoot(list []*host.Device) []*host.Device {
	return slices.DeleteFunc(list, func(d *host.Device) bool { return d.Name == "sdb" })
}

func TestRearHostMakesAnImageThatIsWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.good(`rear_host(host = "pve1")`)
	list := b.rears()
	if len(list) != 1 {
		t.Fatalf("got %d artifacts", len(list))
	}
	a := list[0]
	var names []string
	for _, f := range a.Files {
		names = append(names, f.Name)
		st, err := os.Stat(b.onNode(a.Origin["dir"], f.Name))
		if err != nil || st.Size() != f.Size || f.Size == 0 && f.Name != "etc-rear.txt" || len(f.SHA256) != 64 {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if want := []string{"plan.json", "diskdeps.conf", "disklayout.conf", "etc-rear.txt", "local.conf", "rear.log", "rear-pve1.iso"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if a.Item != "pve1" || a.Asset != "operating_systems" || a.Declared["bootloader"] != "GRUB" || a.Declared["erases"] != "" {
		t.Errorf("got %+v", a)
	}
	layout, err := os.ReadFile(b.onNode(a.Origin["dir"], "disklayout.conf"))
	if err != nil || !strings.Contains(string(layout), "\n#disk /dev/sdc ") || !strings.Contains(string(layout), "\n#disk /dev/sdb ") {
		t.Errorf("%v:\n%s", err, layout)
	}
	if !b.told("/etc/rear/local.conf: BACKUP_URL=[not shown]", "not used") {
		t.Error("the host's own settings are not told")
	}
	if etc, err := os.ReadFile(b.onNode("etc/rear/local.conf")); err != nil || !strings.Contains(string(etc), "administrator") {
		t.Errorf("/etc/rear was changed: %v\n%s", err, etc)
	}
}

func TestRearHostIsCopiedAndOpened(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainUSB...)
	out := b.run(`return verify(copies = copy(artifact = rear_host(host = "pve1"), to = ["offline-a"]), level = "opened")`)
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	wantFinding(t, out, ledger.DegradedRun, "target offline-a", "in clear")
	if p := b.proofs("offline-a"); len(p) != 1 || p[0].Level != ledger.Opened {
		t.Errorf("got %+v", p)
	}
}

// Nothing of these ends with ok.
func TestRearHostFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, on, do, args, code, want string }{
		{"rear is missing", rearOn, "missing", ``, "E_REAR_MISSING", "apt install rear"},
		{"too old", rearOn, "old", ``, "E_REAR_OLD", "2.4"},
		{"another one runs", rearOn, "busy", ``, "E_REAR_BUSY", "4711"},
		{"killed", rearOn, "dies", ``, "E_REAR_KILLED", "killed"},
		{"a question", rearOn, "asks", ``, "E_REAR_ASKED", "Proceed regardless"},
		{"out of space", rearOn, "space", ``, "E_REAR_SPACE", "no space left"},
		{"an error of its own", rearOn, "error Cannot autodetect what is used as bootloader", ``, "E_REAR_FAILED", "Cannot autodetect"},
		{"no modules in the image", rearOn, "no-modules", ``, "E_REAR_IMAGE", "no kernel modules"},
		{"no udev in the image", rearOn, "no-udev", ``, "E_REAR_IMAGE", "no udev"},
		{"a cut archive", rearOn, "cut", ``, "E_REAR_IMAGE", "it is cut"},
		{"an image that starts by itself", rearOn, "alone", ``, "E_REAR_IMAGE", "starts a recovery by itself"},
		{"a secret in the image", rearOn, "leaks /var/lib/runner/keyring/pve-token", ``, "E_REAR_IMAGE", "which is secret"},
		{"exclusions that are not obeyed", rearOn, "forgets", ``, "E_LAYOUT_HOLDS_COPIES", "target node"},
		{"the stick is absent", "run pve1.lab lsblk", "without sdd", onStick, "E_USB_ABSENT", "no disk has that serial"},
		{"another stick", "", "", strings.Replace(onStick, host.StickUUID, "7a5e0c1e-0009-4a00-8000-000000000009", 1), "E_USB_WRONG", "no file system on it"},
		{"a full stick", rearOn, "space", onStick, "E_USB_FULL", "is full"},
		{"a stick that is pulled out", rearOn, "pulled", onStick, "E_USB_PULLED", "pulled out meanwhile"},
		{"a stick in clear", "", "", strings.Replace(onStick, `, key = "pve-token"`, "", 1), "E_REAR_CLEAR", "not encrypted"},
		{"the host is down", "ssh pve1.lab", "refuse", ``, "E_HOST_DOWN", "is the host up"},
		{"another host key", "ssh pve1.lab", "new-hostkey", ``, "E_HOST_KEY", "host key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if c.on != "" {
				b.inject(lab.Fault{On: c.on, Do: c.do})
			}
			wantCode(t, b.run(`rear_host(host = "pve1"`+comma(c.args)+`)`), c.code, c.want)
			if len(b.rears()) != 0 {
				t.Error("an artifact was recorded")
			}
		})
	}
}

func comma(args string) string {
	if args == "" {
		return ""
	}
	return ", " + args
}

func TestRearHostSaysWhatIsLess(t *testing.T) {
	t.Parallel()
	for do, want := range map[string]string{"warns": "may cause 'rear recover' failure", "asks-on": "went on with its default"} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.inject(lab.Fault{On: rearOn, Do: do})
			out := b.run(`rear_host(host = "pve1")`)
			if out.Result != ledger.DegradedRun {
				t.Errorf("got %s, %v", out.Result, out.Err)
			}
			wantFinding(t, out, ledger.DegradedRun, want)
		})
	}
}

// Where no guest is lost a recovery may start by itself; its disks have to be empty.
func TestAnImageMayStartByItself(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.good(`rear_host(host = "pve1", unattended = True)`)
	conf, err := os.ReadFile(b.onNode(b.rears()[0].Origin["dir"], "local.conf"))
	if err != nil || !strings.Contains(string(conf), "is not empty: nothing is recovered") || !strings.Contains(string(conf), "ISO_RECOVER_MODE='unattended'") {
		t.Errorf("%v\n%s", err, conf)
	}
}

func TestRearHostTriesAgainWhenAnotherOneRan(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: rearOn, Do: "busy", Skip: 1, Times: 1})
	b.good(`rear_host(host = "pve1")`)
}

// The archive is read in clear where ReaR did not encrypt it, and is not where it did.
func TestNoImageHoldsWhatRunnerKeeps(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.good(`rear_host(host = "pve1", backup = "file", dir = "/srv/images")`)
	a := b.rears()[0]
	if a.Declared["archive"] != "backup.tar.gz" {
		t.Errorf("got %v", a.Declared)
	}
	for _, f := range a.Files {
		if !strings.HasSuffix(f.Name, ".iso") && !strings.HasSuffix(f.Name, ".gz") {
			continue
		}
		if found := grepped(t, b.onNode(a.Origin["dir"], f.Name), "a secret of the lab"); found {
			t.Errorf("%s holds runner's keyring", f.Name)
		}
	}
	if !grepped(t, b.onNode(a.Origin["dir"], "backup.tar.gz"), "pve1\n") {
		t.Error("the archive does not hold /etc/hostname: the search finds nothing")
	}
}

func TestRearHostWritesAStick(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.good(`rear_host(host = "pve1", ` + onStick + `)`)
	a := b.rears()[0]
	if a.Declared["usb"] != host.StickSerial {
		t.Errorf("got %v", a.Declared)
	}
	for _, f := range []string{"kernel", "initrd.cgz", "backup.tar.gz"} {
		if st, err := os.Stat(b.onNode("lab/devices/sdd3/rear/pve1/runner-"+a.ID, f)); err != nil || st.Size() == 0 {
			t.Errorf("%s is not on the stick: %v", f, err)
		}
	}
	raw, err := os.ReadFile(b.onNode(a.Origin["dir"], "backup.tar.gz"))
	if err != nil || !strings.HasPrefix(string(raw), "Salted__") {
		t.Errorf("the archive is not encrypted: %v", err)
	}
	conf, err := os.ReadFile(b.onNode(a.Origin["dir"], "local.conf"))
	if err != nil || bytes.Contains(conf, lab.Secrets()["pve-token"]) {
		t.Errorf("the configuration holds the key: %v", err)
	}
}

func TestGuestsOnTheSystemsDiskNeedACopyElsewhere(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainUSB...)
	b.disks(onRoot)
	for _, id := range []int{101, 102, 103, 900} {
		if err := b.lab.RemoveGuest(id); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, b.run(`rear_host(host = "pve1")`), "E_LAYOUT_HOLDS_GUESTS", "100 (erp)", "no copy of it on another disk is proven", `snapshot_vm(guest = "erp")`)
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
	if err := shown.Text(&text, report.TextOptions{Width: 200}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a recovery of pve1 erases guest 100 (erp); it comes back from offline-a, of ", "disks that a recovery makes anew: /dev/"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("show does not say %q:\n%s", want, text.String())
		}
	}
	var plan struct{ Shared, Erases []string }
	raw, err := os.ReadFile(b.onNode(a.Origin["dir"], "plan.json"))
	if err != nil || json.Unmarshal(raw, &plan) != nil || !slices.Equal(plan.Shared, []string{"100 (erp)"}) || !slices.Equal(plan.Erases, []string{"/var/lib/vz"}) {
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
	wantCode(t, b.run(`rear_host(host = "pve1")`), "E_LAYOUT_HOLDS_GUESTS", "100 (erp)", "no copy of it on another disk is proven that is at most")
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

func TestADifferentialArchiveNamesWhatItNeeds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const call = `rear_host(host = "pve1", backup = "file", dir = "/srv/images", differential = True)`
	for range 3 {
		b.good(call)
		b.clock.advance(3 * 24 * time.Hour)
	}
	b.good(call)
	list := b.rears()
	if len(list) != 4 || list[0].Needs != nil || !slices.Equal(list[1].Needs, []string{list[0].ID}) || !slices.Equal(list[2].Needs, []string{list[0].ID}) || list[3].Needs != nil {
		for _, a := range list {
			t.Logf("%s needs %v, %v", a.ID, a.Needs, a.Declared)
		}
		t.Error("want full, two differential ones, and after a week a full one")
	}
	full, diff := list[0].Declared, list[1].Declared
	if !strings.HasSuffix(full["archive"], "-F.tar.gz") || !strings.HasSuffix(diff["archive"], "-D.tar.gz") || diff["chain"] != list[0].ID {
		t.Errorf("got %v, %v", full, diff)
	}
	b.inject(lab.Fault{On: rearOn, Do: "space", Skip: 1})
	wantCode(t, b.run(call), "E_REAR_SPACE", "no space")
	b.inject()
	// Somebody else's archive in the chain's folder is not taken for ours.
	other := b.onNode("srv/images/chain-"+list[3].ID, "archives/2030-01-01-0000-F.tar.gz")
	if err := os.WriteFile(other, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.run(call), "E_REAR_CHAIN", "2030-01-01-0000-F.tar.gz")
}

func TestOptionsOfRearHostAreChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for args, want := range map[string]string{
		`output = "pxe"`: "iso or usb", `output = "usb"`: "usb_uuid", `backup = "usb"`: "goes with", `differential = True`: `backup = "file"`,
		`dir = "/"`: "two levels", `dir = "/srv/../etc"`: "dir", `kernel = "6.1; rm"`: "words of letters", `exclude = ["srv"]`: "absolute",
		`settings = ["BACKUP_PROG_CRYPT_KEY=x"]`: "does not belong there",
	} {
		out := b.run(`rear_host(host = "pve1", ` + args + `)`)
		if out.Err == nil || !strings.Contains(out.Err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, out.Err, want)
		}
	}
}

// grepped looks for words in a file: as it is, unpacked, and inside its image.
func grepped(t *testing.T, file, words string) bool {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte(words)) {
		return true
	}
	for at := 0; ; at++ { // every gzip stream of it: an ISO holds the initial RAM disk as one
		next := bytes.Index(raw[at:], []byte{0x1f, 0x8b, 8})
		if next < 0 {
			return false
		}
		at += next
		z, err := gzip.NewReader(bytes.NewReader(raw[at:]))
		if err != nil {
			continue
		}
		z.Multistream(false)
		clear, _ := io.ReadAll(io.LimitReader(z, 64<<20)) // what is not a stream ends early
		if bytes.Contains(clear, []byte(words)) {
			return true
		}
	}
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
			raw, err := os.ReadFile(b.onNode(a.Origin["dir"], "luks-dev-sda3.header"))
			if err != nil || !strings.HasPrefix(string(raw), "LUKS\xba\xbe") || a.Declared["luks"] != "/dev/sda3" || a.Declared["tpm"] != c.want {
				t.Errorf("got %q, %v, %v", raw, err, a.Declared)
			}
			if gaps := len(a.Gaps); gaps != len(c.want)/len("/dev/sda3") {
				t.Errorf("got gaps %+v", a.Gaps)
			}
		})
	}
}

func TestRearHostStopsWhenItIsToldTo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: rearOn, Do: "hang", Skip: 1})
	cfg := b.config(main(`rear_host(host = "pve1")`))
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	go func() {
		for {
			raw, err := os.ReadFile(filepath.Join(b.dir, "world", "faults.json.met"))
			if err == nil && strings.Contains(string(raw), ":2") {
				stop(runtime.ErrInterrupted)
				return
			}
			if (runtime.RealClock{}).Sleep(ctx, time.Millisecond) != nil {
				return
			}
		}
	}()
	out, err := runtime.Exec(ctx, cfg)
	if err != nil || out.Result != ledger.Interrupted {
		t.Errorf("got %v, %+v", err, out)
	}
}

// What an attempt left that made nothing is gone after the next one; what has its
// copies goes, too; the newest image stays for the comparison.
func TestOldImagesLeaveTheHost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: rearOn, Do: "space", Skip: 1, Times: 1})
	wantCode(t, b.run(`rear_host(host = "pve1")`), "E_REAR_SPACE", "no space")
	b.good(`copy(artifact = rear_host(host = "pve1"))`) // to every target that is demanded
	for range 2 {
		b.clock.advance(time.Hour)
		b.good(`rear_host(host = "pve1")`)
	}
	entries, err := os.ReadDir(b.onNode("var/lib/runner/rear"))
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, e := range entries {
		left[e.Name()] = true
	}
	list := b.rears()
	for i, a := range list {
		if want := i > 0; left[a.ID] != want {
			t.Errorf("image %d: on the host %v, want %v (%v)", i, left[a.ID], want, left)
		}
	}
	if len(left) > 2*2+1 {
		t.Errorf("what failed is still there: %v", left)
	}
}

// A copy that failed does not cost the host a second image, while the first is there.
func TestARetryUsesTheImageThatIsThere(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"it is there": false, "it is gone": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			policy := main(`copy(artifact = rear_host(host = "pve1"), to = ["offsite"])`)
			b.inject(lab.Fault{On: "sftp offsite.lab put", Do: "deny"})
			cfg := b.config(policy)
			if out, err := runtime.Exec(t.Context(), cfg); err != nil || out.Result != ledger.Failed {
				t.Fatalf("got %v, %+v", err, out)
			}
			b.inject()
			if gone {
				if err := os.RemoveAll(b.onNode(b.rears()[0].Origin["dir"])); err != nil {
					t.Fatal(err)
				}
			}
			if out := b.retry(policy, cfg.Header.ID); out.Err != nil {
				t.Fatal(out.Err)
			}
			want := 1
			if gone {
				want = 2
			}
			if got := len(b.rears()); got != want || len(b.copies("offsite")) != 1 {
				t.Errorf("got %d images, %d copies; want %d and one", got, len(b.copies("offsite")), want)
			}
		})
	}
}

// A run that is killed while rear works begins the image anew.
func TestAKilledRunMakesItsImageAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	policy := main(`rear_host(host = "pve1")`)
	id := b.dies(policy, ending)
	if out := b.resume(policy, id); out.Err != nil || out.Result != ledger.OK {
		t.Fatalf("got %+v", out)
	}
	if got := len(b.rears()); got != 1 {
		t.Errorf("got %d images, want one", got)
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
			group.Children = append(group.Children, &host.Device{Name: name, Path: "/dev/mapper/" + name, Type: "lvm", Size: 35433480192, Mounts: []*string{nil}})
		}
		return list
	})
	if err := os.WriteFile(b.onNode("etc/pve/storage.cfg"), []byte("lvmthin: local\n\tthinpool data\n\tvgname pve\n\ndir: backup\n\tpath /srv/backup\n"), 0o600); err != nil {
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
	layout, err := os.ReadFile(b.onNode(a.Origin["dir"], "disklayout.conf"))
	if err != nil || !strings.Contains(string(layout), "\nlvmvol /dev/pve data 35433480192b thin,pool") || a.Declared["erases"] != "100 (erp)" {
		t.Errorf("%v, %v\n%s", err, a.Declared, layout)
	}
	conf, err := os.ReadFile(b.onNode(a.Origin["dir"], "local.conf"))
	if err != nil || !strings.Contains(string(conf), "runner.erases=100") || !strings.Contains(string(conf), "It erases these guests, too: 100 (erp)") {
		t.Errorf("%v\n%s", err, conf)
	}
}
