package main

import (
	"strings"
	"unicode"
)

// shown makes a text that a medium brought such as a terminal may have: on its own
// line, without what moves the cursor, colours or turns the writing around.
func shown(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// shownLines keeps the line ends of a text, each further line begun with indent.
func shownLines(s, indent string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = shown(strings.ReplaceAll(l, "\t", " "))
	}
	return strings.Join(lines, "\n"+indent)
}
