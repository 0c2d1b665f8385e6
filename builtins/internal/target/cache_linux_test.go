package target_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	. "github.com/neosofia/runner/builtins/internal/target/targettest"
	"github.com/neosofia/runner/runtime/ledger"
)

// The page cache is for the machine's own work: a copy of a disk that is larger
// than the memory must not empty it.
func TestCopyingLeavesThePageCacheAlone(t *testing.T) {
	dir := newFolder(t)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.TMPFS_MAGIC {
		t.Skip("a tmpfs lies in the page cache")
	}
	tgt := openFolder(t, dir, nil)
	want := Bytes(1, 48<<20)
	o := One(t, Source(File{Name: "disk.raw", Data: want}), tgt)
	stored := filepath.Join(dir, o.Copy.Ref, "disk.raw")
	if got := resident(t, stored); got > 24<<20 {
		t.Errorf("%d bytes are cached after writing, want at most the last 24 MiB", got)
	}
	if got, err := os.ReadFile(stored); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got other bytes, error %v", err)
	}
	if _, err := tgt.Verify(t.Context(), o.Copy, ledger.Read, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := resident(t, stored); got > 24<<20 {
		t.Errorf("%d bytes are cached after reading back, want at most the last 24 MiB", got)
	}
}

// resident counts the bytes of a file that are in the page cache.
func resident(t *testing.T, path string) (n int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	}()
	page := os.Getpagesize()
	in := make([]byte, (len(m)+page-1)/page)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)),
		uintptr(unsafe.Pointer(&in[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for _, b := range in {
		n += int(b&1) * page
	}
	return n
}
