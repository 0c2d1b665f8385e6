package report

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/neosofia/runner/runtime/ledger"
)

// TextOptions say what a text is for.
type TextOptions struct {
	Width int            // columns of the terminal; 0: 100
	Wide  bool           // there is no terminal: rows of tables stay on one line, for who searches them
	Color bool           // mark results with colours
	More  bool           // everything that is known, not only what to act on
	Flags string         // of this invocation: commands that are printed carry them, "--state st"
	Zone  *time.Location // of the local time that stands beside UTC; nil: the machine's
}

// printer writes lines, each marked when they are of the lab.
type printer struct {
	w    *bufio.Writer
	o    TextOptions
	mark string
}

func newPrinter(w io.Writer, o TextOptions, lab bool) *printer {
	p := &printer{w: bufio.NewWriter(w), o: o}
	if p.o.Width == 0 {
		p.o.Width = 100
	}
	if lab {
		p.mark = "LAB  "
	}
	return p
}

func (p *printer) line(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), " ")
	fmt.Fprintln(p.w, strings.TrimRight(p.mark+text, " "))
}

// wrap writes text behind a head, its further lines below its first.
func (p *printer) wrap(head, text string) {
	indent := strings.Repeat(" ", width(unpainted(head)))
	for _, l := range broken(text, p.o.Width-len(p.mark)-len(indent)) {
		p.line("%s%s", head, l)
		head = indent
	}
}

// broken is a text in lines of so many columns.
func broken(text string, room int) (lines []string) {
	room = max(20, room)
	words := strings.Fields(clean(text))
	for len(words) > 0 {
		line := words[0]
		words = words[1:]
		for len(words) > 0 && width(line)+1+width(words[0]) <= room {
			line += " " + words[0]
			words = words[1:]
		}
		lines = append(lines, line)
	}
	return lines
}

// table writes rows in columns; a cell of a later column is not padded. What does not fit
// goes on below, the last cell below itself where there is room.
func (p *printer) table(indent string, rows [][]string) {
	var cols []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(cols) {
				cols = append(cols, 0)
			}
			cols[i] = max(cols[i], width(clean(cell)))
		}
	}
	for _, r := range rows {
		p.row(indent, cols, r)
	}
}

func (p *printer) row(indent string, cols []int, cells []string) {
	room := p.o.Width - len(p.mark)
	below := indent + strings.Repeat(" ", min(cols[0]+2, room/3))
	line, at := indent, width(indent)
	for i, cell := range cells {
		cell = clean(cell)
		last := i == len(cells)-1
		if i > 0 && at+width(cell) > room && cell != "" && !p.o.Wide {
			if !last || room-at < max(24, (width(cell)+1)/2) { // a column of many short lines is hard to read
				p.line("%s", line)
				line, at = below, width(below)
			}
			if at+width(cell) > room {
				parts := broken(cell, room-at)
				for _, part := range parts[:len(parts)-1] {
					p.line("%s%s", line, part)
					line = strings.Repeat(" ", at)
				}
				cell = parts[len(parts)-1]
			}
		}
		line, at = line+p.paint(cell), at+width(cell)
		if !last {
			gap := max(0, cols[i]-width(cell)) + 2
			line, at = line+strings.Repeat(" ", gap), at+gap
		}
	}
	p.line("%s", line)
}

// path is a path as there is room for: its last two names where it is longer.
func (p *printer) path(s string, room int) string {
	if names := strings.Split(s, "/"); !p.o.Wide && width(s) > room && len(names) > 3 {
		return "…/" + strings.Join(names[len(names)-2:], "/")
	}
	return s
}

func width(s string) int { return utf8.RuneCountInString(s) }

// paint colours the words of results.
func (p *printer) paint(word string) string {
	code := map[string]string{ledger.OK: "32", ledger.DegradedRun: "33", ledger.Failed: "31", ledger.Interrupted: "35", Superseded: "35"}[word]
	if !p.o.Color || code == "" {
		return word
	}
	return "\x1b[" + code + "m" + word + "\x1b[0m"
}

// unpainted is a line without its colours.
func unpainted(s string) string {
	for {
		from := strings.Index(s, "\x1b[")
		if from < 0 {
			return s
		}
		to := strings.IndexByte(s[from:], 'm')
		if to < 0 {
			return s
		}
		s = s[:from] + s[from+to+1:]
	}
}

func (p *printer) flush() error { return p.w.Flush() }

// verdict writes a text in which a word stands out in the colour of a result.
func (p *printer) verdict(text, word, result string) {
	for _, l := range broken(text, p.o.Width-len(p.mark)) {
		p.line("%s", strings.Replace(l, word, strings.Replace(p.paint(result), result, word, 1), 1))
		word = ""
	}
}

// subjects is how wide the column of what faults are about may be.
const subjects = 16

// faults writes each fault once: what it is about, what is wrong, what to type.
func (p *printer) faults(found []ledger.Finding) {
	list := fold(found)
	col := 0
	for _, f := range list {
		if who, _ := f.subject(); width(clean(who)) <= subjects {
			col = max(col, width(clean(who)))
		}
	}
	for _, f := range list {
		who, text := f.subject()
		who = clean(who)
		head := "  "
		if who != "" {
			head += who + strings.Repeat(" ", max(0, col-width(who))) + "  "
		}
		p.wrap(head, text)
		indent := strings.Repeat(" ", width(head))
		if len(f.also) > 0 {
			p.wrap(indent, p.few(f.all()))
		}
		if f.Hint != "" {
			p.wrap(indent+"hint: ", f.Hint)
		}
		if f.Type != "" {
			p.toType(indent, p.command(f.command()))
		}
	}
}

// judged writes what failed, and below it which promises are open.
func (p *printer) judged(found []ledger.Finding) {
	var failed, open []ledger.Finding
	for _, f := range found {
		if f.Severity == ledger.Failed {
			failed = append(failed, f)
		} else {
			open = append(open, f)
		}
	}
	p.faults(failed)
	if n := len(fold(open)); n > 0 {
		p.line("TO DO (%d)", n)
		p.faults(open)
	}
}

// toType writes what to type. A command stays on one line: a terminal that breaks it still
// copies it whole.
func (p *printer) toType(indent, text string) {
	if at := typed.FindStringIndex(text); at != nil && at[0] == 0 {
		p.line("%stype: %s", indent, clean(text))
		return
	}
	head := "do:   "
	if command.MatchString(text) {
		head = "type: "
	}
	p.wrap(indent+head, text)
}

// command begins with a program; everything else is for people to do.
var command = regexp.MustCompile(`^(runner|pve[a-z]+|qm|pct|systemctl|timedatectl|mount|umount) `)

// typed is a command of runner at the end of a text.
var typed = regexp.MustCompile(`runner [a-z][^,;:]*$`)

// command makes a command that can be typed as it stands, here and now.
func (p *printer) command(text string) string {
	if p.o.Flags == "" || !typed.MatchString(text) {
		return text
	}
	return text + " " + p.o.Flags
}

const named = 6 // items that a screen names one by one

// few names so many items, and counts the others.
func (p *printer) few(names []string) string {
	if n := len(names) - named; n > 1 && !p.o.More {
		return strings.Join(names[:named], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ")
}
