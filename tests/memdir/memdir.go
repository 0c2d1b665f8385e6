// Package memdir keeps what the tests of a package write in memory, and lets them collect
// garbage less often. A night on the lab makes thousands of small files and flushes its
// ledger at each step; waiting for the disk was most of the time of these tests, and
// whether a disk keeps what it was reported is not what they test. Those that do (target,
// format/archive) stay on the disk.
package memdir

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

const (
	shm    = "/dev/shm"
	before = "RUNNER_TEST_DISK" // the folder of temporary files that was
	spare  = 2 << 30            // bytes; the largest package holds about 100 MB at a time
)

// Other is a folder on another file system than that of temporary files; "" is none.
func Other() string {
	if dir := os.Getenv(before); dir != "" {
		return dir
	}
	if _, err := os.Stat(shm); err != nil {
		return ""
	}
	return shm
}

// Main is a TestMain: it runs the tests of a package and removes what they left.
func Main(m *testing.M) {
	done := Use()
	code := m.Run()
	done()
	os.Exit(code)
}

const prefix = "runner-test-"

// sweep removes what processes left that were killed: it would hold memory until the
// machine is started again.
func sweep() {
	list, err := filepath.Glob(filepath.Join(shm, prefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range list {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		if n, err := strconv.Atoi(pid); err == nil && n > 0 && gone(n) {
			_ = os.RemoveAll(dir) // another process may be at it, too
		}
	}
}

// Use moves TMPDIR into memory, if this machine has a file system there with room, and
// returns what moves it back and removes what is left there.
func Use() (done func()) {
	debug.SetGCPercent(garbage)
	if !room(shm, spare) {
		return func() {}
	}
	sweep()
	dir, err := os.MkdirTemp(shm, fmt.Sprintf("%s%d-", prefix, os.Getpid()))
	if err != nil {
		return func() {}
	}
	old := os.TempDir()
	set := func(to string) {
		for name, value := range map[string]string{before: old, "TMPDIR": to} {
			if err := os.Setenv(name, value); err != nil {
				panic(err)
			}
		}
	}
	set(dir)
	return func() {
		set(old)
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, "remove what the tests left:", err)
		}
	}
}
