package real

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// disk is an ext4 file system on a loop device.
type disk struct {
	t     *testing.T
	image string
	loop  string
	at    string
}

func newDisk(t *testing.T, dir, name, label string) *disk {
	t.Helper()
	d := &disk{t: t, image: filepath.Join(dir, name+".img")}
	f, err := os.Create(d.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(256 << 20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	tool(t, "mkfs.ext4", "-q", "-F", "-L", label, d.image)
	d.attach()
	t.Cleanup(d.detach)
	return d
}

func (d *disk) attach() {
	d.t.Helper()
	d.loop = strings.TrimSpace(tool(d.t, "losetup", "-f", "--show", d.image))
}

func (d *disk) mount(at string) {
	d.t.Helper()
	if err := os.MkdirAll(at, 0o700); err != nil {
		d.t.Fatal(err)
	}
	d.at = at
	tool(d.t, "mount", d.loop, at)
}

func (d *disk) unmount() {
	if d.at != "" {
		_ = syscall.Unmount(d.at, syscall.MNT_DETACH) // what a pulled disk leaves
		d.at = ""
	}
}

func (d *disk) detach() {
	d.unmount()
	if d.loop != "" {
		path, err := find("losetup")
		if err == nil {
			_ = exec.Command(path, "-d", d.loop).Run()
		}
		d.loop = ""
	}
}

// pull makes every later request to the file system fail, as a pulled disk does:
// EXT4_IOC_SHUTDOWN.
func (d *disk) pull() {
	d.t.Helper()
	f, err := os.Open(d.at)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	const shutdown, nologflush = 0x8004587d, 2
	flags := uint32(nologflush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		d.t.Fatalf("shut the file system down: %v", errno)
	}
}
