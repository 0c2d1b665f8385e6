package runtime

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/neosofia/runner/runtime/failure"
)

// With no file left to open, nobody else is to blame, and nothing is tried again.
func TestNoFileLeftIsOurOwnFault(t *testing.T) {
	for name, err := range map[string]error{
		"a file": &os.PathError{Op: "open", Path: "/x", Err: syscall.EMFILE},
		"a connection": &failure.Error{Code: failure.Code{Name: "E_PVE_DOWN"}, Temporary: true, Said: "dial",
			Cause: &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.ENFILE)}},
		"wrapped": fmt.Errorf("read secret x: %w", &os.PathError{Op: "open", Path: "/x", Err: syscall.EMFILE}),
	} {
		got := ownFault(err)
		if failure.CodeOf(got) != failure.Files || temporary(got) || !strings.Contains(got.Error(), "LimitNOFILE") {
			t.Errorf("%s: got %v", name, got)
		}
	}
	other := &failure.Error{Code: failure.Code{Name: "E_PVE_DOWN"}, Temporary: true}
	if got := ownFault(other); !errors.Is(got, other) || !temporary(got) {
		t.Errorf("another error: got %v", got)
	}
	if ownFault(nil) != nil {
		t.Error("no error became one")
	}
}
