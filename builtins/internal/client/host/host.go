// Package host reaches a machine that programs run on and files lie on: this one,
// or another one over SSH. Commands are lists of words, never lines for a shell:
// over SSH each word is quoted, so that nothing in it means anything to the shell
// there.
package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Host is a machine. Its methods may be called concurrently.
type Host interface {
	Name() string
	Local() bool
	// Run runs a program to its end. An exit status is not an error; that it could not
	// be started, was killed, or that ctx ended, is.
	Run(ctx context.Context, c Command) (Result, error)
	// Open reads a file from an offset.
	Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error)
	Stat(ctx context.Context, path string) (fs.FileInfo, error)
	// List returns what a folder holds, sorted by name.
	List(ctx context.Context, dir string) ([]fs.FileInfo, error)
	// Write makes or replaces a file: whole, or not at all.
	Write(ctx context.Context, path string, mode fs.FileMode, r io.Reader) error
	// Create makes a new file; one that is there is an error and stays as it is. What
	// breaks off leaves a part, and nothing is flushed: it is for what is read at once.
	Create(ctx context.Context, path string, mode fs.FileMode, r io.Reader) error
	MkdirAll(ctx context.Context, path string, mode fs.FileMode) error
	// Remove removes a file or an empty folder; that there is none is not an error.
	Remove(ctx context.Context, path string) error
	Close() error
}

// Command is a program with its words.
type Command struct {
	Args   []string
	Stdin  io.Reader
	Stdout io.Writer // nil: it is in the result
	Stderr io.Writer
	Limit  int64 // bytes of each stream in the result; 0 is 16 MiB. More is an error
}

// Result is what a program that ended left.
type Result struct {
	Exit           int
	Stdout, Stderr []byte
}

// ErrNoProgram says that there is no program of that name.
var ErrNoProgram = errors.New("no such program")

// ErrTooMuch says that a program printed more than the limit.
var ErrTooMuch = errors.New("it printed more than is taken")

// KilledError says that a program was ended by a signal.
type KilledError struct{ Program, Signal string }

func (e *KilledError) Error() string { return e.Program + " was ended by signal " + e.Signal }

const defaultLimit = 16 << 20

// bounded keeps what is written to it, up to a limit. The buffer is not an embedded one:
// io.Copy would find its ReadFrom, which knows no limit.
type bounded struct {
	kept bytes.Buffer
	left int64
	full bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		b.full = true
		return 0, ErrTooMuch
	}
	b.left -= int64(len(p))
	return b.kept.Write(p)
}

// streams are where a command's output goes.
type streams struct {
	out, err       io.Writer
	keptOut, keptE *bounded
}

func streamsOf(c Command) *streams {
	if c.Limit == 0 {
		c.Limit = defaultLimit
	}
	s := &streams{out: c.Stdout, err: c.Stderr}
	if s.out == nil {
		s.keptOut = &bounded{left: c.Limit}
		s.out = s.keptOut
	}
	if s.err == nil {
		s.keptE = &bounded{left: c.Limit}
		s.err = s.keptE
	}
	return s
}

func (s *streams) result(exit int) Result {
	r := Result{Exit: exit}
	if s.keptOut != nil {
		r.Stdout = s.keptOut.kept.Bytes()
	}
	if s.keptE != nil {
		r.Stderr = s.keptE.kept.Bytes()
	}
	return r
}

func (s *streams) full() bool {
	return s.keptOut != nil && s.keptOut.full || s.keptE != nil && s.keptE.full
}

// Output runs a program and returns what it printed; an exit status other than 0
// is an error that quotes the end of what it said.
func Output(ctx context.Context, h Host, args ...string) ([]byte, error) {
	r, err := h.Run(ctx, Command{Args: args})
	if err != nil {
		return nil, err
	}
	if r.Exit != 0 {
		return r.Stdout, &ExitError{Program: args[0], Exit: r.Exit, Said: Tail(r.Stderr)}
	}
	return r.Stdout, nil
}

// ExitError is an exit status other than 0.
type ExitError struct {
	Program string
	Exit    int
	Said    string
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s ended with %d: %s", e.Program, e.Exit, e.Said)
}

// Tail is the last line that a program printed, in printable characters.
func Tail(b []byte) string {
	lines := strings.Split(strings.TrimRight(string(b), "\n \t"), "\n")
	last := strings.ToValidUTF8(lines[len(lines)-1], "?")
	last = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, last)
	if len(last) > 500 {
		last = strings.ToValidUTF8(last[:500], "") + "…"
	}
	if last == "" {
		return "it said nothing"
	}
	return last
}

// ReadFile reads a file of at most limit bytes.
func ReadFile(ctx context.Context, h Host, path string, limit int64) ([]byte, error) {
	r, err := h.Open(ctx, path, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("read %s: it has more than %d bytes", path, limit)
	}
	return b, err
}
