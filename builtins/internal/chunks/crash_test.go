package chunks_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/neosofia/runner/builtins/internal/chunks"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/tests/gauge"
)

// generation is a disk of which a part is the same every night.
func generation(n int) []byte {
	disk := append(random(1, 1<<20), random(uint64(100+n), 300<<10)...)
	return append(disk, make([]byte, 3<<20)...)
}

func nightName(n int) string { return fmt.Sprintf("vm/erp/T%03d/disk.raw", n) }

// nights puts generations from one on, deletes those before the last three, and maintains the repository, for
// ever. It tells of each step that it ended.
func nights(dir string, from int) error {
	ctx := context.Background()
	r, err := chunks.Open(ctx, chunks.Options{Folder: dir, Password: password, Write: true, Now: time.Now})
	for n := from; err == nil; n++ {
		steps := []struct {
			said string
			do   func() error
		}{
			{fmt.Sprintf("put %d", n), func() error {
				const draft = "draft/disk.raw"
				if _, err := r.Put(ctx, draft, 0, -1, bytes.NewReader(generation(n))); err != nil {
					return err
				}
				return r.Rename(ctx, "draft", filepath.Dir(nightName(n)))
			}},
			{fmt.Sprintf("deleted %d", n-3), func() error { return r.Delete(ctx, nightName(n-3)) }},
			{"maintained 0", func() error { _, err := r.Maintain(ctx); return err }},
		}
		for _, s := range steps[:2+n%2] {
			if err = s.do(); err != nil {
				break
			}
			fmt.Println(s.said)
		}
	}
	return err
}

// Whenever a writer is killed, what it told of is there, what it deleted is gone, and the rest can be
// swept away.
func TestAWriterIsKilledAtAnyTime(t *testing.T) {
	if testing.Short() {
		t.Skip("it kills processes for some seconds")
	}
	dir := create(t)
	rounds := 6
	pick := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	there := map[int]bool{}
	next, maintained := 0, 0
	for round := range rounds {
		from := next
		c, lines := startNights(t, dir, from)
		// It is killed some time after it has told of something, however slow the machine is.
		var timer *time.Timer
		wait := 1 + pick.IntN(6)
		for told := 1; lines.Scan(); told++ {
			var what string
			var n int
			if _, err := fmt.Sscan(lines.Text(), &what, &n); err != nil {
				t.Fatalf("%q: %v", lines.Text(), err)
			}
			switch what {
			case "put":
				there[n], next = true, n+1
			case "deleted":
				delete(there, n)
			default:
				maintained++
			}
			if timer == nil && told >= wait && (round < rounds-1 || maintained > 0) {
				timer = time.AfterFunc(time.Duration(pick.IntN(400))*time.Millisecond, func() {
					_ = c.Process.Kill() // it may have ended: then its words are told below
				})
			}
		}
		if timer != nil {
			timer.Stop()
		}
		var exit *exec.ExitError
		if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("the writer was not killed: %v: %s", err, c.Stderr)
		}
		afterAKill(t, dir, there, next)
	}
	t.Logf("%d puts and %d maintenances were told of in %d rounds", next, maintained, rounds)
	if next < rounds || maintained == 0 {
		t.Error("too little was done between the kills to show anything")
	}
	w := open(t, dir, true)
	if _, err := w.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := gauge.Size(t, dir); left > 12<<20 {
		t.Errorf("%d bytes are left of %d generations of 1.3 MB", left, len(there))
	}
	if drafts, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*.tmp.*")); len(drafts) > 0 {
		t.Errorf("left half written: %v", drafts)
	}
}

func startNights(t *testing.T, dir string, from int) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), exe)
	c.Env = append(os.Environ(), "CHUNKS_VERB=nights", "CHUNKS_DIR="+dir, fmt.Sprintf("CHUNKS_NAME=%d", from), "TMPDIR="+t.TempDir())
	c.Stderr = &bytes.Buffer{}
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewScanner(out)
}

// afterAKill holds the repository against what was told. The step under way may have been done, too.
func afterAKill(t *testing.T, dir string, there map[int]bool, next int) {
	t.Helper()
	r := open(t, dir, false)
	defer shut(t, r)
	if bad, err := r.Check(t.Context()); err != nil || len(bad) > 0 {
		t.Fatalf("check: %v, %v", bad, err)
	}
	for n := range next + 1 {
		_, err := r.Stat(t.Context(), nightName(n))
		gone := failure.Is(err, target.CodeNotFound)
		switch {
		case err != nil && !gone:
			t.Fatal(err)
		case gone && there[n] && n != next-4 && n != next-3: // which may have been deleted
			t.Errorf("generation %d is gone", n)
		case !gone && !there[n] && n < next:
			t.Errorf("generation %d is there again", n)
		case gone:
			delete(there, n)
		default:
			if got := get(t, r, nightName(n), 0, -1); !bytes.Equal(got, generation(n)) {
				t.Errorf("generation %d came back with other bytes", n)
			}
		}
	}
}

// A disk that is full in maintenance loses nothing.
func TestTheDiskIsFullInMaintenance(t *testing.T) {
	dir := smallDisk(t, "32m")
	if err := chunks.Create(t.Context(), options(t, dir, true)); err != nil {
		t.Fatal(err)
	}
	w := open(t, dir, true)
	for i := range 6 {
		put(t, w, fmt.Sprintf("vm/erp/T%d/disk.raw", i), random(uint64(i), 2<<20))
	}
	for _, i := range []int{1, 3} {
		if err := w.Delete(t.Context(), fmt.Sprintf("vm/erp/T%d/disk.raw", i)); err != nil {
			t.Fatal(err)
		}
	}
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(struct{ io.Writer }{f}, zeros{}); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	_, err = w.Maintain(t.Context())
	wants(t, err, target.CodeFull, "no space left on device")
	if err := errors.Join(f.Close(), os.Remove(filler)); err != nil {
		t.Fatal(err)
	}
	if bad, err := w.Check(t.Context()); err != nil || len(bad) > 0 {
		t.Errorf("check: %v, %v", bad, err)
	}
	if _, err := w.Maintain(t.Context()); err != nil {
		t.Error(err)
	}
	for _, i := range []int{0, 2, 4, 5} {
		if got := get(t, w, fmt.Sprintf("vm/erp/T%d/disk.raw", i), 0, -1); !bytes.Equal(got, random(uint64(i), 2<<20)) {
			t.Errorf("disk %d came back with other bytes", i)
		}
	}
}
