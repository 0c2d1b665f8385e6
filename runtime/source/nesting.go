package source

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/syntax"
)

// MaxNesting bounds how deep brackets, blocks and expressions of a file stand within
// one another. Parser, resolver and compiler call themselves for each level, and a
// stack that overflows ends the process.
const MaxNesting = 500

// LimitError says that a file is nested deeper than MaxNesting.
type LimitError struct {
	Pos  syntax.Position
	What string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: the nesting of %s is limited to %d", e.Pos, e.What, MaxNesting)
}

// SyntaxError is an error of the parser, with the line that it is in.
type SyntaxError struct {
	Err   syntax.Error
	quote string
}

func (e *SyntaxError) Error() string { return e.Err.Error() + e.quote }

// Unwrap gives the error of the parser.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Quote is the line of a text at a position, with a caret below the column, to be put
// behind a message; "" where the text has no such line.
func Quote(text []byte, pos syntax.Position) string {
	lines := strings.Split(string(text), "\n")
	n := int(pos.Line)
	if n < 1 || n > len(lines) || strings.TrimSpace(lines[n-1]) == "" {
		return ""
	}
	return Caret(strings.TrimRight(lines[n-1], "\r"), pos)
}

// Caret is a line that was read before, quoted in the same way.
func Caret(line string, pos syntax.Position) string {
	return fmt.Sprintf("\n    %s\n    %s^", strings.ReplaceAll(line, "\t", " "), strings.Repeat(" ", max(0, int(pos.Col)-1)))
}

// Parse reads one file in the dialect of policies.
func Parse(name string, text []byte) (*syntax.File, error) {
	if err := nested(name, string(text)); err != nil {
		return nil, err
	}
	f, err := Options().Parse(name, text, 0)
	if err != nil {
		var wrong syntax.Error
		if errors.As(err, &wrong) {
			return nil, &SyntaxError{wrong, Quote(text, wrong.Pos)}
		}
		return nil, err
	}
	depth := 0
	var deep *LimitError
	syntax.Walk(f, func(n syntax.Node) bool {
		if n == nil {
			depth--
			return true
		}
		if depth++; depth > MaxNesting && deep == nil {
			start, _ := n.Span()
			deep = &LimitError{start, "expressions"}
		}
		return true
	})
	if deep != nil {
		return nil, deep
	}
	return f, nil
}

// nested looks at a text before the parser does: at brackets that are open at once,
// at the width of indentation, and within one statement at what makes the parser call
// itself without a bracket: not, lambda, else, and signs that follow one another.
func nested(name, text string) error {
	s := scan{name: name, line: 1, col: 1, text: text}
	for s.text != "" {
		if err := s.step(); err != nil {
			return err
		}
	}
	return nil
}

type scan struct {
	name      string
	line, col int32
	text      string
	open      []level // brackets, with what was around each
	level             // within the innermost
	indent    []int   // columns of the blocks that are open
	began     bool    // a token of this line was seen
}

// level is what nests without a bracket. A comma ends it, but for one between the
// parameters of a lambda.
type level struct {
	within int
	params bool
}

func (s *scan) next(n int) {
	for _, c := range s.text[:n] {
		s.col++
		if c == '\n' {
			s.line, s.col = s.line+1, 1
		}
	}
	s.text = s.text[n:]
}

func (s *scan) over(n int, what string) error {
	if n <= MaxNesting {
		return nil
	}
	return &LimitError{syntax.MakePosition(&s.name, s.line, s.col), what}
}

func (s *scan) step() error {
	c := s.text[0]
	var err error
	if !s.began && len(s.open) == 0 && c != ' ' && c != '\t' && c != '\n' && c != '#' && c != '\r' {
		s.began = true
		for len(s.indent) > 0 && s.indent[len(s.indent)-1] >= int(s.col) {
			s.indent = s.indent[:len(s.indent)-1]
		}
		s.indent = append(s.indent, int(s.col))
		err = s.over(len(s.indent), "blocks")
	}
	n := 1
	switch {
	case c == '\n':
		if len(s.open) == 0 {
			s.level, s.began = level{}, false
		}
	case c == '#':
		if n = strings.IndexByte(s.text, '\n'); n < 0 {
			n = len(s.text)
		}
	case c == '"' || c == '\'':
		n = literal(s.text)
	case c == '(' || c == '[' || c == '{':
		s.open, s.level = append(s.open, s.level), level{}
		err = s.over(len(s.open), "brackets")
	case c == ')' || c == ']' || c == '}':
		if last := len(s.open) - 1; last >= 0 {
			s.level, s.open = s.open[last], s.open[:last]
		}
	case c == ',' && !s.params, c == ';':
		s.level = level{}
	case c == ':':
		s.params = false
	case c == '-' || c == '+' || c == '~': // a sum of so many terms is as deep
		s.within++
	case letter(c):
		for n < len(s.text) && (letter(s.text[n]) || s.text[n] >= '0' && s.text[n] <= '9') {
			n++
		}
		switch s.text[:n] {
		case "lambda":
			s.within, s.params = s.within+1, true
		case "not", "else":
			s.within++
		}
	}
	if err == nil {
		err = s.over(s.within, "expressions")
	}
	s.next(n)
	return err
}

func letter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// literal is the length of the string that a text begins with.
func literal(text string) int {
	end := text[:1]
	if strings.HasPrefix(text, strings.Repeat(end, 3)) {
		end = text[:3]
	}
	for i := len(end); i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case strings.HasPrefix(text[i:], end):
			return i + len(end)
		case len(end) == 1 && text[i] == '\n':
			return i // not ended: the parser says so
		}
	}
	return len(text)
}
