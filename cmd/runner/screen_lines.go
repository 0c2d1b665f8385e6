package main

import (
	"fmt"
	"os"
	"strings"
	"unicode"

	"github.com/neosofia/runner/runtime/report"
	"golang.org/x/term"
)

// fit breaks a line between words; further lines begin below so many columns.
func fit(line string, room, below int) (out []string) {
	room = max(30, room)
	indent := strings.Repeat(" ", below)
	for columns(line) > room {
		cut, at, seen := 0, 0, 0
		for i, r := range line {
			if at = escape(line, i, at); at > i {
				continue
			}
			if seen++; seen > room+1 {
				break
			}
			if r == ' ' && seen > below+1 {
				cut = i
			}
		}
		if cut == 0 {
			break // one word
		}
		out = append(out, strings.TrimRight(line[:cut], " "))
		line = indent + strings.TrimLeft(line[cut:], " ")
	}
	return append(out, line)
}

// fitted breaks the lines of a message where a terminal is narrower; those of a policy,
// which are indented, stay as they are.
func fitted(text string, out *os.File) string {
	w, _, err := term.GetSize(int(out.Fd()))
	if err != nil || w <= 0 {
		return text
	}
	var lines []string
	for _, l := range strings.Split(text, "\n") {
		if strings.HasPrefix(l, " ") {
			lines = append(lines, l)
			continue
		}
		below := 0
		for _, head := range []string{"runner: ", "hint: "} {
			if strings.HasPrefix(l, head) {
				below = len(head)
			}
		}
		lines = append(lines, fit(l, w, below)...)
	}
	return strings.Join(lines, "\n")
}

// document breaks the lines of a longer text where a terminal is narrower: below the text
// of a row of a table, else below its own beginning. Code, which is indented by four,
// stays as it is.
func document(text string, out *os.File) string {
	w, _, err := term.GetSize(int(out.Fd()))
	if err != nil || w <= 0 {
		return text
	}
	return narrowed(text, w)
}

func narrowed(text string, w int) string {
	var lines []string
	for _, l := range strings.Split(text, "\n") {
		if strings.HasPrefix(l, "    ") {
			lines = append(lines, l)
			continue
		}
		begins := len(l) - len(strings.TrimLeft(l, " "))
		for i, last := begins, min(len(l), 34); i+2 < last; i++ {
			if l[i:i+2] == "  " && l[i+2] != ' ' {
				begins = i + 2
			}
		}
		if w-begins < 20 {
			begins = 4
		}
		lines = append(lines, fit(l, w, begins)...)
	}
	return strings.Join(lines, "\n")
}

// sheet prints what a verb found on standard output; on a terminal the lines fit it.
type sheet struct{ lab string }

func (s sheet) print(head, text string) {
	lines := []string{head + text}
	if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && w > 0 {
		lines = fit(head+text, w-len(s.lab), len(head))
	}
	for _, l := range lines {
		fmt.Println(strings.TrimRight(s.lab+l, " "))
	}
}

// escape is where a colour ends that begins at i; done is where the last one did.
func escape(s string, i, done int) int {
	if strings.HasPrefix(s[i:], "\x1b[") {
		if n := strings.IndexByte(s[i:], 'm'); n >= 0 {
			return i + n + 1
		}
	}
	return done
}

// columns is how wide a line is, without its colours.
func columns(s string) (n int) {
	done := 0
	for i := range s {
		if done = escape(s, i, done); done <= i {
			n++
		}
	}
	return n
}

// plain cleans each line of a text.
func plain(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = report.Clean(l)
	}
	return strings.Join(lines, "\n")
}

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
