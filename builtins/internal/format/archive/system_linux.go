package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// errNoNode is the error where nodes cannot be made.
var errNoNode = errors.New("this system has no such nodes")

// makeNode makes a pipe or a device in an open directory. Its mode follows.
func makeNode(dir *os.File, base string, e entry) error {
	mode := uint32(syscall.S_IFIFO)
	switch e.Typeflag {
	case tar.TypeChar:
		mode = syscall.S_IFCHR
	case tar.TypeBlock:
		mode = syscall.S_IFBLK
	}
	major, minor := uint64(e.Devmajor), uint64(e.Devminor)
	if major >= 1<<12 || minor >= 1<<20 {
		return fmt.Errorf("device number %d:%d is out of range", e.Devmajor, e.Devminor)
	}
	device := minor&0xff | major<<8 | minor>>8<<20
	return control(dir, func(fd int) error { return syscall.Mknodat(fd, base, mode|0o600, int(device)) })
}

// setAttribute sets an extended attribute of an open file. The way over /proc
// names the open file itself, whatever its path has become.
func setAttribute(f *os.File, name string, value []byte) error {
	return control(f, func(fd int) error {
		return syscall.Setxattr(fmt.Sprintf("/proc/self/fd/%d", fd), name, value, 0)
	})
}

// linkTimes sets the times of a symbolic link; package os has no call for it. A
// zero access time leaves the link's own.
func linkTimes(dir *os.File, base string, atime, mtime time.Time) error {
	const (
		utimeOmit = 1<<30 - 2
		noFollow  = 0x100
	)
	stamps := [2]syscall.Timespec{{Nsec: utimeOmit}, syscall.NsecToTimespec(mtime.UnixNano())}
	if !atime.IsZero() {
		stamps[0] = syscall.NsecToTimespec(atime.UnixNano())
	}
	name, err := syscall.BytePtrFromString(base)
	if err != nil {
		return err
	}
	return control(dir, func(fd int) error {
		_, _, errno := syscall.Syscall6(syscall.SYS_UTIMENSAT, uintptr(fd), uintptr(unsafe.Pointer(name)),
			uintptr(unsafe.Pointer(&stamps)), noFollow, 0, 0)
		if errno != 0 {
			return fmt.Errorf("set times of %q: %w", base, errno)
		}
		return nil
	})
}

// control runs a system call on the descriptor of an open file.
func control(f *os.File, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := conn.Control(func(fd uintptr) { err = call(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}
