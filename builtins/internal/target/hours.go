package target

import (
	"fmt"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/failure"
)

// Hours are a part of every day, in local time. They may pass midnight. The zero value is
// the whole day.
type Hours struct{ From, To time.Duration } // since midnight

// ParseHours reads "22:00-06:00"; "" is the whole day.
func ParseHours(s string) (h Hours, err error) {
	if s == "" {
		return h, nil
	}
	from, to, ok := strings.Cut(s, "-")
	for i, part := range []string{from, to} {
		t, err := time.Parse("15:04", strings.TrimSpace(part))
		if err != nil || !ok {
			return Hours{}, fmt.Errorf("%q: want hours of the day, from and to: 22:00-06:00", s)
		}
		since := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
		if i == 0 {
			h.From = since
		} else {
			h.To = since
		}
	}
	if h.From == h.To {
		return Hours{}, fmt.Errorf("%q: it ends when it begins", s)
	}
	return h, nil
}

// Has reports that a moment is within the hours.
func (h Hours) Has(t time.Time) bool {
	if h == (Hours{}) {
		return true
	}
	since := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second
	if h.From < h.To {
		return h.From <= since && since < h.To
	}
	return h.From <= since || since < h.To
}

// String is what ParseHours reads.
func (h Hours) String() string {
	if h == (Hours{}) {
		return ""
	}
	clock := func(d time.Duration) string { return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60) }
	return clock(h.From) + "-" + clock(h.To)
}

// inWindow holds that the target may be written now.
func (t *Target) inWindow() error {
	if t.spec.Window.Has(t.env.Now().Local()) {
		return nil
	}
	return &failure.Error{Code: CodeWindow, System: system(t.spec.Name), Doing: "write",
		Said: "it is written from " + strings.Replace(t.spec.Window.String(), "-", " to ", 1) + " alone",
		Hint: "what was sent stays there; runner retry within these hours sends the rest"}
}
