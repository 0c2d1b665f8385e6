package newsite

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/runtime/ledger"
)

func TestDisksThatNobodyMountedAreNamed(t *testing.T) {
	root := t.TempDir()
	put := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 8:17 / /mnt/usb rw - ext4 /dev/sdb1 rw\n")
	for _, d := range []struct{ name, number, udev string }{
		{"sda", "8:0", "E:ID_SERIAL_SHORT=SYSTEM\n"},
		{"sda1", "8:1", "E:ID_FS_UUID=root\nE:ID_FS_TYPE=ext4\n"},
		{"sda2", "8:2", "E:ID_FS_UUID=swap\nE:ID_FS_TYPE=swap\n"},
		{"sda3", "8:3", "E:ID_FS_UUID=pv\nE:ID_FS_TYPE=LVM2_member\n"},
		{"sdb1", "8:17", "E:ID_FS_UUID=usb\nE:ID_FS_TYPE=ext4\n"},
		{"sdc1", "8:33", "S:disk/by-label/copies\nE:ID_FS_UUID=1d3c\nE:ID_FS_TYPE=ext4\nE:ID_FS_LABEL=copies\nE:ID_SERIAL=Maker_X_77\nE:ID_SERIAL_SHORT=77\n"},
		{"sdd1", "8:49", "E:ID_FS_UUID=9e1f\nE:ID_FS_TYPE=crypto_LUKS\nE:ID_SERIAL=Maker_Y_88\n"},
		{"sde1", "8:65", "E:ID_FS_UUID=held\nE:ID_FS_TYPE=crypto_LUKS\n"},
		{"sdf1", "8:81", "E:ID_FS_UUID=usb\nE:ID_FS_TYPE=ext4\n"}, // another device of a file system that is mounted
		{"loop0", "7:0", ""},
	} {
		put("sys/class/block/"+d.name+"/dev", d.number+"\n")
		put("run/udev/data/b"+d.number, d.udev)
	}
	put("sys/class/block/sde1/holders/dm-0", "")
	m, err := Look(context.Background(), host.LocalAt("here", root), Wish{Save: []string{"/proc"}, To: []string{"/sys"},
		Device: func(path string) (ledger.Device, error) {
			return ledger.Device{UUID: map[string]string{"/": "root", "/mnt/usb": "usb"}[path]}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(m.Found(), "\n")
	for _, want := range []string{
		"unused   /dev/sdc1  ext4, label copies, UUID 1d3c, serial 77: mount it, and copies can go there",
		"unused   /dev/sdd1  crypto_LUKS, UUID 9e1f, serial Maker_Y_88: open and mount it, and copies can go there",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if len(m.Unmounted) != 2 {
		t.Errorf("got %+v", m.Unmounted)
	}
}
