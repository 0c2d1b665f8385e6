package chunks

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openFlags keep a hostile medium from making us wait for a FIFO.
const openFlags = unix.O_NONBLOCK

// uncache takes a range out of the page cache, whole pages, and has the kernel read
// nothing ahead: what is read afterwards comes from the medium.
func uncache(f *os.File, offset, length int64) error {
	page := int64(os.Getpagesize())
	from := offset / page * page
	to := (offset + length + page - 1) / page * page
	for _, advice := range []struct {
		how      int
		from, to int64
	}{{unix.FADV_RANDOM, 0, 0}, {unix.FADV_DONTNEED, from, to}} {
		if advice.how == unix.FADV_DONTNEED && length == 0 {
			return nil
		}
		if err := unix.Fadvise(int(f.Fd()), advice.from, advice.to-advice.from, advice.how); err != nil && !errors.Is(err, unix.ESPIPE) {
			return &os.PathError{Op: "fadvise", Path: f.Name(), Err: err}
		}
	}
	return nil
}

func diskSpace(f *os.File) (free, total int64, err error) {
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
