package kind

import (
	"fmt"
	"strings"
	"unicode"
)

// shownChanges is how many changes the record of an export shows.
const shownChanges = 5

// FirstChanges is what the ledger shows of an export's changes.txt: since when,
// and the first few, cut and printable; "" where nothing changed.
func FirstChanges(file []byte) string {
	if len(file) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(file)), "\n")
	show := lines[:min(1+shownChanges, len(lines))]
	for i, l := range show {
		show[i] = CutLine(strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return '\uFFFD'
			}
			return r
		}, strings.TrimSpace(l)))
	}
	if more := len(lines) - len(show); more > 0 {
		show = append(show[:len(show):len(show)], fmt.Sprintf("%d more changes", more))
	}
	return strings.Join(show, "\n")
}

// CutLine is a line of at most 160 bytes and a bit, for a record or a screen.
func CutLine(s string) string {
	if len(s) > 160 {
		return strings.ToValidUTF8(s[:160], "") + "…"
	}
	return s
}
