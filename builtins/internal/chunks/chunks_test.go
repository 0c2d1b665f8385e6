package chunks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/chunks"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/tests/gauge"
)

const password = "correct horse battery staple"

func options(t testing.TB, dir string, write bool) chunks.Options {
	return chunks.Options{Folder: dir, Password: password, Scratch: t.TempDir(), Target: "second-disk", Write: write, Now: time.Now}
}

func create(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := chunks.Create(t.Context(), options(t, dir, true)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// open opens for writing or reading; the test closes it, at its end too.
func open(t testing.TB, dir string, write bool) *chunks.Repository {
	t.Helper()
	r, err := chunks.Open(t.Context(), options(t, dir, write))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return r
}

func shut(t testing.TB, r *chunks.Repository) {
	t.Helper()
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, r *chunks.Repository, name string, data []byte) {
	t.Helper()
	if n, err := r.Put(t.Context(), name, 0, int64(len(data)), bytes.NewReader(data)); err != nil || n != int64(len(data)) {
		t.Fatalf("put %s: %d bytes, %v", name, n, err)
	}
}

func get(t testing.TB, r *chunks.Repository, name string, offset, length int64) []byte {
	t.Helper()
	rc, err := r.Get(t.Context(), name, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	data, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// random is data that does not compress, the same for the same seed.
func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

func wants(t testing.TB, err error, code failure.Code, said string) {
	t.Helper()
	if !failure.Is(err, code) || !strings.Contains(err.Error(), said) {
		t.Errorf("got %v, want %s with %q", err, code.Name, said)
	}
}

func TestWhatWasPutComesBack(t *testing.T) {
	dir := create(t)
	w := open(t, dir, true)
	files := map[string][]byte{"top": []byte("at the top"), "vm/erp/T1/qemu-server.conf": []byte("cores: 2\n"), "vm/erp/T1/empty": {}}
	for i, n := range []int{1, 4095, 128 << 10, 128<<10 + 1, 5<<20 - 3} {
		files[fmt.Sprintf("vm/erp/T1/disk-%d.raw", i)] = random(uint64(i), n)
		files[fmt.Sprintf("lxc/web/T1/stream-%d.tar", i)] = random(uint64(i+100), n)
	}
	for name, data := range files {
		put(t, w, name, data)
	}
	r := open(t, dir, false)
	for name, data := range files {
		for _, from := range []*chunks.Repository{w, r} {
			if got := get(t, from, name, 0, -1); !bytes.Equal(got, data) {
				t.Errorf("%s came back with %d bytes, want %d equal ones", name, len(got), len(data))
			}
			info, err := from.Stat(t.Context(), name)
			if err != nil || info.Size != int64(len(data)) || !info.Regular || info.Name != filepath.Base(name) {
				t.Errorf("stat %s: %+v, %v", name, info, err)
			}
		}
	}
	const disk = "vm/erp/T1/disk-4.raw"
	for _, at := range [][2]int64{{0, 10}, {131071, 2}, {131072, 4096}, {5<<20 - 4, 1}, {5<<20 - 4, -1}, {1 << 20, 0}, {5<<20 - 3, -1}} {
		want := files[disk][at[0]:]
		if at[1] >= 0 {
			want = want[:at[1]]
		}
		if got := get(t, r, disk, at[0], at[1]); !bytes.Equal(got, want) {
			t.Errorf("range %v: got %d bytes, want %d equal ones", at, len(got), len(want))
		}
	}
	for dir, want := range map[string]string{".": "lxc/ top vm/", "vm": "erp/", "vm/erp": "T1/",
		"vm/erp/T1": "disk-0.raw disk-1.raw disk-2.raw disk-3.raw disk-4.raw empty qemu-server.conf"} {
		all, err := r.List(t.Context(), dir)
		var got []string
		for _, i := range all {
			if i.Dir {
				i.Name += "/"
			}
			got = append(got, i.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("list %s: %v, %v, want %s", dir, got, err, want)
		}
	}
	if bad, err := r.Check(t.Context()); err != nil || len(bad) > 0 {
		t.Errorf("check: %v, %v", bad, err)
	}
}

// Zeros are named and not written, and come back at every border.
func TestZerosComeBack(t *testing.T) {
	dir := create(t)
	w := open(t, dir, true)
	const chunk = 128 << 10
	for i, holes := range [][]int{{}, {16}, {15}, {16, 17, 1, 40}, {100}} {
		for _, tail := range []int{0, 1, chunk - 1} {
			var disk []byte
			for j, n := range holes {
				disk = append(disk, random(uint64(j), chunk)...)
				disk = append(disk, make([]byte, n*chunk)...)
			}
			disk = append(disk, make([]byte, tail)...)
			name := fmt.Sprintf("vm/a/T%d/%d.raw", i, tail)
			put(t, w, name, disk)
			if got := get(t, w, name, 0, -1); !bytes.Equal(got, disk) {
				t.Errorf("holes of %v chunks and %d bytes: %d bytes came back, want %d equal ones", holes, tail, len(got), len(disk))
			}
			if len(disk) > 3*chunk {
				if got := get(t, w, name, 2*chunk-5, chunk); !bytes.Equal(got, disk[2*chunk-5:3*chunk-5]) {
					t.Errorf("holes of %v chunks: another range came back", holes)
				}
			}
		}
	}
	before := gauge.Size(t, dir)
	n, err := w.Put(t.Context(), "vm/a/T9/thin.raw", 0, -1, io.LimitReader(zeros{}, 5<<30+1))
	if err != nil || n != 5<<30+1 {
		t.Errorf("put %d bytes of zeros: %v", n, err)
	}
	if more := gauge.Size(t, dir) - before; more > 256<<10 {
		t.Errorf("5 GiB of zeros take %d bytes", more)
	}
	if got := get(t, w, "vm/a/T9/thin.raw", 5<<30-2, -1); !bytes.Equal(got, make([]byte, 3)) {
		t.Errorf("the end of 5 GiB is %v", got)
	}
	if bad, err := w.Check(t.Context()); err != nil || len(bad) > 0 {
		t.Errorf("check: %v, %v", bad, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestNamesChange(t *testing.T) {
	dir := create(t)
	w := open(t, dir, true)
	put(t, w, "tmp/T1/a", []byte("a"))
	put(t, w, "tmp/T1/b", []byte("b"))
	put(t, w, "tmp/T1/sub/c", []byte("c"))
	put(t, w, "tmp/T1/a", []byte("again"))
	if err := w.Rename(t.Context(), "tmp/T1", "vm/erp/T1"); err != nil {
		t.Fatal(err)
	}
	if err := w.Rename(t.Context(), "vm/erp/T1/b", "vm/erp/T1/manifest.json"); err != nil {
		t.Fatal(err)
	}
	put(t, w, "vm/erp/T2/a", []byte("2"))
	wants(t, w.Rename(t.Context(), "vm/erp/T2", "vm/erp/T1"), target.CodeFailed, "the new name is taken")
	wants(t, w.Delete(t.Context(), "vm/erp/T2"), target.CodeFailed, "not empty")
	for range 2 {
		if err := w.Delete(t.Context(), "vm/erp/T2/a"); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, w)
	r := open(t, dir, false)
	for name, want := range map[string]string{"vm/erp/T1/a": "again", "vm/erp/T1/manifest.json": "b", "vm/erp/T1/sub/c": "c"} {
		if got := get(t, r, name, 0, -1); string(got) != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, gone := range []string{"tmp", "tmp/T1/a", "vm/erp/T1/b", "vm/erp/T2", "vm/erp/T2/a"} {
		if _, err := r.Stat(t.Context(), gone); !failure.Is(err, target.CodeNotFound) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want that it is gone", gone, err)
		}
	}
	_, err := r.Put(t.Context(), "x", 0, -1, strings.NewReader("x"))
	wants(t, err, target.CodeDenied, "opened to be read")
}

// A reader sees what a writer puts beside it.
func TestReadersAndAWriterWorkAtOnce(t *testing.T) {
	dir := create(t)
	r, w := open(t, dir, false), open(t, dir, true)
	put(t, w, "vm/erp/T1/disk.raw", random(1, 1<<20))
	if got := get(t, r, "vm/erp/T1/disk.raw", 0, -1); !bytes.Equal(got, random(1, 1<<20)) {
		t.Error("the reader got other bytes")
	}
	_, err := w.Maintain(t.Context())
	wants(t, err, target.CodeBusy, "used by a reader")
	shut(t, r)
	if _, err := w.Maintain(t.Context()); err != nil {
		t.Error(err)
	}
	if got := get(t, w, "vm/erp/T1/disk.raw", 0, -1); !bytes.Equal(got, random(1, 1<<20)) {
		t.Error("maintenance changed bytes")
	}
}

func TestTwoWritersAreRefused(t *testing.T) {
	dir := create(t)
	w := open(t, dir, true)
	_, err := chunks.Open(t.Context(), options(t, dir, true))
	wants(t, err, target.CodeBusy, fmt.Sprintf("it is used by process %d of ", os.Getpid()))
	shut(t, w)
	w = open(t, dir, true)
	if left := w.Left(); left != nil {
		t.Errorf("a writer that ended well left %v", left)
	}
}

func TestOnlyWhatChangedIsStored(t *testing.T) {
	dir := create(t)
	w := open(t, dir, true)
	const mib = 1 << 20
	disk := random(7, 64*mib)
	put(t, w, "vm/erp/T1/disk.raw", disk)
	first := gauge.Size(t, dir)
	if first < 64*mib || first > 66*mib {
		t.Errorf("the first generation takes %d bytes, want 64 MiB and little more", first)
	}
	put(t, w, "vm/erp/T2/disk.raw", disk)
	if same := gauge.Size(t, dir) - first; same > 64<<10 {
		t.Errorf("the same disk again takes %d bytes more", same)
	}
	before := gauge.Size(t, dir)
	for i := range 5 { // 1 % in five places
		copy(disk[(i*12+3)*mib:], random(uint64(50+i), 128<<10))
	}
	put(t, w, "vm/erp/T3/disk.raw", disk)
	if changed := gauge.Size(t, dir) - before; changed > 2*5*128<<10 {
		t.Errorf("1 %% changed takes %d bytes more, want less than twice the changed chunks", changed)
	}
	// An insertion moves the rest of a stream, and must not store it again.
	put(t, w, "lxc/web/T1/rootfs.tar", disk)
	before = gauge.Size(t, dir)
	put(t, w, "lxc/web/T2/rootfs.tar", append([]byte("a new file in front"), disk...))
	if inserted := gauge.Size(t, dir) - before; inserted > mib {
		t.Errorf("an insertion takes %d bytes more", inserted)
	}
	for _, name := range []string{"vm/erp/T1/disk.raw", "vm/erp/T2/disk.raw", "lxc/web/T1/rootfs.tar", "lxc/web/T2/rootfs.tar"} {
		if err := w.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	freed, err := w.Maintain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left := gauge.Size(t, dir); left > 75*mib || freed < 60*mib {
		t.Errorf("maintenance freed %d bytes and left %d, want one disk and what its short packs hold beside left", freed, left)
	}
	if got := get(t, w, "vm/erp/T3/disk.raw", 0, -1); !bytes.Equal(got, disk) {
		t.Error("maintenance changed the disk that was left")
	}
}
