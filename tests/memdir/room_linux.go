package memdir

import (
	"errors"

	"golang.org/x/sys/unix"
)

// room reports whether a folder lies in memory and can take so many bytes.
func room(dir string, bytes uint64) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.TMPFS_MAGIC && st.Bavail*uint64(st.Bsize) >= bytes
}

// gone reports that a process has ended.
func gone(pid int) bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }
