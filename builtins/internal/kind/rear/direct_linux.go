package rear

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forget writes back and drops what the kernel holds of a medium in its cache:
// BLKFLSBUF for block devices, the advice of fadvise for all.
func forget(f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	fd := int(f.Fd())
	if st.Mode()&os.ModeDevice != 0 {
		if err := unix.IoctlSetInt(fd, unix.BLKFLSBUF, 0); err != nil && !errors.Is(err, unix.ENOTTY) {
			return &os.PathError{Op: "BLKFLSBUF", Path: f.Name(), Err: err}
		}
	}
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
		return &os.PathError{Op: "fadvise", Path: f.Name(), Err: err}
	}
	return nil
}

// openDirect opens a file for reading past the cache; one whose file system cannot
// do that is opened as it is, after forget.
func openDirect(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		return os.Open(path)
	}
	return f, err
}

const alignment = 4096

// aligned is a buffer that begins where O_DIRECT wants it.
func aligned(n int) []byte {
	b := make([]byte, n+alignment)
	skip := int(-uintptr(unsafe.Pointer(&b[0])) & (alignment - 1))
	return b[skip : skip+n]
}
