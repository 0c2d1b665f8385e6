package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/runtime"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal asks for what nobody may see. Echo stays off from the first question until
// everything that was typed or pasted is consumed: what is pasted beyond the answer
// must neither appear on the screen nor be left to the shell.
type terminal struct {
	ctx    context.Context
	fd     int
	before *term.State
	buf    []byte // read, and not yet used
	cr     bool   // the last byte was a CR: an LF belongs to it
	esc    []byte // the escape sequence that is being read
	paste  bool   // within a bracketed paste
}

// interactive says that somebody can be asked.
func interactive() bool { return term.IsTerminal(int(os.Stdin.Fd())) }

func openTerminal(ctx context.Context) (*terminal, error) {
	t := &terminal{ctx: ctx, fd: int(os.Stdin.Fd())}
	var err error
	if t.before, err = term.MakeRaw(t.fd); err != nil {
		return nil, fmt.Errorf("switch the terminal's echo off: %w", err)
	}
	asking.Store(t)
	io.WriteString(os.Stderr, "\x1b[?2004h") // a paste says where it ends
	return t, nil
}

const (
	pollMillis  = 100 // how often ctx is looked at
	quietMillis = 300 // silence after which nothing more of a paste is on its way
	maxPaste    = 1 << 20
	maxAnswer   = 64 << 10
)

// Close takes in what is still on its way, and gives the terminal back.
func (t *terminal) Close() error {
	buf := make([]byte, 4096)
	t.paste = t.paste && !bytes.Contains(t.buf, []byte("201~"))
	for total := 0; total < maxPaste; {
		wait := quietMillis
		if t.paste {
			wait *= 10
		}
		if ready, err := t.ready(wait); err != nil || !ready {
			break
		}
		n, err := unix.Read(t.fd, buf)
		if err != nil || n <= 0 {
			break
		}
		total += n
		t.paste = t.paste && !bytes.Contains(buf[:n], []byte("201~"))
	}
	clear(buf)
	clear(t.buf)
	asking.Store(nil)
	return t.restore()
}

// asking is the terminal that is raw.
var asking atomic.Pointer[terminal]

// giveBack gives the terminal back when the program ends in the middle of a question.
func giveBack() {
	if t := asking.Load(); t != nil {
		t.restore()
	}
}

func (t *terminal) restore() error {
	io.WriteString(os.Stderr, "\x1b[?2004l")
	return term.Restore(t.fd, t.before)
}

func (t *terminal) ready(millis int) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, millis)
	if errors.Is(err, unix.EINTR) {
		return false, nil
	}
	return n > 0, err
}

// next is one byte that was typed.
func (t *terminal) next() (byte, error) {
	for len(t.buf) == 0 {
		if t.ctx.Err() != nil {
			return 0, context.Cause(t.ctx)
		}
		ready, err := t.ready(pollMillis)
		if err != nil {
			return 0, err
		}
		if !ready {
			continue
		}
		buf := make([]byte, 4096)
		n, err := unix.Read(t.fd, buf)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, io.EOF
		}
		t.buf = buf[:n]
	}
	c := t.buf[0]
	t.buf[0] = 0
	t.buf = t.buf[1:]
	return c, nil
}

// say writes a line: the terminal is raw, and wants its carriage returns.
func (t *terminal) say(text string) {
	fmt.Fprint(os.Stderr, strings.ReplaceAll(text, "\n", "\r\n"))
}

// line asks for one line; what is typed is not shown.
func (t *terminal) line(prompt string) ([]byte, error) {
	t.say(prompt)
	defer t.say("\n")
	line := make([]byte, 0, 256)
	for {
		c, err := t.next()
		if err != nil {
			clear(line)
			return nil, err
		}
		after := t.cr
		t.cr = c == '\r'
		switch {
		case t.escaped(c), c == '\n' && after:
		case c == 3:
			clear(line)
			return nil, runtime.ErrInterrupted
		case c == 4 && len(line) == 0:
			return nil, io.EOF
		case c == '\r' || c == '\n':
			return line, nil
		case c == 8 || c == 127:
			_, n := utf8.DecodeLastRune(line)
			line = line[:len(line)-n]
		case c == 21: // ctrl-U
			line = line[:0]
		case c >= 32 || c == '\t':
			if len(line) >= maxAnswer {
				clear(line)
				return nil, errors.New("what was typed is too long")
			}
			line = append(line, c)
		}
	}
}

// escaped consumes escape sequences: arrows, and the marks around a paste.
func (t *terminal) escaped(c byte) bool {
	switch {
	case len(t.esc) == 0 && c != 0x1b:
		return false
	case len(t.esc) == 1 && c != '[' && c != 'O':
		t.esc = nil
		return c == 0x1b
	}
	t.esc = append(t.esc, c)
	if len(t.esc) > 2 && c >= 0x40 && c <= 0x7e || len(t.esc) > 16 {
		switch string(t.esc[1:]) {
		case "[200~":
			t.paste = true
		case "[201~":
			t.paste = false
		}
		t.esc = nil
	}
	return true
}

// askSecret asks once for something that is not shown.
func askSecret(ctx context.Context, prompt string) (_ []byte, err error) {
	t, err := openTerminal(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	return t.line(prompt)
}

// askTwice asks for a secret that nobody can look up later.
func askTwice(ctx context.Context, prompt string) (_ []byte, err error) {
	t, err := openTerminal(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	first, err := t.line(prompt)
	if err != nil {
		return nil, err
	}
	second, err := t.line("once more: ")
	if err != nil {
		clear(first)
		return nil, err
	}
	defer clear(second)
	if !bytes.Equal(first, second) || len(first) == 0 {
		clear(first)
		return nil, errors.New("the two do not agree, or are empty")
	}
	return first, nil
}

// askKeys asks for a recovery key or custodians' shares, as they stand on paper. Each
// line of a sheet is checked when it is typed, and asked for again. Without an answer
// the keys are empty.
func askKeys(ctx context.Context) (_ builtins.Keys, err error) {
	t, err := openTerminal(ctx)
	if err != nil {
		return builtins.Keys{}, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	t.say("Recovery key: type the lines of the sheet, or paste it whole, or type shares of custodians.\nNothing is shown. An empty line " +
		"ends it.\n")
	var typed builtins.TypedKeys
	for {
		raw, err := t.line(typed.Prompt())
		if err != nil && !errors.Is(err, io.EOF) {
			return builtins.Keys{}, err
		}
		if len(bytes.TrimSpace(raw)) == 0 && (err != nil || !t.pending()) {
			keys, kerr := typed.Keys()
			if kerr != nil && typed.Begun() {
				return builtins.Keys{}, kerr
			}
			return keys, nil
		}
		taken, err := typed.Add(string(raw))
		clear(raw)
		switch {
		case err != nil:
			t.say("runner: " + err.Error() + "; once more\n")
		case typed.Complete():
			return typed.Keys()
		case !taken && !t.pending():
			t.say("runner: that is not a line of a sheet, no key and no share; once more\n")
		}
	}
}

// pending says that more was typed ahead, or pasted, than was used, or is on its way.
func (t *terminal) pending() bool {
	if len(t.buf) > 0 || t.paste {
		return true
	}
	ready, err := t.ready(quietMillis)
	return ready && err == nil
}

// readKeys reads keys from files; "-" is standard input, or somebody at the terminal.
// Without a file, or with "-" at a terminal, ask says to ask.
func readKeys(paths []string) (keys builtins.Keys, ask bool, err error) {
	ask = len(paths) == 0 && interactive()
	for _, path := range paths {
		from, name := os.Stdin, "standard input"
		if path == "-" {
			if interactive() {
				ask = true
				continue
			}
		} else {
			name = path
			if from, err = os.Open(path); err != nil {
				return keys, false, usage("read the key: %v", err)
			}
			defer from.Close()
		}
		k, err := builtins.ReadKeys(name, from)
		if err != nil {
			return keys, false, usage("%v", err)
		}
		keys.Add(k)
	}
	return keys, ask, nil
}
