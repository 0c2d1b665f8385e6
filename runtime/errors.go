package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/source"
	"github.com/neosofia/runner/runtime/words"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// ownFault tells a want of this process from a fault of the system that it was at:
// with no file left to open, a keyring looks locked and a network broken.
func ownFault(err error) error {
	if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
		return err
	}
	return &failure.Error{Code: failure.Files, Doing: "open one more file or connection", Said: failure.OneLine(err), Cause: err,
		Hint: "raise the limit of open files: LimitNOFILE=65536 in the unit, or ulimit -n; lsof -p PID shows what is open"}
}

func limitError(what string, value any, flag string) *failure.Error {
	if d, ok := value.(time.Duration); ok {
		value = words.Span(d)
	}
	return &failure.Error{Code: failure.Limit, Doing: fmt.Sprintf("%s is limited to %v", what, value),
		Hint: "raise it with " + flag + " if the policy is right"}
}

// fatal reports errors that no policy may catch and no sibling may outlive. One
// that the site does not allow cannot be caught either, but keeps no sibling from
// its work.
func fatal(err error) bool {
	return failure.Is(err, failure.Diverged, failure.Limit, failure.Interrupted, failure.Cancelled, failure.Ledger) ||
		errors.Is(err, context.Canceled)
}

// Frame is one line of a call stack in policies, innermost last.
type Frame struct {
	Pos  syntax.Position
	Name string
}

// Trace is an error with the place in the policy where it arose.
type Trace struct {
	Frames []Frame
	Line   string // source text of the innermost position
	Err    error
}

func (t *Trace) Error() string {
	var b strings.Builder
	if p := t.Position(); p.IsValid() {
		fmt.Fprintf(&b, "%s: ", p)
	}
	b.WriteString(t.Err.Error())
	return b.String()
}

// Unwrap gives the error without its place.
func (t *Trace) Unwrap() error { return t.Err }

// Position is the innermost position in a policy.
func (t *Trace) Position() syntax.Position {
	if len(t.Frames) == 0 {
		return syntax.Position{}
	}
	return t.Frames[len(t.Frames)-1].Pos
}

// Details renders the error with source line, caret and call stack.
func (t *Trace) Details() string {
	var b strings.Builder
	b.WriteString(t.Error())
	if pos := t.Position(); t.Line != "" && pos.IsValid() {
		b.WriteString(source.Caret(t.Line, pos))
	}
	if len(t.Frames) > 1 {
		b.WriteString("\ncalled from")
		for i := len(t.Frames) - 2; i >= 0; i-- {
			fmt.Fprintf(&b, "\n  %s: in %s", t.Frames[i].Pos, t.Frames[i].Name)
		}
	}
	return b.String()
}

// Trace turns an error out of Starlark, of a function of the program that was called
// outside a run, into one with its place.
func (p *Program) Trace(err error) error { return p.trace(err) }

// trace turns an error out of Starlark into one with its place. Branches and
// loads wrap an error in one EvalError each: their stacks are joined.
func (p *Program) trace(err error) error {
	if err == nil {
		return nil
	}
	var out Trace
	cause := err
	for {
		var inner *Trace
		if eval, ok := cause.(*starlark.EvalError); ok {
			out.Frames = append(out.Frames, frames(eval.CallStack)...)
			if cause = eval.Unwrap(); cause == nil {
				cause = errors.New(eval.Msg)
			}
			continue
		}
		if errors.As(cause, &inner) {
			out.Frames = append(out.Frames, inner.Frames...)
			cause = inner.Err
			continue
		}
		break
	}
	out.Err = cause
	out.Line = p.line(out.Position())
	if len(out.Frames) == 0 {
		return cause
	}
	return &out
}

// frames keeps those of a call stack that lie in policies.
func frames(stack starlark.CallStack) []Frame {
	var out []Frame
	for _, f := range stack {
		if f.Pos.IsValid() && f.Pos.Filename() != "<builtin>" {
			out = append(out, Frame{f.Pos, f.Name})
		}
	}
	return out
}

func (p *Program) line(pos syntax.Position) string {
	for _, m := range p.Graph.Modules {
		if m.Name == pos.Filename() {
			lines := strings.Split(string(m.Source), "\n")
			if n := int(pos.Line); n >= 1 && n <= len(lines) {
				return strings.ReplaceAll(lines[n-1], "\t", " ")
			}
		}
	}
	return ""
}
