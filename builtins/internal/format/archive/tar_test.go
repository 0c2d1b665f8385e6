package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestEveryTruncationOfATarIsRefused(t *testing.T) {
	b := tarOf(t, dir("./"), file("./a", strings.Repeat("x", 1000)), file("./"+strings.Repeat("long", 60), "y"),
		file("./zeros", strings.Repeat("\x00", 2048)))
	if _, err := check("a.tar", b); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(b); n += tarBlock {
		_, err := check("a.tar", b[:n])
		refused(t, err, "")
		_, err = check("a.tar", b[:n+100])
		refused(t, err, "")
		_, err = check("a.tar.zst", packZstd(t, b[:n+1]))
		refused(t, err, "")
	}
}

func TestZerosBehindATarArePadding(t *testing.T) {
	b := tarOf(t, file("a", "x"))
	if report, err := check("a.tar", join(b, make([]byte, 10240-len(b)))); err != nil || report.Bytes != 10240 || report.Entries != 1 {
		t.Errorf("got %+v and error %v", report, err)
	}
	for want, tail := range map[string][]byte{
		"data follows the end": append(make([]byte, 5000), 1),
		"not a whole number":   make([]byte, 100),
	} {
		_, err := check("a.tar", join(b, tail))
		refused(t, err, want)
	}
	_, err := check("a.tar", join(b, b))
	refused(t, err, "data follows the end")
	blockOfData := bytes.Clone(b)
	blockOfData[len(b)-1] = 1 // a block of zeros, then one that is not
	_, err = check("a.tar", blockOfData)
	refused(t, err, "tar entry behind byte")
}

func TestBadEntriesAreRefused(t *testing.T) {
	with := func(change func(h *tar.Header)) tarEntry {
		e := file("a", "")
		change(&e.Header)
		return e
	}
	for _, c := range []struct {
		name, want string
		entry      tarEntry
	}{
		{"a name that climbs", `holds ".."`, file("../x", "")},
		{"a name that climbs from within", `holds ".."`, file("a/b/../../../x", "")},
		{"a name that is only ..", `holds ".."`, dir("..")},
		{"an absolute name", "is absolute", file("/etc/passwd", "")},
		{"a name beyond what Linux takes", "has 4999 bytes", file(strings.Repeat("a/", 2499)+"b", "")},
		{"a component beyond what Linux takes", "a name of 256 bytes", file("a/"+strings.Repeat("b", 256), "")},
		{"a tree too deep", "more than 1024 levels", file(strings.Repeat("a/", 1024)+"b", "")},
		{"a file in place of the root", "replaces the root", file(".", "")},
		{"a symlink in place of the root", "replaces the root", link(tar.TypeSymlink, "./.", "/etc")},
		{"a hard link to the outside", `holds ".."`, link(tar.TypeLink, "a", "../../etc/shadow")},
		{"a hard link to an absolute name", "is absolute", link(tar.TypeLink, "a", "/etc/shadow")},
		{"a hard link to nothing", "target is empty", link(tar.TypeLink, "a", "")},
		{"a symlink to nothing", "is a symbolic link to", link(tar.TypeSymlink, "a", "")},
		{"an absurdly long symlink", "is a symbolic link to", link(tar.TypeSymlink, "a", strings.Repeat("x", 5000))},
		{"an owner beyond 32 bits", "has the owner", with(func(h *tar.Header) { h.Uid = 1<<32 - 1 })},
		{"a group beyond 32 bits", "has the owner", with(func(h *tar.Header) { h.Gid = 1 << 40; h.Format = tar.FormatGNU })},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := tarOf(t, c.entry)
			_, err := check("a.tar", b)
			refused(t, err, c.want)
			_, err = extractTo(t.TempDir(), b)
			refused(t, err, c.want)
		})
	}
}

func TestDialectsThatAreNotKnownAreUnsupported(t *testing.T) {
	for name, b := range map[string][]byte{
		"a volume of several": patched(tarOf(t, file("a", "")), 156, "M"),
		"a kind nobody knows": patched(tarOf(t, file("a", "")), 156, "Z"),
		"a global name": tarOf(t, tarEntry{tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "x"}},
			""}),
		"a sparse file to come": tarOf(t, tarEntry{tar.Header{Name: "a", PAXRecords: map[string]string{"VENDOR.x": "y"}}, ""}),
		"a sparse file of version 2": bytes.ReplaceAll(tarOf(t,
			tarEntry{tar.Header{Name: "a", PAXRecords: map[string]string{"gnu.sparse.major": "2"}}, ""}), []byte("gnu.sparse"),
			[]byte("GNU.sparse")),
	} {
		_, err := check("a.tar", b)
		if name == "a sparse file to come" {
			if err != nil {
				t.Errorf("got %v for a record of a vendor", err)
			}
			continue
		}
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: got %v, want unsupported", name, err)
		}
	}
	comment := tarEntry{tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}, ""}
	b := tarOf(t, comment, file("a", "x"))
	if _, err := check("a.tar", b); err != nil {
		t.Errorf("got %v for a comment", err)
	}
	if _, err := extractTo(t.TempDir(), b); err != nil {
		t.Errorf("got %v for a comment", err)
	}
}

// patched changes the first header of a tar and mends its checksum.
func patched(b []byte, at int, text string) []byte {
	b = bytes.Clone(b)
	copy(b[at:], text)
	copy(b[148:], "        ")
	sum := 0
	for _, v := range b[:tarBlock] {
		sum += int(v)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

func TestAbsurdSizesInHeadersAreRefused(t *testing.T) {
	b := tarOf(t, file("a", "x"))
	for name, size := range map[string]string{
		"8 GiB of a short file": "77777777777\x00",
		"2^62 bytes":            "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00",
		"less than nothing":     "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",
		"more than 64 bits":     "\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := check("a.tar", patched(b, 124, size))
			refused(t, err, "tar entry")
		})
	}
	pax := patched(tarOf(t, tarEntry{tar.Header{Name: "a", PAXRecords: map[string]string{"A.b": "c"}}, ""}), 124, "00100000000\x00")
	_, err := check("a.tar", pax) // an extended header of 8 MiB
	refused(t, err, "tar entry behind byte")
}

func TestConfigThatIsTooLargeIsRefused(t *testing.T) {
	_, err := check("vzdump-lxc-1-2026.tar", tarOf(t, file("etc/vzdump/pct.conf", strings.Repeat("#", maxConfig+1))))
	refused(t, err, "more than 1048576")
}

// FuzzTar holds that nothing panics and that every error says who is to blame.
func FuzzTar(f *testing.F) {
	f.Add(tarOf(f, dir("./"), file("./etc/vzdump/pct.conf", "x"), link(tar.TypeLink, "b", "a"), link(tar.TypeSymlink, "c", "a")))
	f.Add(tarOf(f, tarEntry{tar.Header{Name: "a", PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b"}}, "x"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		report, err := check("vzdump-lxc-1-2026.tar", b)
		var fault *Error
		if err != nil && !errors.As(err, &fault) && !errors.Is(err, ErrUnsupported) {
			t.Fatalf("got %v", err)
		}
		if report.Bytes > int64(len(b)) || err == nil && len(report.Configs) == 0 {
			t.Fatalf("got %+v of %d bytes", report, len(b))
		}
	})
}
