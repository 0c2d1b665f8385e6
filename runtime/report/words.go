package report

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/words"
)

const day = 24 * time.Hour

// Durations and sizes, as on every screen.
var (
	age     = words.Age
	span    = words.Span
	took    = words.Took
	roughly = words.Roughly
	size    = words.Size
)

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
	if p.Borrowed() {
		ours := p
		ours.Foreign, ours.Lost = false, false
		return proofWords(ours) + map[bool]string{true: ", foreign", false: ", of a lost ledger"}[p.Foreign]
	}
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
