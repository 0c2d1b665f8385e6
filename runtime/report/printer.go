package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/neosofia/runner/runtime/ledger"
)

// TextOptions say what a text is for.
type TextOptions struct {
	Width int            // columns of the terminal; 0: 100
	Color bool           // mark results with colours
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
	room := max(20, p.o.Width-len(p.mark)-len(indent))
	words := strings.Fields(clean(text))
	for len(words) > 0 {
		line := words[0]
		words = words[1:]
		for len(words) > 0 && width(line)+1+width(words[0]) <= room {
			line += " " + words[0]
			words = words[1:]
		}
		p.line("%s%s", head, line)
		head = indent
	}
}

// table writes rows in columns; a cell of a later column is not padded.
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
		var b strings.Builder
		for i, cell := range r {
			cell = clean(cell)
			b.WriteString(p.paint(cell))
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", cols[i]-width(cell)+2))
			}
		}
		p.line("%s%s", indent, b.String())
	}
}

func width(s string) int { return utf8.RuneCountInString(s) }

// paint colours the words of results.
func (p *printer) paint(word string) string {
	code := map[string]string{ledger.OK: "32", ledger.DegradedRun: "33", ledger.Failed: "31", ledger.Interrupted: "35"}[word]
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

// findings writes folded findings, each with what to type.
func (p *printer) findings(found []ledger.Finding) {
	for _, f := range fold(found) {
		p.wrap("  "+p.paint(f.Severity)+strings.Repeat(" ", max(1, 10-len(f.Severity))), f.Text)
		if len(f.also) > 0 {
			p.wrap("            ", "the same for "+strings.Join(f.also, ", "))
		}
		if f.Type != "" {
			p.wrap("            type: ", f.Type)
		}
	}
}
