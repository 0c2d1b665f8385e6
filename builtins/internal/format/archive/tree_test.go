package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

func extractTo(into string, b []byte) (Report, error) {
	return ExtractTree(context.Background(), "a.tar", bytes.NewReader(b), into, Options{})
}

// listing describes a tree: one line for each entry.
func listing(t *testing.T, root string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		fmt.Fprintf(&out, "%s %v", rel, fi.Mode())
		if fi.Mode()&fs.ModeSymlink != 0 {
			target, _ := os.Readlink(path)
			fmt.Fprintf(&out, " -> %s", target)
		}
		if fi.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if len(b) > 20 {
				fmt.Fprintf(&out, " %d bytes", len(b))
			} else {
				fmt.Fprintf(&out, " %q", b)
			}
		}
		out.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTreeOfAProxmoxContainer(t *testing.T) {
	into := t.TempDir()
	report, err := ExtractTree(context.Background(), pveLXC, bytes.NewReader(sample(t, pveLXC)), into, Options{SkipDevices: true})
	if err != nil {
		t.Fatal(err)
	}
	if want, err := check(pveLXC, sample(t, pveLXC)); err != nil || want.Entries != report.Entries || want.Bytes != report.Bytes ||
		len(report.Configs) != 2 {
		t.Errorf("got %d entries and %d bytes, Check %d and %d (%v)", report.Entries, report.Bytes, want.Entries, want.Bytes, err)
	}
	// Every entry of the archive against what lies in the tree.
	z, err := zstd.NewReader(bytes.NewReader(sample(t, pveLXC)))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		compareEntry(t, filepath.Join(into, h.Name), h, r)
	}
}

func compareEntry(t *testing.T, path string, h *tar.Header, r io.Reader) {
	t.Helper()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Error(err)
		return
	}
	if !fi.ModTime().Equal(h.ModTime) {
		t.Errorf("%s: got time %v, want %v", h.Name, fi.ModTime(), h.ModTime)
	}
	if h.Typeflag != tar.TypeLink && h.FileInfo().Mode() != fi.Mode() {
		t.Errorf("%s: got mode %v, want %v", h.Name, fi.Mode(), h.FileInfo().Mode())
	}
	switch h.Typeflag {
	case tar.TypeReg:
		got, err := os.ReadFile(path)
		want, rerr := io.ReadAll(r)
		if err != nil || rerr != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the data differ", h.Name)
		}
	case tar.TypeSymlink:
		if got, _ := os.Readlink(path); got != h.Linkname {
			t.Errorf("%s: got link to %s, want %s", h.Name, got, h.Linkname)
		}
	}
}

func TestEntriesInOddOrder(t *testing.T) {
	old := time.Unix(1000000000, 0)
	d := dir("d")
	d.ModTime, d.Mode = old, 0o510
	for _, c := range []struct {
		name, want string
		entries    []tarEntry
	}{
		{"a directory named behind its contents", "d dr-x--x---\nd/a -rw-r--r-- \"x\"\n", []tarEntry{file("d/a", "x"), d}},
		{"a directory that is entered twice", "b -rw-r--r-- \"\"\nd dr-x--x---\nd/a -rw-r--r-- \"x\"\nd/e drwxr-xr-x\n",
			[]tarEntry{d, file("d/a", "x"), file("b", ""), dir("d/e")}},
		{"a file that comes twice", "a -rw-r--r-- \"new\"\n", []tarEntry{file("a", "older"), file("a", "new")}},
		{"a file in place of a symlink, which is not followed", "a -rw-r--r-- \"x\"\nb -rw-r--r-- \"y\"\n",
			[]tarEntry{file("a", "x"), link(tar.TypeSymlink, "b", "a"), file("b", "y")}},
		{"a file in place of one half of a hard link", "a -rw-r--r-- \"x\"\nb -rw-r--r-- \"y\"\n",
			[]tarEntry{file("a", "x"), link(tar.TypeLink, "b", "a"), file("b", "y")}},
		{"a directory in place of a symlink", "d dr-x--x---\nd/a -rw-r--r-- \"x\"\n",
			[]tarEntry{link(tar.TypeSymlink, "d", "/etc"), d, file("d/a", "x")}},
		{"a directory named twice", "d drwxr-xr-x\nd/a -rw-r--r-- \"x\"\n", []tarEntry{d, file("d/a", "x"), dir("d")}},
		{"names with dots and slashes", "d dr-x--x---\nd/a -rw-r--r-- \"x\"\n", []tarEntry{d, file(".//d/./a", "x")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			into := t.TempDir()
			if _, err := extractTo(into, tarOf(t, c.entries...)); err != nil {
				t.Fatal(err)
			}
			if got := strings.SplitN(listing(t, into), "\n", 2)[1]; got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
			defer os.Chmod(filepath.Join(into, "d"), 0o700) // so that it can be removed without root
			if fi, err := os.Lstat(filepath.Join(into, "d")); err == nil && c.name != "a directory named twice" && !fi.ModTime().Equal(old) {
				t.Errorf("got time %v of the directory, want %v", fi.ModTime(), old)
			}
		})
	}
}

func TestNothingLeavesTheDirectory(t *testing.T) {
	for _, c := range []struct {
		name, want string
		entries    []tarEntry
	}{
		{"a file through an absolute symlink", "below", []tarEntry{link(tar.TypeSymlink, "s", "OUTSIDE"), file("s/evil", "x")}},
		{"a file through a climbing symlink", "below", []tarEntry{link(tar.TypeSymlink, "s", "../outside"), file("s/evil", "x")}},
		{"a file through a chain of symlinks", "below",
			[]tarEntry{dir("d"), link(tar.TypeSymlink, "d/s", "../.."), link(tar.TypeSymlink, "t", "d/s"), file("t/outside/evil", "x")}},
		{"a file through a symlink that stays inside", "below", []tarEntry{dir("d"), link(tar.TypeSymlink, "s", "d"), file("s/evil", "x")}},
		{"a directory through a symlink", "below", []tarEntry{link(tar.TypeSymlink, "s", "../outside"), dir("s/evil")}},
		{"a symlink through a symlink", "below", []tarEntry{link(tar.TypeSymlink, "s", "../outside"), link(tar.TypeSymlink, "s/evil", "x")}},
		{"a hard link through a symlink", "is a hard link to",
			[]tarEntry{link(tar.TypeSymlink, "s", "../outside"), link(tar.TypeLink, "evil", "s/victim")}},
		{"a hard link made through a symlink", "below", []tarEntry{file("a", ""), link(tar.TypeSymlink, "s", "../outside"),
			link(tar.TypeLink, "s/evil", "a")}},
		{"a directory swapped for a symlink", "below", []tarEntry{dir("s"), link(tar.TypeSymlink, "s", "../outside"), file("s/evil", "x")}},
		{"a file below a file", "below", []tarEntry{file("f", ""), file("f/evil", "x")}},
		{"a hard link to what is not there", "not there", []tarEntry{link(tar.TypeLink, "a", "b")}},
		{"a hard link to itself alone", `to "a", which is not there`, []tarEntry{link(tar.TypeLink, "./a", "a")}},
		{"a hard link to a directory", "is a hard link to", []tarEntry{dir("d"), link(tar.TypeLink, "a", "d")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := t.TempDir()
			outside, into := filepath.Join(home, "outside"), filepath.Join(home, "into")
			if err := errors.Join(os.Mkdir(outside, 0o755), os.Mkdir(into, 0o755),
				os.WriteFile(filepath.Join(outside, "victim"), []byte("x"), 0o600)); err != nil {
				t.Fatal(err)
			}
			before := listing(t, outside)
			for i := range c.entries {
				c.entries[i].Linkname = strings.ReplaceAll(c.entries[i].Linkname, "OUTSIDE", outside)
			}
			_, err := extractTo(into, tarOf(t, c.entries...))
			refused(t, err, c.want)
			if got := listing(t, outside); got != before {
				t.Errorf("got outside\n%swant\n%s", got, before)
			}
			if names, err := os.ReadDir(home); err != nil || len(names) != 2 {
				t.Errorf("got %v beside the directory, want nothing new (%v)", names, err)
			}
		})
	}
}

func TestSymlinkToTheOutsideKeepsWhatItNames(t *testing.T) {
	home := t.TempDir()
	into, victim := filepath.Join(home, "into"), filepath.Join(home, "victim")
	if err := errors.Join(os.Mkdir(into, 0o755), os.WriteFile(victim, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(victim)
	s := link(tar.TypeSymlink, "s", victim)
	s.ModTime = time.Unix(1000000000, 0)
	if _, err := extractTo(into, tarOf(t, s)); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(victim)
	if after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("got %v %v, want %v %v", after.Mode(), after.ModTime(), before.Mode(), before.ModTime())
	}
}

func TestTreeNeedsAnEmptyDirectory(t *testing.T) {
	into := t.TempDir()
	if err := os.WriteFile(filepath.Join(into, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := extractTo(into, tarOf(t, file("b", ""))); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("got %v", err)
	}
	if _, err := extractTo(filepath.Join(into, "none"), tarOf(t, file("b", ""))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestTreeIsBounded(t *testing.T) {
	b := tarOf(t, file("a", "12345"), file("b", "12345"))
	for want, opts := range map[string]Options{"limit of 9": {MaxBytes: 9}, "more than 1 entries": {MaxEntries: 1}} {
		_, err := ExtractTree(context.Background(), "a.tar", bytes.NewReader(b), t.TempDir(), opts)
		var fault *Error
		if err == nil || errors.As(err, &fault) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	// A sparse file of 2^62 bytes in an archive of one block.
	sparse := bytes.ReplaceAll(tarOf(t, tarEntry{tar.Header{Name: "a",
		PAXRecords: map[string]string{"gnu.sparse.map": "4611686018427387904,0", "gnu.sparse.numblocks": "1",
			"gnu.sparse.size": "4611686018427387904"}}, ""}), []byte("gnu.sparse"), []byte("GNU.sparse"))
	for how, open := range map[string]func() error{
		"extract": func() error { _, err := extractTo(t.TempDir(), sparse); return err },
		"check":   func() error { _, err := check("a.tar", sparse); return err },
	} {
		if err := open(); err == nil || !strings.Contains(err.Error(), "claims 4611686018427387904 bytes") {
			t.Errorf("%s: got %v for a sparse file of 2^62 bytes", how, err)
		}
	}
}

func TestCutTreeIsRefused(t *testing.T) {
	b := tarOf(t, dir("d"), file("d/a", strings.Repeat("x", 3000)))
	for n := 0; n < len(b); n += tarBlock {
		_, err := extractTo(t.TempDir(), b[:n])
		refused(t, err, "")
	}
}

func TestZeroBlocksBecomeHoles(t *testing.T) {
	for _, size := range []int{0, 1, 4096, 4097, inputBuffer, inputBuffer + 1, 3*inputBuffer + 5000} {
		for _, marks := range [][]int{{}, {0}, {size - 1}, {size / 2}, {0, size - 1}} {
			data := make([]byte, size)
			for _, m := range marks {
				if m >= 0 && m < size {
					data[m] = 7
				}
			}
			into := t.TempDir()
			if _, err := extractTo(into, tarOf(t, file("a", string(data)))); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(into, "a")); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes with marks at %v differ (%v)", size, marks, err)
			}
		}
	}
}

func TestACLsAreEncodedAsTheKernelWantsThem(t *testing.T) {
	for text, want := range map[string]string{
		"user::rw-,group::r--,other::---": "02000000" + "01000600ffffffff" + "04000400ffffffff" +
			"20000000ffffffff",
		"other::r-x\nmask::rwx\ngroup:7:r--\nuser:2:-w-\nuser:1:r--\n#note": "02000000" + "0200040001000000" + "0200020002000000" +
			"0800040007000000" + "10000700ffffffff" + "20000500ffffffff",
		"user:root:rwx:0":                     "02000000" + "0200070000000000",
		"user:root:rwx,user:7:r--,group::r--": "02000000" + "0200040007000000" + "04000400ffffffff", // the one with a name is left out
		"user:1":                              "",
		"king::rwx":                           "",
		"mask:1:rwx":                          "",
		"user::rwz":                           "",
		"user:99999999999:r--":                "",
		strings.Repeat("user:1:r--,", maxACLEntries+1): "",
	} {
		got, _, err := encodeACL(text)
		if hex.EncodeToString(got) != want || (err != nil) != (want == "") {
			t.Errorf("%.60q: got %x and error %v, want %s", text, got, err, want)
		}
	}
}

// FuzzTree holds that nothing appears beside the directory.
func FuzzTree(f *testing.F) {
	f.Add(tarOf(f, dir("d"), link(tar.TypeSymlink, "d/s", "../../out"), file("d/s", "x"), link(tar.TypeLink, "b", "d/s"), file("../x", "")))
	f.Add(tarOf(f, link(tar.TypeSymlink, "s", ".."), file("s/x", "x"), tarEntry{tar.Header{Name: "p", Typeflag: tar.TypeFifo}, ""}))
	f.Fuzz(func(t *testing.T, b []byte) {
		home := t.TempDir()
		into := filepath.Join(home, "into")
		if err := os.Mkdir(into, 0o755); err != nil {
			t.Fatal(err)
		}
		_, treeErr := ExtractTree(context.Background(), "a.tar", bytes.NewReader(b), into, Options{SkipDevices: true, MaxBytes: 1 << 20})
		if names, err := os.ReadDir(home); err != nil || len(names) != 1 {
			t.Fatalf("got %v beside the directory (%v)", names, err)
		}
		if _, err := check("a.tar", b); err != nil && treeErr == nil {
			t.Fatalf("the tree is taken, Check says %v", err)
		} else if own := (*Error)(nil); err == nil && errors.As(treeErr, &own) {
			t.Fatalf("Check takes it, the tree says %v", treeErr)
		}
	})
}

func FuzzACL(f *testing.F) {
	f.Add("user::rw-,user:1:r--,mask::rwx,other::---")
	f.Fuzz(func(t *testing.T, text string) {
		if b, _, err := encodeACL(text); err == nil && (len(b) < 4 || len(b)%8 != 4) {
			t.Errorf("got %x", b)
		}
	})
}
