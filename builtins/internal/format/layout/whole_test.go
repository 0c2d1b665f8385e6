package layout

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// every line that ReaR 2.7 writes: each keyword of usr/share/rear/layout/save.
const everyKeyword = `disk /dev/nvme0n1 1000204886016 gpt
part /dev/nvme0n1 536870912 1048576 rear-noname boot,esp /dev/nvme0n1p1
part /dev/nvme0n1 999666966528 537919488 rear-noname none /dev/nvme0n1p2
#part /dev/sdz 1 2 3 4 /dev/sdz1
multipath /dev/mapper/mpatha 53687091200 gpt /dev/sda,/dev/sdb
part /dev/mapper/mpatha 53148188672 537919488 rear-noname lvm /dev/mapper/mpatha-part2
multipath /dev/mapper/3600508b400105e210000900000490000 53687091200  /dev/sdc,/dev/sdd
raidarray /dev/md0 level=raid1 raid-devices=2 devices=/dev/nvme1n1,/dev/nvme2n1 name=root metadata=1.2 uuid=8d05eb84:2de831d1:dfed54b2:ad592118
raiddisk /dev/md0 1000072806400 gpt
part /dev/md0 1000070709248 1048576 rear-noname none /dev/md0p1
opaldisk /dev/nvme0n1 boot=y
dasd_channel 0.0.0150 active dasda 94:0
dasdfmt -b 4096 -d cdl -y /dev/dasda
logicaldrive /dev/cciss/c0d0 0|A|1 raid=1 drives=1I:1:1,1I:1:2 spares= sectors=32 stripesize=256
smartarray 0
lvmdev /dev/vg /dev/md0p1 Kbe3rY-0000-0000-0000-0000-0000-000000 103805056
lvmgrp /dev/vg 4096 12670 51896320
lvmvol /dev/vg root 32212254720b linear
#lvmvol /dev/vg snap 1b linear
lvmvol /dev/vg drbd 1073741824b striped stripes:2
crypt /dev/mapper/luks-home /dev/nvme0n1p2 type=luks2 cipher=aes-xts-plain64 key_size=512 hash=sha256 uuid=3e874a28-7415-4f8c-9757-b3f28a96c4d2 keyfile=/etc/keys/home
drbd /dev/drbd0 r0 /dev/vg/drbd
fs /dev/mapper/vg-root / btrfs uuid=7826cc0e-13ce-4ffc-9f54-7e3f3b2e3b5a label= options=rw,relatime,space_cache,subvolid=257,subvol=/@/.snapshots/1/snapshot
fs /dev/mapper/luks-home /home xfs uuid=2c1f6b2e-0000-4000-8000-000000000011 label= options=rw
fs /dev/nvme0n1p1 /boot/efi vfat uuid=A1B2-C3D4 label= options=rw
fs /dev/drbd0 /srv ext4 uuid=2c1f6b2e-0000-4000-8000-000000000012 label=srv blocksize=4096 reserved_blocks=4% max_mounts=-1 check_interval=0d bytes_per_inode=16384 default_mount_options=user_xattr,acl options=rw
btrfsdefaultsubvol /dev/mapper/vg-root / 259 @/.snapshots/1/snapshot
#btrfssnapshotsubvol /dev/mapper/vg-root / 260 @/.snapshots/2/snapshot
btrfsnormalsubvol /dev/mapper/vg-root / 257 @
#btrfsnormalsubvol /dev/mapper/vg-root / 258 @/.snapshots
btrfsmountedsubvol /dev/mapper/vg-root / rw,relatime,space_cache,subvolid=259 @/.snapshots/1/snapshot
btrfsmountedsubvol /dev/mapper/vg-root /var rw,relatime @/var
#btrfsmountedsubvol /dev/mapper/vg-root /gone rw @/gone
btrfsnocopyonwrite @/var/lib/libvirt/images
swap /dev/mapper/vg-swap uuid=e3a0ab5f-6abd-4ed4-9d1a-3d5a9b7d3f5a label=
swap /swapfile uuid=e3a0ab5f-6abd-4ed4-9d1a-3d5a9b7d3f5b label=
`

func TestEveryKeywordIsRead(t *testing.T) {
	l, err := Parse(strings.NewReader(everyKeyword))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range l.Components {
		seen[c.Kind] = true
	}
	for kind := range fields {
		if !seen[kind] {
			t.Errorf("no line of %s was read", kind)
		}
	}
	if len(l.Components) != strings.Count(everyKeyword, "\n") {
		t.Errorf("%d components of %d lines", len(l.Components), strings.Count(everyKeyword, "\n"))
	}
	// All lies on what is named, at last.
	named := []string{"/dev/nvme0n1", "/dev/nvme1n1", "/dev/nvme2n1", "/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/sdd", "/dev/dasda",
		"/dev/cciss/c0d0"}
	if c, device, found := l.Unnamed(named); found {
		t.Errorf("%s is not named, of %q", device, c.Line)
	}
	for i := range named {
		without := append(append([]string{}, named[:i]...), named[i+1:]...)
		if _, _, found := l.Unnamed(without); !found {
			t.Errorf("without %s everything is named", named[i])
		}
	}
	if got := strings.Join(devices(l.Naming("/dev/sda")), " "); got != "multipath /dev/mapper/mpatha part /dev/mapper/mpatha-part2" {
		t.Errorf("a path of a multipath disk takes along %q", got)
	}
	if got := strings.Join(devices(l.Naming("/dev/nvme1n1")), " "); !strings.Contains(got, "raidarray /dev/md0") ||
		!strings.Contains(got, "fs /dev/drbd0/srv") {
		t.Errorf("a disk of a RAID takes along %q", got)
	}
}

func TestLayoutsFromTheField(t *testing.T) {
	san := parse(t, "boot-from-san.conf")
	if len(san.Whole()) != 1 || !san.Makes("/") || san.Makes("/srv") ||
		!reflect.DeepEqual(san.Whole()[0].Members, []string{"/dev/sda", "/dev/sdb"}) || san.Whole()[0].Size != 53687091200 {
		t.Errorf("all disks are multipath: got %+v", san.Whole())
	}
	for named, want := range map[string]string{"/dev/sda,/dev/sdb": "", "/dev/mapper/mpatha": "", "/dev/sda": "/dev/sdb",
		"/dev/sdx": "/dev/sda"} {
		if _, device, found := san.Unnamed(strings.Split(named, ",")); found != (want != "") || found && device != want {
			t.Errorf("%s is named: got %q, %v, want %q", named, device, found, want)
		}
	}
	lun := parse(t, "untold-lun.conf")
	if c, device, found := lun.Unnamed([]string{"/dev/sda"}); !found || device != "/dev/sdx" || c.Kind != "multipath" {
		t.Errorf("a LUN that is not named: got %q of %+v, %v", device, c, found)
	}
	luks := parse(t, "luks2-three-hashes.conf")
	last := luks.Components[len(luks.Components)-1]
	if last.Kind != "crypt" || last.Active || !last.Cut || last.UUID != "2c1f6b2e-0000-4000-8000-000000000042" {
		t.Errorf("a container of three hashes, left alone: got %+v", last)
	}
	if _, _, found := luks.Unnamed([]string{"/dev/vda"}); found {
		t.Error("what recovery leaves alone is not asked for")
	}
}

func TestLinesOfLUKSThatGoOn(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string // uuids of the containers
	}{
		"one hash": {"crypt /dev/mapper/a /dev/sda1 type=luks2 cipher=x key_size=512 hash=sha256 uuid=u1 \n", "u1"},
		"two":      {"crypt /dev/mapper/a /dev/sda1 type=luks2 cipher=x key_size=512 hash=sha256\nsha256 uuid=u1 \n", "u1"},
		"four of several": {"crypt /dev/mapper/a /dev/sda1 type=luks2 cipher=x key_size=512 hash=sha256\nsha512\nwhirlpool\nsha3-256 " +
			"uuid=u1 keyfile=/k\n", "u1"},
		"left alone": {"#crypt /dev/mapper/a /dev/sda1 type=luks2 cipher=x key_size=512 hash=sha256\nsha512\nsha256 uuid=u1 \n",
			"u1"},
		"two, one after another": {"crypt /dev/mapper/a /dev/sda1 hash=sha256\nsha256 uuid=u1\ncrypt /dev/mapper/b /dev/sda2 hash=sha1\nsha1 " +
			"uuid=u2\n", "u1,u2"},
	} {
		l, err := Parse(strings.NewReader(c.text))
		var got []string
		for _, x := range l.Components {
			got = append(got, x.UUID)
		}
		if err != nil || strings.Join(got, ",") != c.want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
		}
	}
	if _, err := Parse(strings.NewReader("crypt /dev/mapper/a /dev/sda1 hash=sha256 uuid=u1\nsha256 uuid=u2\n")); err == nil {
		t.Error("a hash behind a line that is complete is taken")
	}
}

// Where ReaR is installed, its own sources say which words it begins a line with.
func TestKeywordsAreThoseOfReaR(t *testing.T) {
	const sources = "/usr/share/rear/layout/save"
	if _, err := os.Stat(sources); err != nil {
		t.Skip("ReaR is not installed (apt install rear)")
	}
	word := regexp.MustCompile(`echo (?:-n )?"#?([a-z][a-z_]+) (?:\$|/dev/|-b )`)
	seen := map[string]bool{}
	if err := filepath.WalkDir(sources, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_layout.sh") {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, m := range word.FindAllStringSubmatch(string(raw), -1) {
			seen[m[1]] = true
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if !seen["disk"] || !seen["multipath"] || !seen["btrfsnormalsubvol"] || len(seen) < 15 {
		t.Fatalf("the sources are not understood any more: %v", seen)
	}
	for w := range seen {
		if fields[w] == 0 {
			t.Errorf("ReaR writes lines that begin with %q", w)
		}
	}
}
