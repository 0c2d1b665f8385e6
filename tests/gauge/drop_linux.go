package gauge

import (
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Cold reads files and drops them then: what lies below this machine's page cache
// (the host's, the disk's own) holds them as much for the first who reads them
// as for the second.
func Cold(t testing.TB, paths ...string) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = f.Read(buf)
		}
		if err != io.EOF {
			t.Fatal(err)
		}
		f.Close()
	}
	Drop(t, paths...)
}

// Drop flushes files and takes them out of the page cache.
func Drop(t testing.TB, paths ...string) {
	t.Helper()
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}
