package target

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/neosofia/runner/runtime/ledger"
)

// SystemDevice looks up the medium behind a directory without writing anything
// and without needing udev:
//
//   - the mount: the last line of /proc/self/mountinfo that covers the directory;
//   - the disks below its block device, through partitions and device mapper:
//     /sys/dev/block. Their serials come from /run/udev/data, else from sysfs;
//     that of a loop device is "loop:" and the identity of its backing file;
//   - UUID, label and type of the file system: /run/udev/data, else /dev/disk/by-uuid,
//     the kernel (FS_IOC_GETFSUUID), and the superblock of ext4, xfs, btrfs and FAT.
//
// Of /dev/mapper/NAME it is the disks alone.
//
// The ID is the serials, else the UUID, else "host:" and the server of a network
// file system or this machine's id and the mount's source.
func SystemDevice(path string) (ledger.Device, error) {
	return world{root: "/"}.device(path)
}

// world is the place where the kernel's tables lie.
type world struct{ root string }

func (w world) path(elem ...string) string {
	return filepath.Join(append([]string{w.root}, elem...)...)
}

func (w world) device(path string) (ledger.Device, error) {
	if name, ok := strings.CutPrefix(path, "/dev/mapper/"); ok {
		return w.mapped(name)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ledger.Device{}, err
	}
	table, err := readBounded(w.path("proc/self/mountinfo"), 8<<20)
	if err != nil {
		return ledger.Device{}, fmt.Errorf("read mounts: %w", err)
	}
	m, ok := findMount(table, real)
	if !ok {
		return ledger.Device{}, fmt.Errorf("look up mount of %s: none covers it", real)
	}
	d := ledger.Device{Mount: m.point, FS: m.fs}
	number := m.number
	if strings.HasPrefix(number, "0:") {
		number = w.number(m.source) // btrfs has a number of its own
	}
	if number != "" {
		if w.gone(number) {
			return ledger.Device{}, fmt.Errorf("the disk below %s (%s) is gone: %w", m.point, m.source, unix.ENODEV)
		}
		w.disks(number, &d)
		w.fileSystem(number, m.source, real, &d)
	}
	switch {
	case d.Serial != "":
		d.ID = serialID(d)
	case d.UUID != "":
		d.ID = "uuid:" + d.UUID
	default:
		d.ID = "host:" + w.place(m)
	}
	return d, nil
}

// gone reports that a block device is mounted whose disk was pulled: the kernel has
// forgotten it, or what lay on it, such as an open container, hangs in the air.
func (w world) gone(number string) bool {
	if _, err := os.Stat(w.path("sys/dev/block")); err != nil {
		return false // nobody can tell
	}
	dir, err := filepath.EvalSymlinks(w.path("sys/dev/block", number))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	if !strings.HasPrefix(w.text(dir, "dm/uuid"), "CRYPT-") {
		return false
	}
	slaves, err := os.ReadDir(filepath.Join(dir, "slaves"))
	return err == nil && !slices.ContainsFunc(slaves, func(s os.DirEntry) bool {
		disk, err := filepath.EvalSymlinks(filepath.Join(dir, "slaves", s.Name()))
		if err == nil {
			_, err = os.Stat(w.path("sys/dev/block", w.text(disk, "dev"))) // a disk that is forgotten may have left its folder
		}
		return err == nil
	})
}

func serialID(d ledger.Device) string { return "serial:" + d.Serial }

// mapped looks up a volume of the device mapper by the name that it has there: what it
// holds need not be a file system.
func (w world) mapped(name string) (ledger.Device, error) {
	names, err := filepath.Glob(w.path("sys/block/dm-*/dm/name"))
	if err != nil {
		return ledger.Device{}, err
	}
	for _, file := range names {
		if w.text(file) != name {
			continue
		}
		var d ledger.Device
		w.disks(w.text(filepath.Dir(filepath.Dir(file)), "dev"), &d)
		if d.Serial != "" {
			d.ID = serialID(d)
		}
		return d, nil
	}
	return ledger.Device{}, fmt.Errorf("look up %s: the device mapper has no such volume", name)
}

// place names a file system that has neither disk nor UUID.
func (w world) place(m mount) string {
	switch {
	case strings.HasPrefix(m.fs, "nfs"):
		server, _, _ := strings.Cut(m.source, ":/")
		return server
	case m.fs == "cifs" || m.fs == "smb3":
		server, _, _ := strings.Cut(strings.TrimLeft(m.source, "/"), "/")
		return server
	}
	id, err := readBounded(w.path("etc/machine-id"), 4096)
	if err != nil {
		id = []byte("this")
	}
	return strings.TrimSpace(string(id)) + ":" + m.fs + ":" + m.number
}

// number returns major:minor of a block device node.
func (w world) number(source string) string {
	var st unix.Stat_t
	if !filepath.IsAbs(source) || unix.Stat(w.path(source), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return ""
	}
	return numberOf(st.Rdev)
}

func numberOf(dev uint64) string { return fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev)) }

// disks finds the serials of all disks below a block device: two file systems
// on one disk share its fate.
func (w world) disks(number string, d *ledger.Device) {
	serials := map[string]bool{}
	w.below(number, 0, serials, d)
	var all []string
	for s := range serials {
		all = append(all, s)
	}
	slices.Sort(all)
	d.Serial = strings.Join(all, "+")
}

func (w world) below(number string, depth int, serials map[string]bool, d *ledger.Device) {
	dir, err := filepath.EvalSymlinks(w.path("sys/dev/block", number))
	if err != nil || depth > 8 {
		return
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		dir = filepath.Dir(dir)
	}
	if slaves, err := os.ReadDir(filepath.Join(dir, "slaves")); err == nil && len(slaves) > 0 && len(slaves) <= 256 {
		for _, s := range slaves {
			w.below(w.text(dir, "slaves", s.Name(), "dev"), depth+1, serials, d)
		}
		return
	}
	disk := w.text(dir, "dev")
	udev := w.udev(disk)
	if udev["ID_BUS"] == "usb" || strings.Contains(dir, "/usb") || w.text(dir, "removable") == "1" {
		d.Removable = true
	}
	if s := w.serial(dir, disk, udev); s != "" {
		serials[s] = true
	}
}

func (w world) serial(dir, disk string, udev map[string]string) string {
	if strings.HasPrefix(filepath.Base(dir), "loop") {
		return w.loop(dir)
	}
	for _, s := range []string{
		udev["ID_SERIAL_SHORT"], udev["ID_SERIAL"],
		w.text(dir, "serial"), w.text(dir, "device/serial"), w.scsiSerial(dir),
		w.text(dir, "wwid"), w.text(dir, "device/wwid"), w.text(dir, "device/cid"),
	} {
		if s = strings.Join(strings.Fields(s), "_"); s != "" && printable(s) {
			return s
		}
	}
	return ""
}

// scsiSerial reads the unit serial number page: four bytes of head, then text.
func (w world) scsiSerial(dir string) string {
	b, err := readBounded(filepath.Join(dir, "device/vpd_pg80"), 4096)
	if err != nil || len(b) < 5 {
		return ""
	}
	return strings.Trim(string(b[4:]), " \x00")
}

// loop names a loop device after the inode of its backing file.
func (w world) loop(dir string) string {
	if f, err := os.Open(w.path("dev", filepath.Base(dir))); err == nil {
		defer f.Close()
		if info, err := unix.IoctlLoopGetStatus64(int(f.Fd())); err == nil {
			return fmt.Sprintf("loop:%x:%d", info.Device, info.Inode)
		}
	}
	var st unix.Stat_t
	if file := w.text(dir, "loop/backing_file"); file == "" || unix.Stat(file, &st) != nil {
		return ""
	}
	return fmt.Sprintf("loop:%x:%d", st.Dev, st.Ino)
}

// text reads a file of one line; "" when it is not there.
func (w world) text(elem ...string) string {
	b, err := readBounded(filepath.Join(elem...), 4096)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(bytes.TrimRight(b, "\x00\n")))
}

// udev reads what udev knows of a block device: "E:KEY=value" lines.
func (w world) udev(number string) map[string]string {
	all := map[string]string{}
	b, err := readBounded(w.path("run/udev/data", "b"+number), 1<<20)
	if err != nil {
		return all
	}
	for line := range strings.Lines(string(b)) {
		if entry, ok := strings.CutPrefix(strings.TrimSpace(line), "E:"); ok {
			if key, value, ok := strings.Cut(entry, "="); ok {
				all[key] = value
			}
		}
	}
	return all
}

func readBounded(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = errors.New(name + " is longer than it can be")
	}
	return b, err
}
