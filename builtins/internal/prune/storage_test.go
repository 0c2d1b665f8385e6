package prune

import (
	"testing"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/runtime/ledger"
)

// Whatever stands in notes: a token that is found is one that a removal finds again.
func FuzzTokenIn(f *testing.F) {
	f.Add("runner:r1/3")
	f.Add("a 'runner:r1/0[1]/2'\nb")
	f.Fuzz(func(t *testing.T, notes string) {
		run, step, ok := ledger.TokenIn(notes)
		if ok != (run != "") || ok && !proxmox.Carries(notes, "runner:"+run+step) {
			t.Errorf("%q: got %q, %q, %v", notes, run, step, ok)
		}
	})
}
