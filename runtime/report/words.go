package report

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/neosofia/runner/runtime/ledger"
)

const day = 24 * time.Hour

// age says how old something is: "45 min", "26 h", "3 d".
func age(d time.Duration) string {
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

// span says a stated duration in its largest whole unit: "1 d", "25 y", "90 min".
func span(d time.Duration) string {
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{365 * day, "y"}, {day, "d"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if d >= u.of && d%u.of == 0 {
			return fmt.Sprintf("%d %s", d/u.of, u.name)
		}
	}
	return took(d)
}

// took says how long something lasted: "0.2 s", "3 min 5 s", "1 h 5 min".
func took(d time.Duration) string {
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

// size says bytes in binary units.
func size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for f >= 1024 && unit < 5 {
		f, unit = f/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", f, " KMGTP"[unit])
}

// when says a time in UTC, with the local one beside it.
func when(t time.Time, zone *time.Location) string {
	utc := t.UTC().Format("2006-01-02 15:04 UTC")
	if zone == nil {
		zone = time.Local
	}
	local := t.In(zone)
	if _, offset := local.Zone(); offset == 0 {
		return utc
	}
	if local.YearDay() != t.UTC().YearDay() {
		return utc + local.Format(" (2006-01-02 15:04 MST)")
	}
	return utc + local.Format(" (15:04 MST)")
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02") }

// proofWords says what is proven of a copy.
func proofWords(p ledger.Proven) string {
	if p.Lacks != nil {
		alone := p
		alone.Level, alone.Lacks = p.Own, nil
		return proofWords(alone) + ", but it needs " + lackWords(p.Lacks, -1)
	}
	switch {
	case p.Level < ledger.Stored:
		return "unproven"
	case p.Level == ledger.Stored:
		return "stored (not read back)"
	case p.Level == ledger.Read && p.Opened && len(p.SealedTo) > 0:
		return "read, opened before sealing"
	}
	return ledger.LevelName(p.Level)
}

// lackWords says which artifact a copy needs and what is proven of that one on the
// same target, where want is demanded; -1: nothing is.
func lackWords(l *ledger.Lack, want int) string {
	what := "the earlier archive"
	if l.Full {
		what = "the full archive"
	}
	if l.Taken.IsZero() {
		what = "the archive " + l.Artifact
	} else {
		what += " of " + date(l.Taken)
	}
	switch {
	case l.Circle:
		return what + ", which needs it in turn: nothing brings them back"
	case l.Level < ledger.Read:
		return what + ", which is not proven there"
	case want < 0:
		return what + ", which is only " + ledger.LevelName(l.Level) + " there"
	}
	return fmt.Sprintf("%s, which is %s there, demanded: %s", what, ledger.LevelName(l.Level), ledger.LevelName(want))
}

// Clean makes a text that somebody else wrote fit for a terminal: nothing in it
// moves the cursor or hides what follows. Lines become one.
func Clean(s string) string { return clean(s) }

// clean makes text of systems and policies safe for a terminal: one line, no
// control characters, no marks that reorder it.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return '\uFFFD'
		}
		return r
	}, s)
}
