package chunks

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

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
