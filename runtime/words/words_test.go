package words

import (
	"testing"
	"time"
)

func TestDurationsAndSizes(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Age(-time.Second), "in the future"}, {Age(0), "0 min"}, {Age(119 * time.Minute), "119 min"}, {Age(26 * time.Hour), "26 h"},
		{Age(90 * day), "90 d"},
		{Span(90 * day), "90 d"}, {Span(2160 * time.Hour), "90 d"}, {Span(25 * 365 * day), "25 y"}, {Span(36 * time.Hour), "36 h"},
		{Span(90 * time.Minute), "90 min"}, {Span(5 * time.Second), "5 s"}, {Span(0), "0.0 s"}, {Span(1500 * time.Millisecond), "1.5 s"},
		{Took(811 * time.Millisecond), "0.8 s"}, {Took(16500 * time.Millisecond), "16 s"}, {Took(185 * time.Second), "3 min 5 s"},
		{Took(65 * time.Minute), "1 h 5 min"},
		{Clock(41 * time.Second), "0:41"}, {Clock(41*time.Minute + 10*time.Second), "41:10"}, {Clock(3723 * time.Second), "1:02:03"},
		{Clock(-time.Second), "0:00"},
		{Roughly(40 * time.Second), "40 s"}, {Roughly(16*time.Minute + 20*time.Second), "16 min"}, {Roughly(170 * time.Minute), "3 h"},
		{Argument("2160h0m0s"), "90 d"}, {Argument("30m0s"), "30 min"}, {Argument("1.5s"), "1.5 s"},
		{Argument("erp"), "erp"}, {Argument("1h"), "1h"},
		{Size(0), "0 B"}, {Size(1023), "1023 B"}, {Size(1024), "1.0 KiB"}, {Size(5 << 20), "5.0 MiB"}, {Size(1 << 62), "4096.0 PiB"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
