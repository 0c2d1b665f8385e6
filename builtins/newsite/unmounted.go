package newsite

import (
	"context"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/runtime/ledger"
)

// notAFileSystem are contents that something else is made of, or that cannot be mounted.
var notAFileSystem = map[string]bool{"swap": true, "LVM2_member": true, "linux_raid_member": true, "zfs_member": true, "bcache": true,
	"iso9660": true}

// unmounted are file systems, and encrypted ones, that nobody uses now, as udev knows
// them: a stick that was only plugged in, say.
func (m *Machine) unmounted(ctx context.Context, h host.Host) {
	used := map[string]bool{}
	for line := range strings.Lines(m.read(ctx, h, "/proc/self/mountinfo")) {
		if f := strings.Fields(line); len(f) > 2 {
			used[f[2]] = true
		}
	}
	for _, name := range m.list(ctx, h, "/sys/class/block") {
		number := strings.TrimSpace(m.read(ctx, h, "/sys/class/block/"+name+"/dev"))
		if number == "" || used[number] || len(m.list(ctx, h, "/sys/class/block/"+name+"/holders")) > 0 {
			continue
		}
		udev := map[string]string{}
		for line := range strings.Lines(m.read(ctx, h, "/run/udev/data/b"+number)) {
			if key, value, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "E:")), "="); ok && strings.HasPrefix(line, "E:") {
				udev[key] = value
			}
		}
		if udev["ID_FS_UUID"] == "" || notAFileSystem[udev["ID_FS_TYPE"]] || m.mounts(udev["ID_FS_UUID"]) {
			continue
		}
		serial := udev["ID_SERIAL_SHORT"]
		if serial == "" {
			serial = udev["ID_SERIAL"]
		}
		m.Unmounted = append(m.Unmounted, Disk{"/dev/" + name,
			ledger.Device{FS: udev["ID_FS_TYPE"], Label: udev["ID_FS_LABEL"], UUID: udev["ID_FS_UUID"], Serial: serial}})
	}
}

// mounts reports that a file system is mounted by another of its devices (btrfs).
func (m *Machine) mounts(uuid string) bool {
	if m.system.UUID == uuid {
		return true
	}
	for _, d := range m.Disks {
		if d.Device.UUID == uuid {
			return true
		}
	}
	return false
}
