package host

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab/fault"
)

const testConf = "OUTPUT='ISO'\nISO_DIR='/srv/out'\nBACKUP_URL='file:///srv/out'\nNETFS_PREFIX='archives'\nISO_DEFAULT='boothd'\nEXCLUDE_COMPONENTS+=( '/dev/sdb' '/dev/sdb1' )\nEXCLUDE_RECREATE+=( 'fs:/var/lib/vz' )\nBACKUP_PROG_EXCLUDE=( \"$VAR_DIR\"'/output/*' '/var/lib/runner/*' )\n"

func prepared(t *testing.T, faults ...fault.Fault) *Machine {
	t.Helper()
	m := machine(t, faults...)
	if err := m.Create(); err != nil {
		t.Fatal(err)
	}
	if err := writeBelow(m.on("/conf/local.conf"), []byte(testConf)); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRearObeysItsConfiguration(t *testing.T) {
	m := prepared(t)
	var out bytes.Buffer
	if exit := m.Exec(t.Context(), "rear -c /conf -v mkbackup", nil, &out, &out); exit != 0 {
		t.Fatalf("got %d: %s", exit, out.String())
	}
	layout, err := os.ReadFile(m.on("/var/lib/rear/layout/disklayout.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\ndisk /dev/sda ", "\n#disk /dev/sdb ", "\n#fs /dev/sdb1 /var/lib/vz", "\nfs /dev/mapper/pve-root / ",
		"\n#disk /dev/sdd "} {
		if !strings.Contains(string(layout), want) {
			t.Errorf("the layout has no line %q:\n%s", want, layout)
		}
	}
	for _, file := range []string{"/srv/out/rear-pve1.iso", "/srv/out/archives/backup.tar.gz", "/var/log/rear/rear-pve1.log"} {
		if st, err := os.Stat(m.on(file)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestRearFailsAsItDoes(t *testing.T) {
	for do, want := range map[string]struct {
		exit int
		said string
	}{
		"busy": {1, "already running"}, "asks": {143, "(default 'No' timeout"}, "space": {143, "No space left"},
		"dies":                {Signaled, "Running rear"},
		"error no bootloader": {143, "ERROR: no bootloader"}, "warns": {0, "may cause"}, "no-modules": {0, "Finished"},
		"missing": {127, "No such file"},
	} {
		t.Run(do, func(t *testing.T) {
			m := prepared(t, fault.Fault{On: "run pve1.lab rear", Do: do})
			var out bytes.Buffer
			if exit := m.Exec(t.Context(), "rear -c /conf -v mkbackup", nil, &out, &out); exit != want.exit ||
				!strings.Contains(out.String(), want.said) {
				t.Errorf("got %d %s", exit, out.String())
			}
		})
	}
}

func TestAMountShowsWhatLiesOnTheDevice(t *testing.T) {
	m := prepared(t)
	if err := writeBelow(filepath.Join(m.store("/dev/sdd3"), "x"), []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(m.on("/mnt/a"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, line := range []string{"mount -o ro -- /dev/sdd3 /mnt/a", "cp -- /mnt/a/x /root", "umount -- /mnt/a"} {
		os.MkdirAll(m.on("/root"), 0o755)
		if exit := m.Exec(t.Context(), line, nil, &out, &out); exit != 0 {
			t.Fatalf("%s: %d %s", line, exit, out.String())
		}
	}
	if b, err := os.ReadFile(m.on("/root/x")); err != nil || string(b) != "1" {
		t.Errorf("got %q, %v", b, err)
	}
	if exit := m.Exec(t.Context(), "mount -o ro -- /dev/nope /mnt/a", nil, &out, &out); exit != 32 {
		t.Errorf("a device that is not there is mounted")
	}
}
