package target

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// advise tells the kernel that a file is read once, in order, and from the medium.
func advise(f *os.File) error {
	// What was not written back yet would stay in the cache: flush it first.
	if err := unix.Fdatasync(int(f.Fd())); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EROFS) {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return &os.PathError{Op: "fadvise", Path: f.Name(), Err: err}
	}
	return sequential(f)
}

func sequential(f descriptor) error {
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL); err != nil && !errors.Is(err, unix.ESPIPE) {
		return &os.PathError{Op: "fadvise", Path: f.Name(), Err: err}
	}
	return nil
}

// startWriteback has the kernel write a range now instead of all at the fsync.
func startWriteback(f *os.File, offset, n int64) error {
	err := unix.SyncFileRange(int(f.Fd()), offset, n, unix.SYNC_FILE_RANGE_WRITE)
	if err == nil || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESPIPE) {
		return nil
	}
	return &os.PathError{Op: "sync_file_range", Path: f.Name(), Err: err}
}

// letGo waits until a range is on the disk and takes it out of the page cache,
// which is for the machine's own work. An error of the disk is reported here, for a
// later fsync might not tell it again.
func letGo(f *os.File, offset, n int64) error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	switch err := unix.SyncFileRange(int(f.Fd()), offset, n, all); err {
	case nil:
		return forget(f, offset, n)
	case unix.ENOSYS, unix.EINVAL, unix.ESPIPE:
		return nil
	default:
		return &os.PathError{Op: "sync_file_range", Path: f.Name(), Err: err}
	}
}

// forget takes a range that was read out of the page cache.
func forget(f *os.File, offset, n int64) error {
	if err := unix.Fadvise(int(f.Fd()), offset, n, unix.FADV_DONTNEED); err != nil && !errors.Is(err, unix.ESPIPE) {
		return &os.PathError{Op: "fadvise", Path: f.Name(), Err: err}
	}
	return nil
}

// reserve takes space for bytes that will come, where the file system can.
func reserve(f *os.File, offset, n int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, offset, n)
	if err == nil || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return &os.PathError{Op: "reserve", Path: f.Name(), Err: err}
}
