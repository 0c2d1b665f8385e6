package target

import (
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/neosofia/runner/runtime/ledger"
)

// maxLinks bounds the look through /dev/disk/by-uuid.
const maxLinks = 4096

// fileSystem finds UUID, label and type of the file system on a block device.
func (w world) fileSystem(number, source, dir string, d *ledger.Device) {
	udev := w.udev(number)
	d.UUID, d.Label = udev["ID_FS_UUID"], udev["ID_FS_LABEL"]
	if d.UUID == "" {
		d.UUID = w.byUUID(number)
	}
	if d.UUID == "" && w.root == "/" {
		d.UUID = kernelUUID(dir)
	}
	if d.UUID != "" && d.Label != "" {
		return
	}
	f, err := os.Open(w.path(source))
	if err != nil {
		return // a container, or not root: what there is has to do
	}
	defer f.Close()
	if sb, ok := readSuperblock(f); ok {
		if d.UUID == "" {
			d.UUID = sb.uuid
		}
		if d.Label == "" {
			d.Label = sb.label
		}
	}
}

func (w world) byUUID(number string) string {
	dir := w.path("dev/disk/by-uuid")
	f, err := os.Open(dir)
	if err != nil {
		return ""
	}
	defer f.Close()
	names, err := f.Readdirnames(maxLinks)
	if err != nil {
		return ""
	}
	for _, name := range names {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(dir, name), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK &&
			number == numberOf(st.Rdev) && printable(name) {
			return name
		}
	}
	return ""
}

// kernelUUID asks the mounted file system itself: FS_IOC_GETFSUUID, Linux 6.9.
func kernelUUID(dir string) string {
	f, err := os.Open(dir)
	if err != nil {
		return ""
	}
	defer f.Close()
	var answer struct {
		n  uint8
		id [16]byte
	}
	const getUUID = 0x80111500 // _IOR(0x15, 0, struct fsuuid2)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), getUUID, uintptr(unsafe.Pointer(&answer)))
	switch {
	case errno == 0 && answer.n == 16:
		return uuid(answer.id[:])
	case errno == 0 && answer.n == 4:
		return serial(answer.id[:4])
	}
	return ""
}
