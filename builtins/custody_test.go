package builtins

import (
	"fmt"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/custody"
	"github.com/neosofia/runner/runtime/ledger"
)

// A share is lost with its custodian's key: where too few are left, the secrets are.
func TestWhatNeedsTheKeyOfACustodian(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.keys(nil)
	var list []string
	print := map[string]string{}
	for _, name := range []string{"anna", "ben", "carla", "key"} {
		_, recipient := newKey(t)
		print[name] = Fingerprint(recipient)
		list = append(list, fmt.Sprintf("%q: %q", name, recipient))
		print["recipient of "+name] = recipient
	}
	two, three := "{"+strings.Join(list[:2], ", ")+"}", "{"+strings.Join(list[:3], ", ")+"}"
	for _, c := range []struct {
		name, call, old string
		inUse           []string
		bound           int
		left            int // -1: no set loses a share
	}{
		{"2 of 2", "threshold = 2, custodians = " + two, "anna", []string{"ben"}, 1, 1},
		{"2 of 3", "threshold = 2, custodians = " + three, "anna", []string{"ben", "carla"}, 0, 2},
		{"2 of 3, and another one is gone", "threshold = 2, custodians = " + three, "anna", []string{"carla"}, 1, 1},
		{"somebody who was no custodian", "threshold = 2, custodians = " + two, "carla", []string{"anna", "ben"}, 0, -1},
		{"2 of 2, and a key that opens all", fmt.Sprintf("threshold = 2, recipients = [%q], custodians = %s", print["recipient of key"], two), "anna", []string{"ben", "key"}, 0, 1},
		{"the key that opens all, and enough custodians", fmt.Sprintf("threshold = 2, recipients = [%q], custodians = %s", print["recipient of key"], two), "key", []string{"anna", "ben"}, 0, -1},
		{"the key that opens all, and too few custodians", fmt.Sprintf("threshold = 2, recipients = [%q], custodians = %s", print["recipient of key"], two), "key", []string{"ben"}, 1, -1},
		{"a key alone", fmt.Sprintf("recipients = [%q]", print["recipient of key"]), "key", []string{"anna"}, 1, -1},
	} {
		b.store.Store = ledger.NewMemory()
		b.good("copy(artifact = seal_secrets(" + c.call + `), to = ["second-disk"])`)
		var inUse []string
		for _, name := range c.inUse {
			inUse = append(inUse, print[name])
		}
		bound, sets, err := custody.BoundTo(t.Context(), ledger.Catalog{Store: b.store}, print[c.old], inUse)
		if err != nil || len(bound) != c.bound {
			t.Errorf("%s: got %+v, %v, want %d copies", c.name, bound, err, c.bound)
		}
		if want := c.left >= 0; (len(sets) == 1) != want || want && (sets[0].Left != c.left || sets[0].Threshold != 2 || sets[0].Custodian != c.old || sets[0].Copies != 1) {
			t.Errorf("%s: got sets %+v, want %d left", c.name, sets, c.left)
		}
	}
}
