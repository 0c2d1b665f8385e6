package snapshotvm

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/rear"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/ledger"
)

// Devices identifies what the disks of a guest lie on: the storage that they share with
// the archive, and on the node itself the disks below their storages.
func Devices(w *systems.Systems, origin ledger.Origin, guestType string, config map[string]string) []string {
	var out []string
	local := map[string]rear.Storage{}
	if w.OnNode(origin.System, origin.Node) {
		raw, err := os.ReadFile(filepath.Join(w.Env.Root, "/etc/pve/storage.cfg"))
		if err == nil {
			for _, st := range rear.ParseStorages(string(raw)) {
				local[st.ID] = st
			}
		}
	}
	for key, value := range config {
		volume, _, _ := strings.Cut(value, ",")
		storage, name, ok := strings.Cut(volume, ":")
		if !ok || !isDisk(guestType, key, value) {
			continue
		}
		if storage == origin.Storage {
			out = append(out, w.ArchiveDevice(origin).ID)
		}
		out = append(out, w.DevicesOf(places(local[storage], name)...)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// isDisk reports whether an option of a configuration names a volume that is data.
func isDisk(guestType, key, value string) bool {
	return guestType == "qemu" && diskKey.MatchString(key) && !strings.Contains(value, "media=cdrom") ||
		guestType == "lxc" && (key == "rootfs" || mountKey.MatchString(key))
}

// places are where a volume of a storage can be seen on its node: the storage's folder, or
// what the device mapper calls its volume, or the pool that it is cut from.
func places(st rear.Storage, volume string) []string {
	mapped := func(name string) string {
		return "/dev/mapper/" + double(st.Set["vgname"]) + "-" + double(name)
	}
	switch st.Type {
	case "dir", "btrfs":
		return []string{st.Set["path"]}
	case "lvm":
		return []string{mapped(volume)}
	case "lvmthin":
		return []string{mapped(st.Set["thinpool"]) + "_tdata"}
	}
	return nil
}

// double writes a name as the device mapper does: a single dash is its separator.
func double(name string) string { return strings.ReplaceAll(name, "-", "--") }
