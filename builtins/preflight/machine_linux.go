package preflight

import "golang.org/x/sys/unix"

// clockState asks the kernel whether its clock is kept by a time server.
func clockState() (known, synchronized bool) {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false, false
	}
	return true, t.Status&unix.STA_UNSYNC == 0
}

// writable reports whether this process may make files in a folder.
func writable(dir string) bool { return unix.Access(dir, unix.W_OK|unix.X_OK) == nil }
