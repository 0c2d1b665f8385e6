package failure

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

var busy = Code{Name: "E_BUSY", Doc: "busy"}

func TestAnErrorSaysWhereWhatWhyAndWhatToDo(t *testing.T) {
	t.Parallel()
	address := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 40123}
	reset := &net.OpError{Op: "read", Net: "tcp", Source: address, Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 22},
		Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	for _, c := range []struct {
		name string
		err  Error
		want string
	}{
		{"all of it", Error{Code: busy, System: "target a", Doing: "write x", Said: "no", Hint: "wait"},
			"target a: write x: no (E_BUSY)\nhint: wait"},
		{"what is empty leaves no colon", Error{Doing: "write x"}, "write x"},
		{"the cause speaks where nothing else does", Error{Code: busy, Cause: io.ErrUnexpectedEOF}, "unexpected EOF (E_BUSY)"},
		{"the cause is silent where something else speaks", Error{Said: "no", Cause: io.ErrUnexpectedEOF}, "no"},
		{"ports differ each time", Error{Doing: "copy", Said: reset.Error()}, "copy: connection reset by peer"},
		{"ports in the cause", Error{Cause: fmt.Errorf("list: %w", reset)}, "list: connection reset by peer"},
		{"an address that says something", Error{Said: "dial tcp 10.0.0.2:22: connection refused"}, "dial tcp 10.0.0.2:22: connection refused"},
		{"nothing at all", Error{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := c.err.Error(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestCodesAreFoundThroughWhatWrapsThem(t *testing.T) {
	t.Parallel()
	inner := &Error{Code: busy, Cause: io.EOF}
	for _, c := range []struct {
		name string
		err  error
		code string
		is   []Code
		want bool
	}{
		{"itself", inner, "E_BUSY", []Code{Limit, busy}, true},
		{"wrapped", fmt.Errorf("copy: %w", inner), "E_BUSY", []Code{busy}, true},
		{"joined", errors.Join(io.EOF, inner), "E_BUSY", []Code{busy}, true},
		{"another", inner, "E_BUSY", []Code{Limit, Refused}, false},
		{"the outer one counts", &Error{Code: Limit, Cause: inner}, "E_LIMIT", []Code{busy}, false},
		{"codes are compared by name", inner, "E_BUSY", []Code{{Name: "E_BUSY", Doc: "other words"}}, true},
		{"one without a code is of no kind", &Error{Doing: "x"}, "", []Code{{}}, false},
		{"a foreign one", io.EOF, "", []Code{{}, busy}, false},
		{"none", nil, "", []Code{{}, busy}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := CodeOf(c.err).Name; got != c.code {
				t.Errorf("the code is %q, want %q", got, c.code)
			}
			if got := Is(c.err, c.is...); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
	if !errors.Is(fmt.Errorf("x: %w", inner), io.EOF) {
		t.Error("the cause is lost")
	}
}

func TestOneLineHoldsAllOfAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"no", "no"},
		{"no\nhint: wait", "no; wait"},
		{"no\nhint: wait\nthen go", "no; wait then go"},
		{"no\nnever", "no never"},
		{"no\nnever\nhint: wait", "no never; wait"},
	} {
		if got := OneLine(errors.New(c.text)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}
