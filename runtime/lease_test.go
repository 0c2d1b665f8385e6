package runtime

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/failure"
)

func leasesOf(dir, run string) *leases {
	return &leases{dir: dir, held: map[string]*lease{}, self: Holder{Run: run, Host: "h", PID: 7}}
}

// mustTry takes a lease that is free.
func mustTry(t *testing.T, l *leases, name string) {
	t.Helper()
	if err := l.try(name); err != nil {
		t.Fatal(err)
	}
}

func heldBy(t *testing.T, err error, want string) {
	t.Helper()
	var busy *BusyError
	if !errors.As(err, &busy) || busy.Holder.Run != want {
		t.Fatalf("got %v, want what run %s holds", err, want)
	}
}

func TestALeaseIsSharedWithinARunAndWithNoOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := leasesOf(dir, "r1"), leasesOf(dir, "r2")
	mustTry(t, one, "target:usb")
	mustTry(t, one, "target:usb") // another branch of the run
	heldBy(t, two.try("target:usb"), "r1")
	mustTry(t, two, "target:nas")
	one.release("target:usb")
	heldBy(t, two.try("target:usb"), "r1")
	one.release("target:usb")
	mustTry(t, two, "target:usb")
	heldBy(t, one.try("target:usb"), "r2")
	one.release("target:usb") // it is not held: nothing is let go of
	heldBy(t, one.try("target:usb"), "r2")
	two.close()
	mustTry(t, one, "target:usb")
}

func TestALeaseOutlivesNoProcessAndIsNotJudgedByItsFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, content string }{
		{"who held it is dead", `{"run":"r0","host":"h","boot":"b","pid":1}`},
		{"a longer text", `{"run":"` + strings.Repeat("r", 4000) + `"}`},
		{"a broken text", "\x00{"},
		{"an empty file", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := leaseFile(dir, "policy:p.star")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			mustTry(t, leasesOf(dir, "r1"), "policy:p.star")
			heldBy(t, leasesOf(dir, "r2").try("policy:p.star"), "r1")
		})
	}
}

func TestNamesOfLeasesStayInTheirFolderEachByItself(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one := leasesOf(dir, "r1")
	for _, name := range []string{"policy:/a/x.star", "policy:/b/x.star", "asset:../../erp", "asset:..", "target:Ü"} {
		mustTry(t, one, name)
		heldBy(t, leasesOf(dir, "r2").try(name), "r1")
	}
	files, err := os.ReadDir(filepath.Join(dir, "leases"))
	if err != nil || len(files) != 5 {
		t.Errorf("got %v, %v", files, err)
	}
}

// waking is a clock whose sleep does something in place of the time that passes.
type waking struct {
	*VirtualClock
	nap func(time.Duration)
}

func (w *waking) Sleep(ctx context.Context, d time.Duration) error {
	w.nap(d)
	return w.VirtualClock.Sleep(ctx, d)
}

// waiting is a step of run r2 that finds one of its leases held by r1.
func waiting(t *testing.T, dir string, nap func(time.Duration)) (*Step, *[]string) {
	t.Helper()
	said := &[]string{}
	cfg, _ := newBench(t, "def main():\n    pass\n")
	cfg.State, cfg.Header.ID = dir, "r2"
	cfg.Clock = &waking{NewVirtualClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), nap}
	cfg.Observe = func(e Event) { *said = append(*said, e.Kind+" "+e.Primitive+" "+e.Text) }
	r := newRun(*cfg)
	r.openLeases()
	return &Step{ID: "/0", Run: "r2", run: r, name: "make", marks: map[string]string{}}, said
}

func TestAStepWaitsUntilTheOtherRunLetsGoAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other := leasesOf(dir, "r1")
	mustTry(t, other, "target:b")
	var naps []time.Duration
	s, said := waiting(t, dir, func(d time.Duration) {
		if naps = append(naps, d); len(naps) == 9 {
			other.release("target:b")
		}
	})
	release, err := s.Hold(t.Context(), "target:c", "target:b", "target:a", "target:b")
	if err != nil {
		t.Fatal(err)
	}
	if len(naps) != 9 || naps[0] != 20*time.Millisecond || naps[8] != time.Second {
		t.Errorf("it waited %v", naps)
	}
	if want := []string{"wait make waiting: target:b is held by run r1 (pid 7 on h)"}; !slices.Equal(*said, want) {
		t.Errorf("got %q, want %q", *said, want)
	}
	for _, n := range []string{"target:a", "target:b", "target:c"} {
		heldBy(t, other.try(n), "r2")
	}
	release()
	for _, n := range []string{"target:a", "target:b", "target:c"} {
		mustTry(t, other, n)
	}
}

func TestAStepThatIsStoppedWhileItWaitsHoldsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other := leasesOf(dir, "r1")
	mustTry(t, other, "target:b")
	ctx, stop := context.WithCancelCause(t.Context())
	s, _ := waiting(t, dir, func(time.Duration) { stop(ErrInterrupted) })
	_, err := s.Hold(ctx, "target:b", "target:a")
	if !failure.Is(err, failure.Cancelled) || !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "target:b is held by run r1") {
		t.Errorf("got %v", err)
	}
	mustTry(t, other, "target:a")
}

func TestARunIsAliveAsLongAsItsProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	alive := func(run, any string) {
		t.Helper()
		if got := AnyAlive(dir); got != any {
			t.Errorf("AnyAlive is %q, want %q", got, any)
		}
		if got := Alive(dir, run); got != (any != "") {
			t.Errorf("Alive(%s) is %t", run, got)
		}
	}
	alive("r1", "")
	one := leasesOf(dir, "r1")
	mustTry(t, one, "policy:p.star")
	alive("r1", "")
	mustTry(t, one, "run:r1")
	alive("r1", "r1")
	alive("r1", "r1") // to ask does not take it away
	if Alive(dir, "r") || Alive(dir, "r11") {
		t.Error("a run that never was is alive")
	}
	left := one.held["run:r1"].file.Name()
	one.held["run:r1"].file.Close() // what a kill leaves: the file
	if _, err := os.Stat(left); err != nil {
		t.Fatal(err)
	}
	alive("r1", "")
	one.close()
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of a run that ended is left: %v", err)
	}
}

// What is held outside of a run keeps a run waiting, and is refused to another one.
func TestALeaseOutsideOfARun(t *testing.T) {
	dir := t.TempDir()
	release, err := Hold(dir, Holder{Run: "media eject", Host: "here", PID: 7}, "target:usb")
	if err != nil {
		t.Fatal(err)
	}
	var busy *BusyError
	if _, err := Hold(dir, Holder{}, "target:usb"); !errors.As(err, &busy) || busy.Holder.Run != "media eject" {
		t.Errorf("got %v, want that it is held", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	again, err := Hold(dir, Holder{}, "target:usb")
	if err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Fatal(err)
	}
}
