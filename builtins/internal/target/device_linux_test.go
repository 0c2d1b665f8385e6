package target

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/neosofia/runner/runtime/ledger"
)

// machine writes the kernel's tables of a machine into a folder.
func machine(t *testing.T, files map[string]string, links map[string]string) world {
	t.Helper()
	w := world{root: t.TempDir()}
	for name, text := range files {
		name = w.path(name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range links {
		name = w.path(name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(w.path(to), name); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func TestDeviceOfATable(t *testing.T) {
	here := t.TempDir()
	mounts := func(number, fs, source string) string {
		return fmt.Sprintf("20 1 8:1 / / rw - ext4 /dev/root rw\n30 20 %s / %s rw,nosuid shared:7 - %s %s rw\n", number, here, fs, source)
	}
	const usb = "sys/devices/pci0/usb1/1-1/host6/block/sdb"
	for name, c := range map[string]struct {
		files, links map[string]string
		want         ledger.Device
	}{
		"a partition of a USB stick, with udev": {
			files: map[string]string{
				"proc/self/mountinfo": mounts("8:17", "ext4", "/dev/sdb1"),
				usb + "/dev":          "8:16\n", usb + "/sdb1/partition": "1\n", usb + "/sdb1/dev": "8:17\n",
				"run/udev/data/b8:16": "S:disk/by-id/x\nE:ID_SERIAL=Vendor_Stick_0123\nE:ID_SERIAL_SHORT=0123\nE:ID_BUS=usb\n",
				"run/udev/data/b8:17": "E:ID_FS_UUID=f00d\nE:ID_FS_LABEL=offline-a\n",
			},
			links: map[string]string{"sys/dev/block/8:17": usb + "/sdb1", "sys/dev/block/8:16": usb},
			want:  ledger.Device{ID: "serial:0123", Serial: "0123", UUID: "f00d", Label: "offline-a", FS: "ext4", Mount: here, Removable: true},
		},
		"the same without udev": {
			files: map[string]string{
				"proc/self/mountinfo": mounts("8:17", "ext4", "/dev/sdb1"),
				usb + "/dev":          "8:16\n", usb + "/sdb1/partition": "1\n", usb + "/sdb1/dev": "8:17\n",
				usb + "/device/vpd_pg80": "\x00\x80\x00\x040123",
			},
			links: map[string]string{"sys/dev/block/8:17": usb + "/sdb1", "sys/dev/block/8:16": usb},
			want:  ledger.Device{ID: "serial:0123", Serial: "0123", FS: "ext4", Mount: here, Removable: true},
		},
		"a logical volume over two disks": {
			files: map[string]string{
				"proc/self/mountinfo":                         mounts("253:0", "xfs", "/dev/mapper/vg-backup"),
				"sys/devices/virtual/block/dm-0/dev":          "253:0\n",
				"sys/devices/virtual/block/dm-0/slaves/a/dev": "8:0\n", "sys/devices/virtual/block/dm-0/slaves/b/dev": "259:0\n",
				"sys/devices/sda/dev": "8:0\n", "sys/devices/sda/device/vpd_pg80": "\x00\x80\x00\x03AAA",
				"sys/devices/nvme0n1/dev": "259:0\n", "sys/devices/nvme0n1/device/serial": "NVME 7   \n",
			},
			links: map[string]string{"sys/dev/block/253:0": "sys/devices/virtual/block/dm-0", "sys/dev/block/8:0": "sys/devices/sda",
				"sys/dev/block/259:0": "sys/devices/nvme0n1"},
			want: ledger.Device{ID: "serial:AAA+NVME_7", Serial: "AAA+NVME_7", FS: "xfs", Mount: here},
		},
		"a share of a server": {
			files: map[string]string{"proc/self/mountinfo": mounts("0:51", "nfs4", "nas:/export/backup")},
			want:  ledger.Device{ID: "host:nas", FS: "nfs4", Mount: here},
		},
		"a Windows share": {
			files: map[string]string{"proc/self/mountinfo": mounts("0:52", "cifs", "//nas/backup")},
			want:  ledger.Device{ID: "host:nas", FS: "cifs", Mount: here},
		},
		"memory": {
			files: map[string]string{"proc/self/mountinfo": mounts("0:53", "tmpfs", "tmpfs"), "etc/machine-id": "abc\n"},
			want:  ledger.Device{ID: "host:abc:tmpfs:0:53", FS: "tmpfs", Mount: here},
		},
		"a mount over a mount": {
			files: map[string]string{"proc/self/mountinfo": mounts("8:17", "ext4", "/dev/sdb1") + mounts("0:51", "nfs", "other:/x")},
			want:  ledger.Device{ID: "host:other", FS: "nfs", Mount: here},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := machine(t, c.files, c.links).device(here)
			if err != nil || got != c.want {
				t.Errorf("got %+v, error %v, want %+v", got, err, c.want)
			}
		})
	}
}

// A disk that was pulled while it is mounted leaves its mount behind: it is away, and no
// other disk is in its place.
func TestADiskThatWasPulledUnderItsMount(t *testing.T) {
	here := t.TempDir()
	table := fmt.Sprintf("20 1 8:1 / / rw - ext4 /dev/root rw\n30 20 253:0 / %s rw - ext4 /dev/mapper/runner-offline-a rw\n", here)
	const dm = "sys/devices/virtual/block/dm-0"
	files := func(slave string) map[string]string {
		return map[string]string{"proc/self/mountinfo": table, dm + "/dev": "253:0\n", dm + "/dm/uuid": "CRYPT-LUKS2-0-runner-offline-a\n",
			dm + "/slaves/.keep": "", "sys/devices/" + slave + "/dev": "8:16\n", "sys/devices/" + slave + "/device/serial": "S\n"}
	}
	for name, c := range map[string]struct {
		links map[string]string
		gone  bool
	}{
		"its container is open": {map[string]string{dm + "/slaves/sdb": "sys/devices/sdb", "sys/dev/block/8:16": "sys/devices/sdb",
			"sys/dev/block/253:0": dm}, false},
		"its container hangs in the air":          {map[string]string{dm + "/slaves/sdb": "sys/devices/none", "sys/dev/block/253:0": dm}, true},
		"its folder is left, and it is forgotten": {map[string]string{dm + "/slaves/sdb": "sys/devices/sdb", "sys/dev/block/253:0": dm}, true},
		"the kernel has forgotten all of it":      {map[string]string{"sys/dev/block/8:1": "sys/devices/sdb"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := machine(t, files("sdb"), c.links)
			if err := os.Remove(w.path(dm, "slaves/.keep")); err != nil {
				t.Fatal(err)
			}
			d, err := w.device(here)
			if c.gone != errors.Is(err, unix.ENODEV) || !c.gone && d.Serial != "S" {
				t.Errorf("got %+v, %v", d, err)
			}
		})
	}
}

func TestAVolumeOfTheDeviceMapperIsKnownByItsDisks(t *testing.T) {
	const dm = "sys/devices/virtual/block/"
	w := machine(t, map[string]string{
		dm + "dm-2/dm/name": "pve-data_tdata\n", dm + "dm-2/dev": "253:2\n", dm + "dm-2/slaves/sda3/dev": "8:3\n",
		dm + "dm-1/dm/name": "pve-root\n", dm + "dm-1/dev": "253:1\n",
		"sys/devices/sda/sda3/partition": "3\n", "sys/devices/sda/sda3/dev": "8:3\n", "sys/devices/sda/dev": "8:0\n",
		"sys/devices/sda/serial": "AAA\n",
	}, map[string]string{
		"sys/block/dm-1": dm + "dm-1", "sys/block/dm-2": dm + "dm-2", "sys/dev/block/253:2": dm + "dm-2",
		"sys/dev/block/8:3": "sys/devices/sda/sda3", "sys/dev/block/8:0": "sys/devices/sda",
	})
	got, err := w.device("/dev/mapper/pve-data_tdata")
	if want := (ledger.Device{ID: "serial:AAA", Serial: "AAA"}); err != nil || got != want {
		t.Errorf("got %+v, error %v, want %+v", got, err, want)
	}
	if _, err := w.device("/dev/mapper/gone"); err == nil {
		t.Error("a volume that is not there has a device")
	}
}

func TestMountsAreEscaped(t *testing.T) {
	table := []byte("1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /mnt/my\\040stick rw - vfat /dev/b rw\n3 1 8:3 / /mnt/my rw - vfat /dev/c " +
		"rw\nnonsense\n")
	for path, want := range map[string]string{"/mnt/my stick/x": "8:2", "/mnt/my": "8:3", "/mnt/mystick": "8:1", "/": "8:1"} {
		if m, ok := findMount(table, path); !ok || m.number != want {
			t.Errorf("got %v for %q, want %s", m, path, want)
		}
	}
}

// TestDeviceOfARealLoop makes file systems in files, as the programs for that are
// installed, and compares what is found with what they were given.
func TestDeviceOfARealLoop(t *testing.T) {
	const id, label = "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "offline-a"
	for fs, mkfs := range map[string][]string{
		"ext4":  {"mkfs.ext4", "-q", "-U", id, "-L", label},
		"xfs":   {"mkfs.xfs", "-q", "-m", "uuid=" + id, "-L", label},
		"btrfs": {"mkfs.btrfs", "-q", "-U", id, "-L", label},
	} {
		t.Run(fs, func(t *testing.T) {
			if _, err := exec.LookPath(mkfs[0]); err != nil {
				t.Skip("install e2fsprogs, xfsprogs, btrfs-progs")
			}
			image := filepath.Join(t.TempDir(), "image")
			if err := os.WriteFile(image, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(image, 320<<20); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(mkfs[0], append(mkfs[1:], image)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			f, err := os.Open(image)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if sb, ok := readSuperblock(f); !ok || sb != (superblock{fs, id, label}) {
				t.Errorf("got superblock %+v, want %s, %s, %s", sb, fs, id, label)
			}
			mountLoop(t, image, func(dir string) {
				var st unix.Stat_t
				if err := unix.Stat(image, &st); err != nil {
					t.Fatal(err)
				}
				d, err := SystemDevice(dir)
				want := fmt.Sprintf(":%d", st.Ino)
				if err != nil || d.UUID != id || d.Label != label || d.FS != fs || d.Mount != dir || !strings.HasPrefix(d.Serial, "loop:") ||
					!strings.HasSuffix(d.Serial, want) {
					t.Errorf("got %+v, error %v, want %s %s on loop…%s at %s", d, err, id, label, want, dir)
				}
			})
		})
	}
}

func mountLoop(t *testing.T, image string, use func(dir string)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a mounted loop device needs root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("a mounted loop device needs a kernel that has one: %v: %s", err, out)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	use(dir)
}

func TestDeviceOfThisMachine(t *testing.T) {
	d, err := SystemDevice(t.TempDir())
	if err != nil || d.ID == "" || d.Mount == "" || d.FS == "" {
		t.Errorf("got %+v, error %v, want some device", d, err)
	}
}
