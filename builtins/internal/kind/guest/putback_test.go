package guest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/kind"
)

// Each line was typed on a true Proxmox VE 9: the guest came up with its disks, equal
// to the byte, and with no disk of the guest that the archive was made of.
func TestAVMIsPutBackWithItsOwnDisksAlone(t *testing.T) {
	const config = `#notes: scsi9: not a disk
agent: 0
boot: order=scsi3;ide0;net0
efidisk0: local:110/vm-110-disk-0.raw,efitype=4m,pre-enrolled-keys=0,size=528K
ide0: local:110/vm-110-cloudinit.qcow2,media=cdrom
ide2: none,media=cdrom
ide3: local:iso/debian.iso,media=cdrom,size=600M
lock: backup
sata0: /dev/sdb,media=cdrom
scsi3: local:110/vm-110-disk-2.raw,backup=0,size=1G
template: 1
unused0: local:110/vm-110-disk-4.raw
virtio0: thin:vm-110-disk-3,discard=on,iothread=1,serial=a b,size=1G
vmgenid: 2f6bed69-9218-4de3-b106-fdcbfce8d1dc
#qmdump#map:virtio0:drive-virtio0:thin:raw:
`
	for name, c := range map[string]struct {
		config string
		disks  []string
		want   []string
	}{
		"all kinds of drives": {config, []string{"drive-efidisk0", "drive-virtio0"}, []string{
			"grep -vE '^(#qmdump#|lock:|efidisk0:|ide0:|sata0:|scsi3:|template:|unused0:|virtio0:|vmgenid:)' DIR/qemu-server.conf > " +
				"/etc/pve/qemu-server/NEWID.conf",
			"qm set NEWID --efidisk0 STORAGE:0,import-from='DIR/disk-drive-efidisk0.raw,efitype=4m,pre-enrolled-keys=0'",
			"qm set NEWID --ide0 STORAGE:cloudinit",
			"qm set NEWID --virtio0 STORAGE:0,import-from='DIR/disk-drive-virtio0.raw,discard=on,iothread=1,serial=a b'",
			"qm template NEWID", "qm set NEWID --vmgenid 1", "cp DIR/qemu-server.fw /etc/pve/firewall/NEWID.fw"}},
		"a disk that the configuration does not name": {"name: a\n", []string{"drive-scsi0"}, []string{
			"grep -vE '^(#qmdump#|lock:)' DIR/qemu-server.conf > /etc/pve/qemu-server/NEWID.conf",
			"qm set NEWID --scsi0 STORAGE:0,import-from=DIR/disk-drive-scsi0.raw", "cp DIR/qemu-server.fw /etc/pve/firewall/NEWID.fw"}},
		"no disk came in the archive": {"scsi0: local:110/vm-110-disk-2.raw,backup=0\n", nil, []string{
			"grep -vE '^(#qmdump#|lock:|scsi0:)' DIR/qemu-server.conf > /etc/pve/qemu-server/NEWID.conf",
			"cp DIR/qemu-server.fw /etc/pve/firewall/NEWID.fw"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := &kind.Job{Into: dir, Config: []string{filepath.Join(dir, "qemu-server.conf"), filepath.Join(dir, "qemu-server.fw")}}
			if err := os.WriteFile(j.Config[0], []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, d := range c.disks {
				j.Paths = append(j.Paths, filepath.Join(dir, "disk-"+d+".raw"))
			}
			lines, err := putBack(j)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Split(strings.ReplaceAll(strings.Join(lines, "\n"), dir, "DIR"), "\n")
			if want := slices.Concat([]string{putBackTitle}, c.want); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// A value cannot hold a comma, and import-from takes no relative path.
func TestTheFolderOfADiskMayHaveAnyName(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{"to/disk-drive-scsi0.raw", "qm set NEWID --scsi0 STORAGE:0,import-from=" + here + "/to/disk-drive-scsi0.raw"},
		{"/a b'c/disk-drive-scsi0.raw", `qm set NEWID --scsi0 STORAGE:0,import-from='/a b'\''c/disk-drive-scsi0.raw'`},
		{"/a,b/disk-drive-scsi0.raw", "qm disk import NEWID '/a,b/disk-drive-scsi0.raw' STORAGE --target-disk scsi0"},
	} {
		conf := filepath.Join(t.TempDir(), "qemu-server.conf")
		if err := os.WriteFile(conf, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		lines, err := putBack(&kind.Job{Paths: []string{c.path}, Config: []string{conf}})
		if err != nil || !slices.Contains(lines, c.want) {
			t.Errorf("%s: got %q, %v, want %q", c.path, lines, err, c.want)
		}
	}
}
