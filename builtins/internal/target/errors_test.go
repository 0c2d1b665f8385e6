package target

import (
	"fmt"
	"testing"

	"github.com/neosofia/runner/runtime/failure"
)

// One error can reach several targets at once, for instance the one that stops a run:
// naming a target must not change it for the others.
func TestNamingATargetLeavesTheErrorAlone(t *testing.T) {
	stopped := &failure.Error{Code: failure.Cancelled, Doing: "the run was stopped"}
	full := &failure.Error{Code: CodeFull, Said: "no space"}
	wrapped := fmt.Errorf("write a.part: %w", full)
	for _, c := range []struct {
		err  error
		want string
	}{
		{stopped, "the run was stopped (E_CANCELLED)"},
		{full, "target usb: no space (E_TARGET_FULL)"},
		{wrapped, "write a.part: no space (E_TARGET_FULL)"},
	} {
		got, ok := settled("usb", c.err)
		if !ok || got.Error() != c.want {
			t.Errorf("got %q, %v, want %q", got, ok, c.want)
		}
	}
	if stopped.System != "" || full.System != "" {
		t.Errorf("the errors were changed: %+v, %+v", stopped, full)
	}
}
