package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Code names a kind of failure; codes start with "E_". Policies can catch those
// that a primitive declares.
type Code struct {
	Name string // "E_GUEST_LOCKED"
	Doc  string // when it occurs and what to do
}

// Codes that the runtime itself raises. None of them can be caught.
const (
	CodeDiverged    = "E_DIVERGED"    // a replay does not match the record
	CodeLimit       = "E_LIMIT"       // a limit of the run was hit
	CodeInterrupted = "E_INTERRUPTED" // a step that was under way cannot be settled
	CodeRefused     = "E_REFUSED"     // the site does not allow it
	CodeCancelled   = "E_CANCELLED"   // the run was stopped
	CodeLedger      = "E_LEDGER"      // the ledger could not record
	CodeResult      = "E_RESULT"      // a result is too large to be recorded
	CodeFiles       = "E_FILES"       // this process, or the machine, may open no more files
)

// Error is what an operator reads: what was being done, with which system, what
// it said, and what can be done about it.
type Error struct {
	Code      string // one that the primitive declares, or of the runtime
	System    string // "proxmox pve", "target offsite"
	Doing     string // "start vzdump of guest erp"
	Said      string // what the system said
	Hint      string // what to do; may be empty
	Temporary bool   // a later attempt may succeed
	Cause     error
}

func (e *Error) Error() string {
	var parts []string
	for _, p := range []string{e.System, e.Doing, e.Said} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	text := strings.Join(parts, ": ")
	if text == "" && e.Cause != nil {
		text = e.Cause.Error()
	}
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	if e.Hint != "" {
		text += "\nhint: " + e.Hint
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// OneLine words an error for a sentence or a list: its hint stands behind a semicolon.
func OneLine(err error) string {
	text, hint, ok := strings.Cut(err.Error(), "\nhint: ")
	if ok {
		return text + "; " + strings.ReplaceAll(hint, "\n", " ")
	}
	return strings.ReplaceAll(text, "\n", " ")
}

// ownFault tells a want of this process from a fault of the system that it was at:
// with no file left to open, a keyring looks locked and a network broken.
func ownFault(err error) error {
	if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
		return err
	}
	return &Error{Code: CodeFiles, Doing: "open one more file or connection", Said: OneLine(err), Cause: err,
		Hint: "raise the limit of open files: LimitNOFILE=65536 in the unit, or ulimit -n; lsof -p PID shows what is open"}
}

func limitError(what string, value any, flag string) *Error {
	return &Error{Code: CodeLimit, Doing: fmt.Sprintf("%s is limited to %v", what, value), Hint: "raise it with " + flag + " if the policy is right"}
}

// fatal reports errors that no policy may catch and no sibling may outlive. One
// that the site does not allow cannot be caught either, but keeps no sibling from
// its work.
func fatal(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		switch e.Code {
		case CodeDiverged, CodeLimit, CodeInterrupted, CodeCancelled, CodeLedger:
			return true
		}
	}
	return errors.Is(err, context.Canceled)
}

// CodeOf returns the code of an error, or "".
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
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
		fmt.Fprintf(&b, "\n    %s\n    %s^", t.Line, strings.Repeat(" ", max(0, int(pos.Col)-1)))
	}
	if len(t.Frames) > 1 {
		b.WriteString("\ncalled from")
		for i := len(t.Frames) - 2; i >= 0; i-- {
			fmt.Fprintf(&b, "\n  %s: in %s", t.Frames[i].Pos, t.Frames[i].Name)
		}
	}
	return b.String()
}

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
