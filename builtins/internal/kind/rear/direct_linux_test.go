package rear

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/neosofia/runner/builtins/internal/kind"

	"golang.org/x/sys/unix"
)

// What is read back has to come from the medium: of what was written nothing may be
// in the kernel's cache afterwards.
func TestTheMediumIsReadBackPastTheCache(t *testing.T) {
	root := sysfs(t)
	var fs unix.Statfs_t
	if err := unix.Statfs(root, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.TMPFS_MAGIC {
		t.Skip("a tmpfs lies in the page cache")
	}
	j := comingBack(t, map[string]string{"rear-pve1.iso": strings.Repeat("i", 64*512)},
		kind.Options{Root: root, Serial: "STICK1", Erase: true})
	if err := recoverRear(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(root, "dev/sdb"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, 64*512, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	}()
	in := make([]byte, len(m)/os.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)),
		uintptr(unsafe.Pointer(&in[0]))); errno != 0 {
		t.Fatal(errno)
	}
	if n := bytes.Count(in, []byte{1}); n > 0 {
		t.Errorf("%d of %d pages of the medium are in the cache: they were read back from there", n, len(in))
	}
}

func TestAMediumThatHoldsSomethingElseIsFound(t *testing.T) {
	image := strings.Repeat("image bytes ", 200_000) // no whole number of buffers
	for name, c := range map[string]struct {
		medium string
		want   string
	}{
		"the same":          {image, ""},
		"more behind it":    {image + strings.Repeat("x", 3<<20), ""},
		"one byte differs":  {image[:len(image)-1] + "!", "differs"},
		"it ends too early": {image[:len(image)-5], "read back from byte"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "medium")
			if err := os.WriteFile(path, []byte(c.medium), 0o600); err != nil {
				t.Fatal(err)
			}
			err := readBack(t.Context(), path, strings.NewReader(image), int64(len(image)))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
