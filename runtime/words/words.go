// Package words says durations and sizes, the same on every screen, in logs and in errors:
// "0.8 s", "3 min 5 s", "90 d", "4.9 MiB". It imports nothing of runner.
package words

import (
	"fmt"
	"regexp"
	"time"
)

const day = 24 * time.Hour

// Age says how old something is: "45 min", "26 h", "3 d".
func Age(d time.Duration) string {
	switch {
	case d < 0:
		return "in the future"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/day)
}

// Span says a stated duration in its largest whole unit: "1 d", "25 y", "90 min", "5 s".
func Span(d time.Duration) string {
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{365 * day, "y"}, {day, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}} {
		if d >= u.of && d%u.of == 0 {
			return fmt.Sprintf("%d %s", d/u.of, u.name)
		}
	}
	return Took(d)
}

// Took says how long something lasted: "0.2 s", "3 min 5 s", "1 h 5 min".
func Took(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
}

// Clock says what a running clock shows: "0:41", "41:10", "1:02:03".
func Clock(d time.Duration) string {
	s := int(max(0, d) / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// Roughly says an estimated duration without false precision: "40 s", "16 min", "3 h".
func Roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", (d+30*time.Second)/time.Minute)
	}
	return fmt.Sprintf("%d h", (d+30*time.Minute)/time.Hour)
}

// recorded is a duration as the ledger keeps it in the arguments of a call.
var recorded = regexp.MustCompile(`^([0-9]+h)?([0-9]+m)?[0-9.]+s$`)

// Argument says a recorded argument: a duration as Span does, anything else as it is.
func Argument(text string) string {
	if recorded.MatchString(text) {
		if d, err := time.ParseDuration(text); err == nil {
			return Span(d)
		}
	}
	return text
}

// Size says bytes in binary units: "999 B", "4.9 MiB".
func Size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for f >= 1024 && unit < 5 {
		f, unit = f/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", f, " KMGTP"[unit])
}
