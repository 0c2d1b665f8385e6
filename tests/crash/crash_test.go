package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// seed chooses where runs are killed; CRASH_SEED=N repeats a failure.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	n := rand.Uint64()
	if text := os.Getenv("CRASH_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CRASH_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// undisturbed is a night to hold others against, and how much is said in one: the
// second on this site, because the first leaves the program on the targets.
func (s *site) undisturbed(t *testing.T) (want night, events int, size int64) {
	t.Helper()
	first := s.night(t, nightly)
	s.settled(t, first)
	nextSecond(t)
	s.meter.arm(0, nil)
	c := s.start(nil, "exec", nightly)
	if code := c.wait(t); code != 0 {
		t.Fatalf("got exit code %d\n%s", code, c.said())
	}
	r := s.shown(t, &c.out)
	s.settled(t, r)
	if len(r.Items) != 4 || r.Result != "ok" {
		t.Fatalf("an undisturbed night: %s", r.sum(nil))
	}
	return newNight(nightly, first, r), len(c.events), s.meter.passed()
}

func TestKilledAtEvents(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	want, events, _ := s.undisturbed(t)
	for _, n := range []int{1, 2, 3, 4, 6, 8, 10, 13, 16, 19, 22, 25, events - 2, events - 1, events} {
		t.Run(fmt.Sprintf("event %d of %d", n, events), func(t *testing.T) {
			s.same(t, want, death{event: n})
		})
	}
	t.Logf("%d deaths", s.died)
	if s.died < 12 {
		t.Errorf("got %d deaths, want 12 or more", s.died)
	}
}

func TestKilledAtBytes(t *testing.T) {
	t.Parallel()
	r := seed(t)
	s := newSite(t)
	want, events, size := s.undisturbed(t)
	at := func() int64 { return 1 + r.Int64N(size) }
	for i := range 6 {
		n := size*int64(i)/6 + r.Int64N(size/6) + 1
		t.Run(fmt.Sprintf("byte %d of %d", n, size), func(t *testing.T) {
			s.same(t, want, death{bytes: n})
		})
	}
	for range 3 {
		a, b := at(), at()
		t.Run(fmt.Sprintf("bytes %d and %d", a, b), func(t *testing.T) {
			s.same(t, want, death{bytes: a}, death{bytes: b})
		})
	}
	t.Run("early again and again", func(t *testing.T) {
		s.same(t, want, death{event: 3}, death{bytes: 3000}, death{event: 2}, death{event: 8}, death{bytes: at() / 4})
	})
	for _, d := range []death{{event: 2}, {event: events / 2}, {bytes: at()}} {
		d.sig = syscall.SIGINT
		t.Run(fmt.Sprintf("Ctrl-C at event %d or byte %d", d.event, d.bytes), func(t *testing.T) {
			s.same(t, want, d)
		})
	}
	t.Logf("%d deaths", s.died)
	if s.died < 12 {
		t.Errorf("got %d deaths, want 12 or more", s.died)
	}
}

// The first night on a medium leaves the program there, too.
func TestKilledInTheFirstNight(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r := s.night(t, nightly, death{bytes: 4 << 20}, death{bytes: 20 << 20}, death{bytes: 1 << 20})
	s.settled(t, r)
	if s.died < 2 {
		t.Errorf("got %d deaths, want 2 or more", s.died)
	}
	for id, n := range s.archives(t) {
		if n != 1 {
			t.Errorf("guest %s was dumped %d times, want once", id, n)
		}
	}
}

// Every procedure of the night is taken up where it was: rescue images, zones,
// firewalls, secrets and logs as well as guests.
func TestAWholeNightThatDiesIsTakenUp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.night(t, everything)
	s.settled(t, first)
	nextSecond(t)
	second := s.night(t, everything)
	s.settled(t, second)
	want := newNight(everything, first, second)
	if second.Result != "ok" || len(second.Items) < 10 || len(want.alike) < 5 {
		t.Fatalf("an undisturbed night: %s", want.sum)
	}
	for _, deaths := range [][]death{
		{{event: 2}}, {{event: 9}}, {{event: 17}}, {{event: 31}}, {{event: 47}}, {{event: 60}}, {{event: 25}, {event: 25}, {event: 20}},
		{{bytes: 100 << 10}}, {{bytes: 3 << 20}},
	} {
		t.Run(fmt.Sprint(deaths), func(t *testing.T) {
			s.same(t, want, deaths...)
		})
	}
	if s.died < 8 {
		t.Errorf("got %d deaths, want 8 or more", s.died)
	}
}
