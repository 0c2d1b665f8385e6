package builtins

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/lab/host"
	"github.com/neosofia/runner/runtime/ledger"
)

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
		st, err := os.Stat(b.onNode(a.Origin.Dir, f.Name))
		if err != nil || st.Size() != f.Size || f.Size == 0 && f.Name != "etc-rear.txt" || len(f.SHA256) != 64 {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if want := []string{"plan.json", "diskdeps.conf", "disklayout.conf", "etc-rear.txt", "local.conf", "rear.log",
		"rear-pve1.iso"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if a.Item != "pve1" || a.Asset != "operating_systems" || a.Declared["bootloader"] != "GRUB" || a.Declared["erases"] != "" {
		t.Errorf("got %+v", a)
	}
	layout, err := os.ReadFile(b.onNode(a.Origin.Dir, "disklayout.conf"))
	if err != nil || !strings.Contains(string(layout), "\n#disk /dev/sdc ") || !strings.Contains(string(layout), "\n#disk /dev/sdb ") {
		t.Errorf("%v:\n%s", err, layout)
	}
	if !b.reported("/etc/rear/local.conf: BACKUP_URL=[not shown]", "not used") {
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

// Where no guest is lost a recovery may start by itself; its disks have to be empty.
func TestAnImageMayStartByItself(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.good(`rear_host(host = "pve1", unattended = True)`)
	conf, err := os.ReadFile(b.onNode(b.rears()[0].Origin.Dir, "local.conf"))
	if err != nil || !strings.Contains(string(conf), "is not empty: nothing is recovered") ||
		!strings.Contains(string(conf), "ISO_RECOVER_MODE='unattended'") {
		t.Errorf("%v\n%s", err, conf)
	}
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
		if found := grepped(t, b.onNode(a.Origin.Dir, f.Name), "a secret of the lab"); found {
			t.Errorf("%s holds runner's keyring", f.Name)
		}
	}
	if !grepped(t, b.onNode(a.Origin.Dir, "backup.tar.gz"), "pve1\n") {
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
	raw, err := os.ReadFile(b.onNode(a.Origin.Dir, "backup.tar.gz"))
	if err != nil || !strings.HasPrefix(string(raw), "Salted__") {
		t.Errorf("the archive is not encrypted: %v", err)
	}
	conf, err := os.ReadFile(b.onNode(a.Origin.Dir, "local.conf"))
	if err != nil || bytes.Contains(conf, lab.Secrets()["pve-token"]) {
		t.Errorf("the configuration holds the key: %v", err)
	}
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
	if len(list) != 4 || list[0].Needs != nil || !slices.Equal(list[1].Needs, []string{list[0].ID}) ||
		!slices.Equal(list[2].Needs, []string{list[0].ID}) || list[3].Needs != nil {
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
