package ledger

import "testing"

func TestTheTokenInNotes(t *testing.T) {
	for _, c := range []struct{ name, notes, run, step string }{
		{"a token alone", "runner:20261123T020000Z-1a/0[2]/1", "20261123T020000Z-1a", "/0[2]/1"},
		{"among other words, quoted", "nightly 'runner:r1/3' of erp\n", "r1", "/3"},
		{"none", "nightly of erp", "", ""},
		{"no notes", "", "", ""},
		{"two of them", "runner:r1/3 runner:r2/3", "", ""},
		{"the same twice", "runner:r1/3 runner:r1/3", "", ""},
		{"no step", "runner:r1", "", ""},
		{"no run", "runner:/3", "", ""},
		{"part of a word", "xrunner:r1/3", "", ""},
	} {
		if run, step, ok := TokenIn(c.notes); run != c.run || step != c.step || ok != (c.run != "") {
			t.Errorf("%s: got %q, %q, %v; want %q, %q", c.name, run, step, ok, c.run, c.step)
		}
	}
}
