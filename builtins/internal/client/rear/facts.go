package rear

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Device is a block device as lsblk shows it.
type Device struct {
	Name     string   `json:"name"`
	Path     string   `json:"path"`
	Type     string   `json:"type"` // disk, part, lvm, crypt, raid1, loop, rom …
	Size     int64    `json:"size"` // bytes
	FSType   string   `json:"fstype"`
	UUID     string   `json:"uuid"`
	Label    string   `json:"label"`
	Serial   string   `json:"serial"`
	Tran     string   `json:"tran"`
	Mounts   []string `json:"mountpoints"`
	Children []Device `json:"children"`
}

// Columns are those that lsblk is asked for.
const Columns = "NAME,PATH,TYPE,SIZE,FSTYPE,UUID,LABEL,SERIAL,TRAN,MOUNTPOINTS"

const maxDepth = 32

// ParseDevices reads what `lsblk -J -b -o COLUMNS` prints.
func ParseDevices(out []byte) ([]Device, error) {
	var all struct {
		Devices []Device `json:"blockdevices"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("read the list of lsblk: %w", err)
	}
	if len(all.Devices) == 0 {
		return nil, fmt.Errorf("read the list of lsblk: it names no device")
	}
	return all.Devices, nil
}

// Storage is an entry of Proxmox's storage.cfg.
type Storage struct {
	Type, ID string
	Set      map[string]string
}

// ParseStorages reads /etc/pve/storage.cfg: "type: id", and indented settings.
func ParseStorages(text string) (out []Storage) {
	for line := range strings.Lines(text) {
		switch key, value, ok := strings.Cut(strings.TrimSpace(line), " "); {
		case strings.HasPrefix(strings.TrimSpace(line), "#"), key == "":
		case line[0] != ' ' && line[0] != '\t':
			kind, id, colon := strings.Cut(strings.TrimSpace(line), ":")
			if colon {
				out = append(out, Storage{kind, strings.TrimSpace(id), map[string]string{}})
			}
		case len(out) > 0:
			if !ok {
				value = "1"
			}
			out[len(out)-1].Set[key] = strings.TrimSpace(value)
		}
	}
	return out
}

// Guest is a machine or container of the host, and the volumes that it uses.
type Guest struct {
	ID, Name string
	Volumes  []string // "local-lvm:vm-100-disk-0", or an absolute path
}

// String is how an operator knows it.
func (g Guest) String() string {
	if g.Name == "" {
		return g.ID
	}
	return g.ID + " (" + g.Name + ")"
}

// ParseGuest reads a guest's configuration, up to its first snapshot's section.
func ParseGuest(id, text string) Guest {
	g := Guest{ID: id}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			break
		}
		key, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case !ok || strings.HasPrefix(line, "#"):
		case (key == "name" || key == "hostname") && strings.Trim(value, dnsName) == "":
			g.Name = value
		case isDisk(key):
			if v, _, _ := strings.Cut(value, ","); v != "none" && v != "cdrom" {
				g.Volumes = append(g.Volumes, strings.TrimPrefix(v, "volume="))
			}
		}
	}
	return g
}

// dnsName are the characters of a guest's name: it is shown in menus.
const dnsName = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"

func isDisk(key string) bool {
	for _, p := range []string{"scsi", "virtio", "ide", "sata", "efidisk", "tpmstate", "unused", "rootfs", "mp"} {
		if rest, ok := strings.CutPrefix(key, p); ok && strings.Trim(rest, "0123456789") == "" && key != "scsi" {
			return true
		}
	}
	return false
}

// Tab is a line of fstab or crypttab: words, without comments.
func parseTab(text string) (out [][]string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if w := strings.Fields(line); len(w) >= 2 {
			out = append(out, w)
		}
	}
	return out
}

// Held is something on the host that holds copies.
type Held struct {
	Target string
	Path   string // folder, where it is local
	UUID   string // of its file system
	Serial string // of its disk
}

// Facts are what Prepare decides by.
type Facts struct {
	Host     string // as uname -n has it: ReaR names files by it
	Version  string // of ReaR: "2.7"
	Devices  []Device
	Fstab    string
	Crypttab string
	Mounts   string // mountinfo of the kernel: lsblk knows nothing of the network
	Storages []Storage
	Guests   []Guest
	Targets  []Held
	Etc      map[string]string // /etc/rear/*.conf, by name
	Secrets  []string          // folders and files that no image may hold
	TPM      []string          // LUKS devices that only this board opens
}

// chain is a device with all that it lies on, from the disk down to it.
type chain []Device

// each calls fn for every device with its ancestors, a device on two disks twice.
func each(list []Device, above chain, fn func(chain)) {
	if len(above) >= maxDepth {
		return
	}
	for _, d := range list {
		c := append(slices.Clone(above), d)
		fn(c)
		each(d.Children, c, fn)
	}
}

func (c chain) last() Device { return c[len(c)-1] }

// remote are types of file systems that lie on another machine.
var remote = []string{"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "9p", "virtiofs", "glusterfs", "lustre", "afs", "fuse.sshfs",
	"fuse.glusterfs", "fuse.ceph", "fuse.rclone", "fuse.s3fs", "fuse.davfs", "davfs"}

// network reads from mountinfo (proc_pid_mountinfo(5)) where other machines'
// file systems are mounted.
func network(text string) (out []string) {
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		where, kind := strings.Fields(before), strings.Fields(after)
		if ok && len(where) >= 5 && len(kind) >= 1 && slices.Contains(remote, kind[0]) {
			out = append(out, path.Clean("/"+octal.Replace(where[4])))
		}
	}
	return out
}

var octal = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mounts maps mount points to the devices below them; none below those of the
// network.
func (f *Facts) mounts() map[string][]chain {
	out := map[string][]chain{}
	for _, m := range network(f.Mounts) {
		out[m] = nil
	}
	each(f.Devices, nil, func(c chain) {
		for _, m := range c.last().Mounts {
			if m != "" {
				out[m] = append(out[m], c)
			}
		}
	})
	return out
}

// under finds the mount point that holds a folder, and what it lies on.
func under(mounts map[string][]chain, folder string) (string, []chain) {
	for p := path.Clean("/" + folder); ; p = path.Dir(p) {
		if c, ok := mounts[p]; ok {
			return p, c
		}
		if p == "/" {
			return "", nil
		}
	}
}
