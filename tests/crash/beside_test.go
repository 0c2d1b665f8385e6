package crash

import (
	"strings"
	"syscall"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
)

// hourly is a second policy over one asset of the nightly.
const hourly = "testdata/hourly.star"

// beginAndStop starts the hourly policy and stops it in its first backup, while it
// holds the guest.
func (s *site) beginAndStop(t *testing.T) *child {
	t.Helper()
	stopped := make(chan bool, 1)
	s.meter.arm(0, nil)
	c := s.start(func(c *child, e event) {
		if e.Event == "begin" && e.Primitive == "snapshot_vm" {
			c.signal(syscall.SIGSTOP)
			stopped <- true
		}
	}, "exec", hourly)
	select {
	case <-stopped:
	case <-c.done:
		t.Fatalf("the hourly ended:\n%s", c.said())
	}
	return c
}

// beginWaiting starts the nightly and returns when it waits for the other run.
func (s *site) beginWaiting(t *testing.T) *child {
	t.Helper()
	waits := make(chan string, 100)
	c := s.start(func(_ *child, e event) {
		if e.Event == "wait" {
			waits <- e.Text
		}
	}, "exec", nightly)
	select {
	case text := <-waits:
		if !strings.Contains(text, "is held by run ") || !strings.Contains(text, "mail") {
			t.Errorf("got %q, want the lease and its holder", text)
		}
	case <-c.done:
		t.Fatalf("the nightly ended without waiting:\n%s", c.said())
	}
	return c
}

func TestTwoRunsOverOneAssetWaitForEachOther(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	slow := lab.Fault{On: "vzdump 101", Do: "slow 1100ms"} // a storage names archives by the second
	if err := s.lab.Inject(slow); err != nil {
		t.Fatal(err)
	}
	first := s.beginAndStop(t)
	night := s.beginWaiting(t)
	first.signal(syscall.SIGCONT)
	if code := first.wait(t); code != 0 {
		t.Fatalf("the hourly: got exit code %d\n%s", code, first.said())
	}
	if code := night.wait(t); code != 0 {
		t.Fatalf("the nightly: got exit code %d\n%s", code, night.said())
	}
	s.settled(t, s.shown(t, &night.out))
	got := s.archives(t)
	if got["101"] != 2 || got["100"] != 1 || got["102"] != 1 || got["103"] != 1 {
		t.Errorf("got archives %v, want two of 101 and one of the others", got)
	}
}

func TestARunThatDiesLetsTheOtherGoOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.beginAndStop(t)
	night := s.beginWaiting(t)
	first.kill()
	if code := first.wait(t); code != -1 {
		t.Fatalf("the hourly: got exit code %d, want it killed", code)
	}
	if code := night.wait(t); code != 0 {
		t.Fatalf("the nightly: got exit code %d\n%s", code, night.said())
	}
	s.ask(0, "resume")
	s.settled(t, s.shown(t, &night.out))
	if run := s.waiting(); run != "" {
		t.Errorf("run %s is still waiting", run)
	}
}
