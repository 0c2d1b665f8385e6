package host

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The disks of the host: what lsblk prints, in devices.json beside "/". A test
// changes it to change the machine; what a disk's file system holds lies in the
// folder devices/NAME beside it.
const (
	devicesFile   = "lab/lsblk.json"
	devicesFolder = "lab/devices"
)

// Device is a block device of the host, as lsblk shows it.
type Device struct {
	Name     string    `json:"name"`
	Path     string    `json:"path"`
	Type     string    `json:"type"`
	Size     int64     `json:"size"`
	FSType   *string   `json:"fstype"`
	UUID     *string   `json:"uuid"`
	Label    *string   `json:"label"`
	Serial   *string   `json:"serial"`
	Tran     *string   `json:"tran"`
	Mounts   []*string `json:"mountpoints"`
	Children []*Device `json:"children,omitempty"`
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func disk(name, serial, tran string, size int64, children ...*Device) *Device {
	return &Device{Name: name, Path: "/dev/" + name, Type: "disk", Size: size, Serial: text(serial), Tran: text(tran), Mounts: []*string{nil},
		Children: children}
}

func part(kind, name, fstype, uuid, label, mount string, size int64, children ...*Device) *Device {
	path := "/dev/" + name
	if kind != "part" {
		path = "/dev/mapper/" + name
	}
	return &Device{Name: name, Path: path, Type: kind, Size: size, FSType: text(fstype), UUID: text(uuid), Label: text(label),
		Mounts: []*string{text(mount)}, Children: children}
}

// The stick that rear_host writes to.
const (
	StickSerial = "LABREAR0001"
	StickUUID   = "7a5e0c1e-0003-4a00-8000-000000000003"
)

// Disks are those of a new host: the installer's disk with its volume group, one
// with the guests, one with their archives, and a stick that `rear format` made.
func Disks() []*Device {
	const gib = 1 << 30
	return []*Device{
		disk("sda", "LABSYS0001", "sata", 60*gib,
			part("part", "sda2", "vfat", "4C41-4253", "", "/boot/efi", gib),
			part("part", "sda3", "LVM2_member", "Nxhl5T-lab", "", "", 59*gib,
				part("lvm", "pve-root", "ext4", "7a5e0c1e-0000-4a00-8000-000000000001", "", "/", 40*gib),
				part("lvm", "pve-swap", "swap", "7a5e0c1e-0000-4a00-8000-000000000002", "", "[SWAP]", 8*gib))),
		disk("sdb", "LABDATA0001", "sata", 500*gib, part("part", "sdb1", "ext4", "7a5e0c1e-0001-4a00-8000-000000000001", "", "/var/lib/vz",
			500*gib)),
		disk("sdc", "LABARCH0001", "sata", 900*gib, part("part", "sdc1", "ext4", "7a5e0c1e-0002-4a00-8000-000000000002", "", "/srv/backup",
			900*gib)),
		disk("sdd", StickSerial, "usb", 32*gib, part("part", "sdd1", "", "", "", "", 8<<20),
			part("part", "sdd3", "ext3", StickUUID, "REAR-000", "", 30*gib)),
	}
}

// Devices reads the host's disks. Fault, On = "disks HOST": "without NAME", that
// disk is not there.
func (m *Machine) Devices() ([]*Device, error) {
	list := Disks()
	switch raw, err := os.ReadFile(filepath.Join(m.Root, devicesFile)); {
	case os.IsNotExist(err):
	case err != nil:
		return nil, err
	default:
		list = nil
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, err
		}
	}
	deeds, err := m.Faults.Due("disks "+m.Name, "without")
	for _, d := range deeds {
		list = slices.DeleteFunc(list, func(dev *Device) bool { return dev.Name == d.Args })
	}
	return list, err
}

// SetDevices changes the host's disks.
func (m *Machine) SetDevices(list []*Device) error {
	raw, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(m.Root, devicesFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o644)
}

// lsblk prints them.
func lsblk(_ context.Context, c *Call) int {
	if len(c.Args) < 5 || c.Args[1] != "-J" || c.Args[2] != "-b" || c.Args[3] != "-o" {
		return c.Fail(1, "the lab prints JSON in bytes only: lsblk -J -b -o COLUMNS")
	}
	list, err := c.Devices()
	if err != nil {
		return c.Fail(1, "%v", err)
	}
	e := json.NewEncoder(c.Stdout)
	e.SetIndent("", "   ")
	if err := e.Encode(map[string]any{"blockdevices": list}); err != nil {
		return c.Fail(1, "%v", err)
	}
	return 0
}

// walk calls fn for every device with the disk that it lies on.
func walk(list []*Device, fn func(disk, d *Device)) {
	var below func(disk, d *Device)
	below = func(disk, d *Device) {
		fn(disk, d)
		for _, child := range d.Children {
			below(disk, child)
		}
	}
	for _, d := range list {
		below(d, d)
	}
}

func (d *Device) mount() string {
	for _, m := range d.Mounts {
		if m != nil {
			return *m
		}
	}
	return ""
}

// on is a path of the host on the machine that plays it.
func (m *Machine) on(path string) string { return filepath.Join(m.Root, filepath.Clean("/"+path)) }

// store is the folder of what a device's file system holds.
func (m *Machine) store(device string) string {
	return filepath.Join(m.Root, devicesFolder, strings.TrimPrefix(device, "/dev/"))
}

// mount shows the file system of a device below a folder.
func mount(_ context.Context, c *Call) int {
	if len(c.Args) != 6 || c.Args[1] != "-o" || c.Args[3] != "--" {
		return c.Fail(1, "the lab mounts so only: mount -o ro -- DEVICE FOLDER")
	}
	dev, at := c.Args[4], c.on(c.Args[5])
	found := false
	list, err := c.Devices()
	walk(list, func(_, d *Device) { found = found || d.Path == dev })
	if err != nil || !found {
		return c.Fail(32, "%s: special device %s does not exist. %v", c.Args[5], dev, err)
	}
	err = os.MkdirAll(c.store(dev), 0o755)
	if err == nil {
		err = os.Remove(at)
	}
	if err == nil {
		var rel string
		if rel, err = filepath.Rel(filepath.Dir(at), c.store(dev)); err == nil {
			err = os.Symlink(rel, at)
		}
	}
	if err != nil {
		return c.Fail(32, "%v", err)
	}
	return 0
}

func umount(_ context.Context, c *Call) int {
	at := c.on(c.Args[len(c.Args)-1])
	if info, err := os.Lstat(at); err != nil || info.Mode()&os.ModeSymlink == 0 {
		return c.Fail(32, "%s: not mounted.", c.Args[len(c.Args)-1])
	}
	if err := os.Remove(at); err != nil {
		return c.Fail(32, "%v", err)
	}
	if err := os.Mkdir(at, 0o700); err != nil {
		return c.Fail(32, "%v", err)
	}
	return 0
}

func uname(_ context.Context, c *Call) int {
	name, _, _ := strings.Cut(c.Name, ".")
	fmt.Fprintln(c.Stdout, name)
	return 0
}

// seedRear is what the host has for its recovery to care for: storages, and what
// of runner's own no image may hold.
func seedRear() map[string]string {
	return map[string]string{
		"etc/pve/storage.cfg": "dir: local\n\tpath /var/lib/vz\n\tcontent images,rootdir,iso,vztmpl\n\ndir: backup\n\tpath " +
			"/srv/backup\n\tcontent backup\n",
		"etc/fstab": "/dev/pve/root / ext4 errors=remount-ro 0 1\nUUID=4C41-4253 /boot/efi vfat defaults 0 " +
			"1\n/dev/pve/swap none swap sw 0 0\n",
		"etc/rear/local.conf":              "# of the host's administrator\nOUTPUT=ISO\nBACKUP=NETFS\nBACKUP_URL=nfs://nas.lab/rear\n",
		"etc/hostname":                     "pve1\n",
		"var/lib/runner/keyring/pve-token": "a secret of the lab\n",
	}
}
