package target_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/target"
	. "github.com/neosofia/runner/builtins/internal/target/targettest"
)

func TestHoursOfTheDay(t *testing.T) {
	at := func(clock string) time.Time {
		c, err := time.ParseInLocation("2006-01-02 15:04", "2026-11-28 "+clock, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for text, c := range map[string]struct{ in, out []string }{
		"":            {[]string{"00:00", "12:00", "23:59"}, nil},
		"22:00-06:00": {[]string{"22:00", "23:59", "00:00", "05:59"}, []string{"06:00", "12:00", "21:59"}},
		"01:30-04:00": {[]string{"01:30", "03:59"}, []string{"01:29", "04:00", "00:00"}},
	} {
		h, err := target.ParseHours(text)
		if err != nil || h.String() != text {
			t.Fatalf("%q: got %v, %v", text, h, err)
		}
		for _, clock := range c.in {
			if !h.Has(at(clock)) {
				t.Errorf("%q: %s is not in it", text, clock)
			}
		}
		for _, clock := range c.out {
			if h.Has(at(clock)) {
				t.Errorf("%q: %s is in it", text, clock)
			}
		}
	}
	for _, text := range []string{"22:00", "22-06", "25:00-06:00", "night", "06:00-06:00", "22:00-06:00-07:00"} {
		if h, err := target.ParseHours(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, h)
		}
	}
}

// What was sent when the hours end stays, and the next ones go on there.
func TestATargetIsWrittenInItsHoursAlone(t *testing.T) {
	now := time.Date(2026, 11, 28, 5, 59, 0, 0, time.Local)
	hours, err := target.ParseHours("22:00-06:00")
	if err != nil {
		t.Fatal(err)
	}
	dir := newFolder(t)
	tgt, err := folder(t, dir, Stick(), func(s *target.Spec, e *target.Env) {
		s.Window, s.PartSize = hours, 1000
		e.Now = func() time.Time { now = now.Add(time.Second); return now }
	})
	if err != nil {
		t.Fatal(err)
	}
	src := Source(File{Name: "a.raw", Data: Bytes(1, 100_000)})
	o := target.Copy(t.Context(), src, []*target.Target{tgt})[0]
	Refused(t, o.Err, target.CodeWindow)
	if parts, err := filepath.Glob(filepath.Join(dir, ".runner-parts", "*", "a.raw.*")); err != nil || len(parts) == 0 {
		t.Errorf("got %v, %v: what was sent has to stay", parts, err)
	}
	now = time.Date(2026, 11, 28, 22, 0, 0, 0, time.Local)
	if o := One(t, src, tgt); o.Resumed == 0 {
		t.Error("nothing was taken up")
	}
}
