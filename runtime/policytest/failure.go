package policytest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/neosofia/runner/runtime"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Failure is one expectation that a test did not meet, or a fault of the test itself.
type Failure struct {
	At     string   `json:"at,omitempty"` // file:line:col of the expectation
	Text   string   `json:"text"`
	Got    string   `json:"got,omitempty"` // of values that were compared
	Want   string   `json:"want,omitempty"`
	Policy string   `json:"policy,omitempty"` // file:line:col of the policy where it went wrong
	More   []string `json:"more,omitempty"`   // lines that explain
}

// String is the failure as a reader sees it.
func (f Failure) String() string {
	var b strings.Builder
	if f.At != "" {
		b.WriteString(f.At + ": ")
	}
	b.WriteString(f.Text)
	for _, line := range f.More {
		b.WriteString("\n  " + strings.ReplaceAll(line, "\n", "\n  "))
	}
	return b.String()
}

// Outcome is one case.
type Outcome struct {
	Name     string    `json:"name"` // file/test/case
	File     string    `json:"file"`
	Test     string    `json:"test,omitempty"` // "" of what is wrong with the file
	Case     string    `json:"case,omitempty"`
	At       string    `json:"at,omitempty"` // file:line:col of the test
	Failures []Failure `json:"failures,omitempty"`
	Millis   float64   `json:"ms"`
}

// Broken is the outcome of a file that cannot be tested.
func Broken(file string, err error) Outcome {
	return Outcome{Name: file, File: file, Failures: []Failure{failureOf(nil, err)}}
}

// callers are the places in files that a builtin is called from, innermost first.
func callers(thread *starlark.Thread) []syntax.Position {
	var out []syntax.Position
	if thread != nil {
		for i := range thread.CallStackDepth() {
			if pos := thread.CallFrame(i).Pos; pos.IsValid() && pos.Filename() != "<builtin>" {
				out = append(out, pos)
			}
		}
	}
	if len(out) == 0 {
		out = append(out, syntax.Position{})
	}
	return out
}

func place(pos syntax.Position) string {
	if !pos.IsValid() {
		return ""
	}
	return pos.String()
}

// failureOf places an error out of Starlark: source line, caret and the calls that led
// there follow it.
func failureOf(p *runtime.Program, err error) Failure {
	if p != nil {
		err = p.Trace(err)
	}
	var t *runtime.Trace
	if !errors.As(err, &t) {
		return Failure{Text: err.Error()}
	}
	f := Failure{At: place(t.Position()), Text: t.Err.Error()}
	if more := strings.TrimPrefix(t.Details(), t.Error()); more != "" {
		f.More = strings.Split(strings.TrimPrefix(more, "\n"), "\n")
	}
	return f
}

// fail notes a failure at the line of the test.
func (t *tester) fail(thread *starlark.Thread, f Failure) {
	from := callers(thread)
	f.At = place(from[0])
	for _, pos := range from[1:] {
		f.More = append(f.More, "called from "+pos.String())
	}
	t.failures = append(t.failures, f)
}

func (t *tester) failf(thread *starlark.Thread, format string, args ...any) {
	t.fail(thread, Failure{Text: fmt.Sprintf(format, args...)})
}
