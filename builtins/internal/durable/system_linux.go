package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// OpenFlags keep a hostile medium from making us wait for a FIFO.
const OpenFlags = unix.O_NONBLOCK

func space(f *os.File) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: f.Name(), Err: err}
	}
	unit := int64(s.Frsize)
	if unit == 0 {
		unit = int64(s.Bsize)
	}
	return int64(s.Bavail) * unit, int64(s.Blocks) * unit, nil
}

// syncFolder makes names durable. Some file systems (FUSE, CIFS) cannot and say EINVAL.
func syncFolder(f *os.File) error {
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}
