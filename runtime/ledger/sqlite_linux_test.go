package ledger

import (
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"
)

// unprivileged runs fn on a thread that the file system takes for nobody's: root
// may write everywhere.
func unprivileged(t *testing.T, fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		goruntime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if os.Getuid() == 0 {
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0); errno != 0 {
				t.Error(errno)
				return
			}
		}
		fn()
	}()
	<-done
}

func TestAFolderThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state", "ledger.db")
	night(t, New(open(t, path)), "r", t0)
	if err := os.Chmod(filepath.Dir(path), 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Dir(path), 0o700) })
	for _, p := range []string{filepath.Join(dir, "state", "new.db"), filepath.Join(dir, "state", "below", "ledger.db")} {
		unprivileged(t, func() {
			s, err := OpenSQLite(t.Context(), p, true)
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), p) ||
				!strings.Contains(err.Error(), "hint: runner must be able to write "+filepath.Dir(p)) {
				t.Errorf("got %v, want the file and how to get on", err)
			}
		})
	}
}
