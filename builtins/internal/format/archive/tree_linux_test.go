package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// attribute reads an extended attribute as hexadecimal digits.
func attribute(path, name string) string {
	buf := make([]byte, 1024)
	n, err := syscall.Getxattr(path, name, buf)
	if err != nil {
		return err.Error()
	}
	return hex.EncodeToString(buf[:n])
}

// TestTreeOfGNUTar restores what GNU tar saved with vzdump's options: holes,
// links, nodes, owners, attributes, capabilities and ACLs.
func TestTreeOfGNUTar(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("owners and device nodes need root")
	}
	into := t.TempDir()
	report, err := ExtractTree(context.Background(), "gnu.tar.zst", bytes.NewReader(sample(t, "gnu.tar.zst")), into, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Skipped) > 0 {
		t.Skipf("this file system or container lacks: %q", report.Skipped)
	}
	const acl = "02000000" + "01000600ffffffff" + "02000400d0070000" + "04000400ffffffff" + "08000500b80b0000" + "10000500ffffffff" +
		"20000000ffffffff"
	for _, c := range []struct{ path, name, want string }{
		{"etc/plain", "user.note", "610062"},
		{"etc/twin", "user.note", "610062"},
		{"ping", "security.capability", "0100000200200000000000000000000000000000"},
		{"acl", "system.posix_acl_access", acl},
		{"d", "system.posix_acl_default", acl},
	} {
		if got := attribute(filepath.Join(into, c.path), c.name); got != c.want {
			t.Errorf("%s of %s: got %s, want %s", c.name, c.path, got, c.want)
		}
	}
	want := map[string]string{
		".":         "drwxr-xr-x 0:0 0:0",
		"acl":       "-rw-r-x--- 1000:1001 0:0",
		"d":         "dtrwxrwx--- 0:0 0:0",
		"d/abs":     "Lrwxrwxrwx 0:0 0:0",
		"d/blk":     "Drw-r----- 0:0 259:70000",
		"d/link":    "Lrwxrwxrwx 0:0 0:0",
		"d/null":    "Dcrw-r--r-- 0:0 1:3",
		"d/pipe":    "prw------- 0:0 0:0",
		"etc":       "drwxr-xr-x 0:0 0:0",
		"etc/plain": "-rw-r--r-- 0:0 0:0",
		"etc/twin":  "-rw-r--r-- 0:0 0:0",
		"ping":      "urwxr-xr-x 0:0 0:0",
		"sparse":    "-rw-r--r-- 0:0 0:0",
	}
	for path, w := range want {
		var st syscall.Stat_t
		full := filepath.Join(into, path)
		fi, err := os.Lstat(full)
		if err != nil {
			t.Error(err)
			continue
		}
		if err := syscall.Lstat(full, &st); err != nil {
			t.Fatal(err)
		}
		major, minor := st.Rdev>>8&0xfff, st.Rdev&0xff|st.Rdev>>12&0xfff00
		if got := fmt.Sprintf("%v %d:%d %d:%d", fi.Mode(), st.Uid, st.Gid, major, minor); got != w {
			t.Errorf("%s: got %s, want %s", path, got, w)
		}
		if got := fi.ModTime().UnixNano(); got != 1700000001987654321 {
			t.Errorf("%s: got time %d", path, got)
		}
	}
	sparseIsSparse(t, filepath.Join(into, "sparse"))
	one, _ := os.Lstat(filepath.Join(into, "etc/plain"))
	two, _ := os.Lstat(filepath.Join(into, "etc/twin"))
	if !os.SameFile(one, two) {
		t.Error("the hard link is a copy")
	}
}

func sparseIsSparse(t *testing.T, path string) {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 3<<20)
	copy(want[1<<20:], "middle")
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the sparse file differs (%v)", err)
	}
	if st.Blocks*512 > 64<<10 {
		t.Errorf("the sparse file takes %d bytes on disk", st.Blocks*512)
	}
}

func TestDevicesAreLeftOutAndNamed(t *testing.T) {
	device := tarEntry{tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, ""}
	again := link(tar.TypeLink, "again", "null")
	into := t.TempDir()
	report, err := ExtractTree(context.Background(), "a.tar", bytes.NewReader(tarOf(t, device, again, file("a", "x"))), into,
		Options{SkipDevices: true})
	if err != nil {
		t.Fatal(err)
	}
	skipped := strings.Join(report.Skipped, "\n")
	if !strings.Contains(skipped, `"null": devices are left out`) || !strings.Contains(skipped, `"again": it is a hard link`) {
		t.Errorf("got skipped %q", skipped)
	}
	if got := listing(t, into); strings.Contains(got, "null") || !strings.Contains(got, "a -rw-r--r--") {
		t.Errorf("got\n%s", got)
	}
}

func TestAttributesOfOtherNamespacesAreNamed(t *testing.T) {
	e := file("a", "x")
	e.PAXRecords = map[string]string{"SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.security.selinux": "z",
		"SCHILY.acl.access": "user:joe:r--"}
	report, err := extractTo(t.TempDir(), tarOf(t, e))
	if err != nil {
		t.Fatal(err)
	}
	skipped := strings.Join(report.Skipped, "\n")
	for _, want := range []string{"trusted.overlay.opaque: attributes of this namespace", "security.selinux: attributes of this namespace",
		`ACL entry "user:joe:r--": it names a user or group of the guest, and has no number`} {
		if !strings.Contains(skipped, want) {
			t.Errorf("got skipped %q, want %q", skipped, want)
		}
	}
}

func TestSkippedLinesAreBounded(t *testing.T) {
	var entries []tarEntry
	for i := range maxSkipped + 50 {
		entries = append(entries, tarEntry{tar.Header{Name: fmt.Sprint(i), Typeflag: tar.TypeChar}, ""})
	}
	report, err := ExtractTree(context.Background(), "a.tar", bytes.NewReader(tarOf(t, entries...)), t.TempDir(), Options{SkipDevices: true})
	if err != nil || len(report.Skipped) != maxSkipped+1 || report.Skipped[maxSkipped] != "and 50 more" {
		t.Errorf("got %d lines and error %v", len(report.Skipped), err)
	}
}
