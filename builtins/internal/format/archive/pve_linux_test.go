package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/neosofia/runner/builtins/internal/format/vma"
)

// testdata/pve holds archives that a Proxmox VE 9.2 made, one a folder, with what
// its own tools (vma, GNU tar) say is in them: contents.txt.

// pveArchive is one of them.
type pveArchive struct {
	name, file string
	contents   string
}

func pveArchives(t *testing.T) (out []pveArchive) {
	t.Helper()
	dirs, err := filepath.Glob("testdata/pve/*")
	if err != nil || len(dirs) < 15 {
		t.Fatalf("%d archives, %v", len(dirs), err)
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(dir + "/vzdump-*")
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v, %v", dir, files, err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, "contents.txt"))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pveArchive{filepath.Base(dir), files[0], string(raw)})
	}
	return out
}

func TestArchivesOfATrueNodeComeBack(t *testing.T) {
	for _, a := range pveArchives(t) {
		t.Run(a.name, func(t *testing.T) {
			raw, err := os.ReadFile(a.file)
			if err != nil {
				t.Fatal(err)
			}
			opened, err := check(filepath.Base(a.file), raw)
			if errors.Is(err, ErrUnsupported) && strings.HasSuffix(a.file, ".lzo") {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(a.name, "vm-") {
				wantDisks(t, a, raw, opened)
			} else {
				wantTree(t, a, raw, opened)
			}
		})
	}
}

var diskSum = regexp.MustCompile(`(?m)^([0-9a-f]{64})  disk-(\S+)\.raw$`)

// wantDisks holds that the disks are those that vma extracts.
func wantDisks(t *testing.T, a pveArchive, raw []byte, opened Report) {
	t.Helper()
	dir := t.TempDir()
	report, err := ExtractDisks(context.Background(), a.file, bytes.NewReader(raw), func(d vma.Device) (io.WriterAt, error) {
		f, err := os.Create(filepath.Join(dir, d.Name))
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { f.Close() })
		return f, f.Truncate(d.Size)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(opened.Devices, report.Devices) || len(opened.Configs) != len(report.Configs) {
		t.Errorf("opened holds %v, what came back %v", opened.Devices, report.Devices)
	}
	want := map[string]string{}
	for _, m := range diskSum.FindAllStringSubmatch(a.contents, -1) {
		want[m[2]] = m[1]
	}
	got := map[string]string{}
	for _, d := range report.Devices {
		f, err := os.Open(filepath.Join(dir, d.Name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			t.Fatal(err)
		}
		got[d.Name] = hex.EncodeToString(h.Sum(nil))
		if size := fmt.Sprintf("disk-%s.raw %d bytes", d.Name, d.Size); !strings.Contains(a.contents, size) {
			t.Errorf("%s is not what vma says", size)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got disks %v, want %v", got, want)
	}
}

var tarLine = regexp.MustCompile(`^([-dhlpcb])(\S{9})\+?\s+(\d+/\d+)\s+(\d+) \S+ \S+ \./(.*?)(?: -> (.*)| link to \./(.*))?$`)

// wantTree holds that the tree is what GNU tar lists: every name with its type, mode,
// owner, size and target, and no other.
func wantTree(t *testing.T, a pveArchive, raw []byte, opened Report) {
	t.Helper()
	into := t.TempDir()
	report, err := ExtractTree(context.Background(), a.file, bytes.NewReader(raw), into, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if opened.Entries != report.Entries || len(opened.Configs) != len(report.Configs) || len(report.Configs) != 2 {
		t.Errorf("opened holds %d entries and %d configurations, what came back %d and %d", opened.Entries, len(opened.Configs), report.Entries,
			len(report.Configs))
	}
	want := map[string]string{}
	for in := bufio.NewScanner(strings.NewReader(a.contents)); in.Scan(); {
		m := tarLine.FindStringSubmatch(in.Text())
		if m == nil {
			continue
		}
		kind, name, size := m[1], strings.TrimSuffix(m[5], "/"), m[4]
		switch kind {
		case "h":
			if want[m[7]] == "" {
				t.Fatalf("%s links to %s, which is not listed before it", name, m[7])
			}
			want[name] = want[m[7]] // of an unprivileged container's own files, too
			sameFile(t, into, name, m[7])
			continue
		case "-":
		default:
			size = "0"
		}
		want[name] = strings.Join([]string{kind + m[2], owner(m[3]), size, m[6]}, " ")
	}
	if len(want) < 15 {
		t.Fatalf("the listing has %d names", len(want))
	}
	got := treeOf(t, into)
	if want["etc/vzdump"] == "" {
		delete(got, "etc/vzdump") // in stop mode its files are listed, and it is not
	}
	for name := range maps.Keys(want) {
		if got[name] != want[name] {
			t.Errorf("%q: got %q, GNU tar says %q", name, got[name], want[name])
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("more came back than is listed: %q", got)
	}
}

func sameFile(t *testing.T, into, name, other string) {
	t.Helper()
	one, err := os.Lstat(filepath.Join(into, name))
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.Lstat(filepath.Join(into, other))
	if err != nil || !os.SameFile(one, two) {
		t.Errorf("%s and %s are not links of one file: %v", name, other, err)
	}
}

// owner is what can be compared: without root owners are not restored.
func owner(ids string) string {
	if os.Geteuid() != 0 {
		return "-"
	}
	return ids
}

// treeOf lists a tree in the words of tar -tvv.
func treeOf(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		size, target := int64(0), ""
		switch {
		case fi.Mode().IsRegular():
			size = fi.Size()
		case fi.Mode()&fs.ModeSymlink != 0:
			if target, err = os.Readlink(path); err != nil {
				return err
			}
		}
		st := fi.Sys().(*syscall.Stat_t)
		out[strings.TrimPrefix(rel, ".")] = fmt.Sprintf("%s %s %d %s", listed(st.Mode), owner(fmt.Sprintf("%d/%d", st.Uid, st.Gid)), size, target)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// listed is a mode as ls and tar print it.
func listed(mode uint32) string {
	kind := map[uint32]string{syscall.S_IFREG: "-", syscall.S_IFDIR: "d", syscall.S_IFLNK: "l", syscall.S_IFIFO: "p"}[mode&syscall.S_IFMT]
	b := []byte("rwxrwxrwx")
	for i := range b {
		if mode&(1<<(8-i)) == 0 {
			b[i] = '-'
		}
	}
	for bit, at := range map[uint32]int{syscall.S_ISUID: 2, syscall.S_ISGID: 5, syscall.S_ISVTX: 8} {
		letter := byte('s')
		if bit == syscall.S_ISVTX {
			letter = 't'
		}
		switch {
		case mode&bit == 0:
		case b[at] == 'x':
			b[at] = letter
		default:
			b[at] = letter - 'a' + 'A'
		}
	}
	return kind + string(b)
}
