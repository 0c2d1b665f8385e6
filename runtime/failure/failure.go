// Package failure is what an operator reads at 3 am: one error type for everything that
// runner does, and the codes by which policies tell failures apart. It knows no Starlark
// and nothing else of runner, so that clients, formats and targets speak with it.
//
// A code is declared once, as a variable of the package whose failure it names, with the
// words that runner builtins prints. Errors are classed by their type where they arise,
// never by the words of a message.
package failure

import (
	"errors"
	"regexp"
	"strings"
)

// Code names a kind of failure; codes start with "E_". Policies can catch those that a
// primitive declares.
type Code struct {
	Name string // "E_GUEST_LOCKED"
	Doc  string // when it occurs and what to do
}

// Codes that the runtime itself raises. None of them can be caught.
var (
	Diverged    = Code{"E_DIVERGED", "a replay does not match the record"}
	Limit       = Code{"E_LIMIT", "a limit of the run was hit"}
	Interrupted = Code{"E_INTERRUPTED", "a step that was under way cannot be resolved"}
	Refused     = Code{"E_REFUSED", "the site does not allow it"}
	Cancelled   = Code{"E_CANCELLED", "the run was stopped"}
	Ledger      = Code{"E_LEDGER", "the ledger could not record"}
	Result      = Code{"E_RESULT", "a result is too large to be recorded"}
	Files       = Code{"E_FILES", "this process, or the machine, may open no more files"}
)

// Error says what was being done, with which system, what it said, and what can be done
// about it.
type Error struct {
	Code      Code
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
	text = ports.ReplaceAllString(text, "")
	if e.Code.Name != "" {
		text += " (" + e.Code.Name + ")"
	}
	if e.Hint != "" {
		text += "\nhint: " + e.Hint
	}
	return text
}

// ports are what the network library puts before a reason: addresses that differ each time
// make one fault look like many, and say nothing that is not said before them.
var ports = regexp.MustCompile(`(read|write) (tcp|udp)[46]? \S+->\S+: ((read|write): )?`)

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// CodeOf returns the code of an error, or none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Code{}
}

// Is reports whether an error has one of the codes.
func Is(err error, codes ...Code) bool {
	name := CodeOf(err).Name
	for _, c := range codes {
		if name != "" && c.Name == name {
			return true
		}
	}
	return false
}

// OneLine words an error for a sentence or a list: its hint stands behind a semicolon.
func OneLine(err error) string {
	return strings.ReplaceAll(strings.Replace(err.Error(), "\nhint: ", "; ", 1), "\n", " ")
}
