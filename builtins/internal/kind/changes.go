package kind

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

// ChangesFile is the file of an export that says what differs from the one before.
const ChangesFile = "changes.txt"

// shownChanges is how many lines the record of an export shows of its changes.
const shownChanges = 5

// Changes is what the ledger, the manifests and the log say of an export's
// changes.txt: since when, and how many there are in which sections; "" where nothing
// changed. These are read where the copies are sealed, too: no value of an export is
// in them. sections names the section of each change.
func Changes(since time.Time, sections []string) string {
	if len(sections) == 0 {
		return ""
	}
	count := map[string]int{}
	for _, s := range sections {
		count[showable(s)]++
	}
	lines := []string{"since " + since.UTC().Format(time.RFC3339) + ":"}
	names := slices.Sorted(maps.Keys(count))
	for _, n := range names[:min(shownChanges, len(names))] {
		lines = append(lines, CutLine(fmt.Sprintf("%d in %s", count[n], n)))
		delete(count, n)
	}
	if len(count) > 0 {
		rest := 0
		for _, n := range count {
			rest += n
		}
		lines = append(lines, fmt.Sprintf("%d in %d other sections", rest, len(count)))
	}
	return strings.Join(lines, "\n")
}

func showable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, strings.TrimSpace(s))
}

// CutLine is a line of at most 160 bytes and a bit, for a record or a screen.
func CutLine(s string) string {
	if len(s) > 160 {
		return strings.ToValidUTF8(s[:160], "") + "…"
	}
	return s
}
