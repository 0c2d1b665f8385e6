package guest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/kind"
)

// putBack is what to type on a node to make a guest of what was extracted: of disks,
// each on the bus that it was on; of a tree, by way of a tar, as pct wants one.
func putBack(j *kind.Job) ([]string, error) {
	disks := map[string]string{} // bus -> file
	for _, path := range j.Paths {
		path, err := filepath.Abs(path) // import-from takes no other
		if err != nil {
			return nil, err
		}
		name, isDisk := strings.CutPrefix(filepath.Base(path), "disk-")
		if !isDisk {
			return []string{putBackTitle,
				"tar -C " + kind.Quote(path) + " --numeric-owner --acls --xattrs --xattrs-include='*' --sparse -cpf /var/tmp/NEWID.tar . && pct " +
					"restore NEWID /var/tmp/NEWID.tar --storage STORAGE"}, nil
		}
		disks[strings.TrimPrefix(strings.TrimSuffix(name, ".raw"), "drive-")] = path
	}
	var lines, firewall []string
	for _, path := range j.Config {
		path, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		switch filepath.Base(path) {
		case "qemu-server.conf":
			config, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("read the configuration that was extracted: %w", err)
			}
			lines = append(lines, putBackVM(path, string(config), disks)...)
		case "qemu-server.fw":
			firewall = append(firewall, "cp "+kind.Quote(path)+" /etc/pve/firewall/NEWID.fw")
		}
	}
	return append(lines, firewall...), nil
}

const putBackTitle = "# put it back, as root on a Proxmox VE node (NEWID: a free number):"

var (
	driveLine = regexp.MustCompile(`^((?:ide|sata|scsi|virtio|efidisk|tpmstate|unused)\d+): *([^,]*)(.*)$`)
	driveSize = regexp.MustCompile(`,(?:size|file|import-from)=[^,]*`)
	ownVolume = regexp.MustCompile(`vm-\d+-|base-\d+-|^/dev/`)
)

// putBackVM takes the configuration over without the disks that it names: they are the
// old guest's, and two guests on one disk destroy it. Each that is in the archive comes
// in with the options that it had; a new vmgenid tells the guest that it was put back.
func putBackVM(path, config string, disks map[string]string) []string {
	drop := []string{"#qmdump#", "lock:"}
	var set, after []string
	for line := range strings.SplitSeq(config, "\n") {
		key, _, _ := strings.Cut(line, ":")
		m := driveLine.FindStringSubmatch(line)
		switch {
		case key == "vmgenid":
			after = append(after, "qm set NEWID --vmgenid 1")
		case key == "template":
			after = append(after, "qm template NEWID")
		case m == nil:
			continue
		case disks[key] != "":
			set = append(set, importDisk(key, disks[key], m[3]))
		case strings.HasSuffix(m[2], "-cloudinit") || strings.Contains(m[2], "-cloudinit."):
			set = append(set, "qm set NEWID --"+key+" STORAGE:cloudinit")
		case strings.Contains(m[3], "media=cdrom") && !ownVolume.MatchString(m[2]):
			continue // none, or an image of an installer
		}
		drop = append(drop, key+":")
	}
	for _, bus := range slices.Sorted(maps.Keys(disks)) {
		if !slices.Contains(drop, bus+":") {
			set = append(set, importDisk(bus, disks[bus], ""))
		}
	}
	return slices.Concat([]string{putBackTitle, "grep -vE '^(" + strings.Join(drop, "|") + ")' " + kind.Quote(path) +
		" > /etc/pve/qemu-server/NEWID.conf"}, set, after)
}

// importDisk is the call that makes a disk of a file. qm disk import would lose the
// options, without some of which a guest does not start: efitype, for one.
func importDisk(bus, path, options string) string {
	options = driveSize.ReplaceAllString(options, "")
	if strings.Contains(path, ",") { // it would end the value there
		line := "qm disk import NEWID " + kind.Quote(path) + " STORAGE --target-disk " + kind.Quote(bus)
		if options != "" {
			line += " # then give it its options:" + kind.Quote(options)
		}
		return line
	}
	return "qm set NEWID --" + kind.Safe(bus) + " STORAGE:0,import-from=" + kind.Quote(path+options)
}
