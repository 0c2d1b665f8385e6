package chunks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/chunks"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/tests/gauge"
)

// TestMain lets the test binary be the writer that is killed, or measured.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CHUNKS_WRITER"); dir != "" {
		os.Exit(writeForEver(dir, os.Getenv("CHUNKS_NAME")))
	}
	if verb := os.Getenv("CHUNKS_VERB"); verb != "" {
		if err := beChild(verb, os.Getenv("CHUNKS_DIR"), os.Getenv("CHUNKS_NAME"), os.Getenv("CHUNKS_FILE")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if builtKopia != "" {
		os.RemoveAll(builtKopia)
	}
	os.Exit(code)
}

// writeForEver puts a file that has no end and tells of every 16 MiB.
func writeForEver(dir, name string) int {
	ctx, stop := withoutEnd()
	defer stop()
	r, err := chunks.Open(ctx, chunks.Options{Folder: dir, Password: password, Write: true, Now: time.Now})
	if err == nil {
		_, err = r.Put(ctx, name, 0, -1, &noEnd{})
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// noEnd is random and has no end; what it gave is told on standard output.
type noEnd struct{ n, told int }

func (r *noEnd) Read(p []byte) (int, error) {
	p = p[:min(len(p), 64<<10)]
	copy(p, random(uint64(r.n>>16), len(p)))
	if r.n += len(p); r.n-r.told >= 16<<20 {
		r.told = r.n
		fmt.Println(r.n)
	}
	return len(p), nil
}

// killed runs a writer until it told so much, and kills it.
func killed(t *testing.T, dir, name string, atLeast int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), exe)
	c.Env = append(os.Environ(), "CHUNKS_WRITER="+dir, "CHUNKS_NAME="+name, "TMPDIR="+t.TempDir())
	var words bytes.Buffer
	c.Stderr = &words
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var n int
	for n < atLeast {
		if _, err := fmt.Fscanln(out, &n); err != nil {
			t.Fatalf("the writer ended: %v: %s", err, words.String())
		}
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the writer was not killed: %v: %s", err, words.String())
	}
}

func TestAKilledWriterHurtsNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes 100 MiB")
	}
	dir := create(t)
	w := open(t, dir, true)
	disk := random(1, 3<<20)
	put(t, w, "vm/erp/T1/disk.raw", disk)
	shut(t, w)
	clean := gauge.Size(t, dir)
	killed(t, dir, "vm/erp/T2/disk.raw", 96<<20)
	left := filepath.Join(dir, "p", "abc", "def.f.tmp.0011223344556677") // what a kill between write and rename leaves
	if err := os.MkdirAll(filepath.Dir(left), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, random(2, 1000), 0o600); err != nil {
		t.Fatal(err)
	}

	w = open(t, dir, true)
	if l := w.Left(); l == nil || l.PID == 0 || l.Since.IsZero() {
		t.Errorf("the writer before is told as %v", l)
	}
	if _, err := w.Stat(t.Context(), "vm/erp/T2"); !failure.Is(err, target.CodeNotFound) {
		t.Errorf("half a file can be seen: %v", err)
	}
	put(t, w, "vm/erp/T2/disk.raw", append(disk, 1))
	if bad, err := w.Check(t.Context()); err != nil || len(bad) > 0 {
		t.Errorf("check: %v, %v", bad, err)
	}
	before := gauge.Size(t, dir)
	if before < clean+60<<20 {
		t.Errorf("the killed writer left %d bytes: it was killed too early to show anything", before-clean)
	}
	freed, err := w.Maintain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after := gauge.Size(t, dir); after > clean+2<<20 {
		t.Errorf("maintenance freed %d and left %d bytes, want %d and little more", freed, after, clean)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a half written blob is left: %v", err)
	}
	if got := get(t, w, "vm/erp/T2/disk.raw", 0, -1); !bytes.Equal(got, append(disk, 1)) {
		t.Error("the disk came back with other bytes")
	}
}

// A Create that was killed between kopia's two blobs can be made again.
func TestAHalfMadeRepositoryIsMadeAnew(t *testing.T) {
	dir := create(t)
	wants(t, chunks.Create(t.Context(), options(t, dir, true)), target.CodeBadTarget, "there is one already")
	if err := os.Remove(filepath.Join(dir, "kopia.repository.f")); err != nil {
		t.Fatal(err)
	}
	_, err := chunks.Open(t.Context(), options(t, dir, false))
	wants(t, err, target.CodeNotFound, "there is no repository in "+dir)
	if err := chunks.Create(t.Context(), options(t, dir, true)); err != nil {
		t.Fatal(err)
	}
	put(t, open(t, dir, true), "a", []byte("a"))
}

func TestAWrongPasswordIsRefused(t *testing.T) {
	dir := create(t)
	o := options(t, dir, true)
	o.Password = "hunter2"
	_, err := chunks.Open(t.Context(), o)
	wants(t, err, target.CodeDenied, "invalid repository password")
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error says the password: %v", err)
	}
	// The lease is free again, and nothing is left in the scratch folder.
	open(t, dir, true)
	if left, _ := os.ReadDir(o.Scratch); len(left) > 0 {
		t.Errorf("left in the scratch folder: %v", left)
	}
}

func TestThePasswordIsInNoFile(t *testing.T) {
	dir := create(t)
	o := options(t, dir, true)
	r, err := chunks.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	put(t, r, "secret/plain.txt", bytes.Repeat([]byte("plain text of a guest "), 1000))
	config := 0
	for _, below := range []string{o.Scratch, dir} {
		err := filepath.WalkDir(below, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			raw, err := os.ReadFile(path)
			for _, word := range []string{password, "plain text", "plain.txt"} {
				if bytes.Contains(raw, []byte(word)) {
					t.Errorf("%s holds %q", path, word)
				}
			}
			config += bytes.Count(raw, []byte(dir))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if config > 0 {
		t.Error("kopia's configuration file is still there")
	}
	shut(t, r)
	if left, _ := os.ReadDir(o.Scratch); len(left) > 0 {
		t.Errorf("left in the scratch folder: %v", left)
	}
}

// blobs are the files of a repository with a prefix, the largest first.
func blobs(t *testing.T, dir, prefix string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		rel, rerr := filepath.Rel(dir, path)
		if err == nil && !e.IsDir() && strings.HasPrefix(strings.ReplaceAll(rel, "/", ""), prefix) && strings.HasSuffix(path, ".f") {
			all = append(all, path)
		}
		return errors.Join(err, rerr)
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b string) int { return int(length(t, b) - length(t, a)) })
	return all
}

func length(t *testing.T, path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestDamageIsFoundAndNamesItsFiles(t *testing.T) {
	ruin := func(path string, f func(raw []byte) []byte) error {
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, f(raw), 0o600)
	}
	for _, c := range []struct {
		name string
		how  func(blob, other string) error
	}{
		{"missing", func(b, _ string) error { return os.Remove(b) }},
		{"flipped", func(b, _ string) error {
			return ruin(b, func(raw []byte) []byte { raw[len(raw)/2] ^= 4; return raw })
		}},
		{"truncated", func(b, _ string) error { return ruin(b, func(raw []byte) []byte { return raw[:len(raw)/2] }) }},
		{"empty", func(b, _ string) error { return os.Truncate(b, 0) }},
		{"foreign", func(b, other string) error {
			return ruin(b, func([]byte) []byte { raw, _ := os.ReadFile(other); return raw })
		}},
		{"a folder", func(b, _ string) error { return errors.Join(os.Remove(b), os.Mkdir(b, 0o700)) }},
		{"a fifo", func(b, _ string) error { return errors.Join(os.Remove(b), syscall.Mkfifo(b, 0o600)) }},
		{"a link out", func(b, other string) error {
			outside := filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(b)))), "outside")
			return errors.Join(os.Rename(b, outside), os.Symlink(outside, b))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "repository")
			if err := errors.Join(os.Mkdir(dir, 0o700), chunks.Create(t.Context(), options(t, dir, true))); err != nil {
				t.Fatal(err)
			}
			w := open(t, dir, true)
			put(t, w, "vm/web/T1/disk.raw", random(3, 1<<20))
			shared := random(1, 2<<20)
			put(t, w, "vm/erp/T1/disk.raw", shared)
			put(t, w, "vm/erp/T2/disk.raw", shared)
			put(t, w, "vm/erp/T2/note.txt", []byte("note"))
			shut(t, w)
			packs := blobs(t, dir, "p")
			if err := c.how(packs[0], packs[1]); err != nil {
				t.Fatal(err)
			}
			r := open(t, dir, false)
			bad, err := r.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, b := range bad {
				names = append(names, b.Name)
				if !failure.Is(b.Err, target.CodeDamaged) {
					t.Errorf("%s: got %v, want E_DAMAGED", b.Name, b.Err)
				}
			}
			if want := "vm/erp/T1/disk.raw vm/erp/T2/disk.raw"; strings.Join(names, " ") != want {
				t.Errorf("damaged: got %v, want %s", names, want)
			}
			rc, err := r.Get(t.Context(), "vm/erp/T1/disk.raw", 0, -1)
			if err == nil {
				_, err = bytes.NewBuffer(nil).ReadFrom(rc)
				rc.Close()
			}
			wants(t, err, target.CodeDamaged, "read vm/erp/T1/disk.raw")
			if got := get(t, r, "vm/web/T1/disk.raw", 0, -1); !bytes.Equal(got, random(3, 1<<20)) {
				t.Error("the other disk came back with other bytes")
			}
		})
	}
}

// Damage in what holds the names is an error, and maintenance takes nothing away.
func TestADamagedListStopsEverything(t *testing.T) {
	for _, prefix := range []string{"q", "xn"} {
		for _, how := range []string{"missing", "flipped", "truncated"} {
			t.Run(prefix+" "+how, func(t *testing.T) {
				dir := create(t)
				w := open(t, dir, true)
				for i := range 4 {
					put(t, w, fmt.Sprintf("vm/erp/T%d/disk.raw", i), random(uint64(i), 300<<10))
				}
				shut(t, w)
				for _, b := range blobs(t, dir, prefix) {
					spoil(t, b, how)
				}
				packs := len(blobs(t, dir, "p"))
				r, err := chunks.Open(t.Context(), options(t, dir, true))
				if err == nil {
					// Without any index kopia sees an empty repository.
					if _, err := r.Stat(t.Context(), "vm/erp/T1/disk.raw"); !failure.Is(err, target.CodeNotFound) {
						t.Errorf("got %v, want that the file is not there", err)
					}
					_, err = r.Check(t.Context())
					wants(t, err, target.CodeDamaged, "0 snapshots are there, and 4 were")
					_, err = r.Maintain(t.Context())
					err = errors.Join(err, r.Close(t.Context()))
				}
				wants(t, err, target.CodeDamaged, "")
				if left := len(blobs(t, dir, "p")); left != packs || packs < 4 {
					t.Errorf("%d of %d packs are left", left, packs)
				}
			})
		}
	}
}

// spoil damages a small blob where its first contents are.
func spoil(t *testing.T, path, how string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	switch {
	case err != nil:
	case how == "missing":
		err = os.Remove(path)
	case how == "flipped":
		raw[60] ^= 1
		err = os.WriteFile(path, raw, 0o600)
	default:
		err = os.WriteFile(path, raw[:60], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func withoutEnd() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}
