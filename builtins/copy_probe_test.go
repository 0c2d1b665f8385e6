package builtins

import (
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/ledger"
)

func TestADeclaredImmutableTargetIsProbed(t *testing.T) {
	t.Parallel()
	b := newBench(t, "offsite = True,\n    sealed_to", "offsite = True,\n    immutable = True,\n    sealed_to")
	out := b.run(`return copy(artifact = snapshot_vm(guest = "scratch"), to = ["offsite"])`)
	if out.Result != ledger.DegradedRun || b.copies("offsite")[0].Immutable {
		t.Errorf("an account that can delete: got %s, %v", out.Result, out.Err)
	}
	wantFinding(t, out, ledger.DegradedRun, "declared immutable", "could change a file: append, overwrite, replace, rename, delete")
	b.inject(lab.Fault{On: "sftp offsite.lab *", Do: "append-only"})
	b.good(`return copy(artifact = snapshot_vm(guest = "scratch"), to = ["offsite"])`)
	// Both are of one second at times, so their order says nothing.
	if c := b.copies("offsite"); len(c) != 2 || c[0].Immutable == c[1].Immutable {
		t.Errorf("an account that can only add: got %+v, want one that is immutable", c)
	}
}

func TestWhatATargetKeepsIsProbedAgainEachMonth(t *testing.T) {
	t.Parallel()
	b := newBench(t, "offsite = True,\n    sealed_to", "offsite = True,\n    append_only = True,\n    sealed_to")
	seen := func() ledger.Probe {
		p, _, err := b.catalog().Probe(t.Context(), "offsite")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	night := `return copy(artifact = snapshot_vm(guest = "scratch"), to = ["offsite"])`
	keeps := lab.Fault{On: "sftp offsite.lab *", Do: "append-only"}
	b.inject(keeps)
	b.good(night)
	first := seen()
	if !first.Holds() || first.What != ledger.AppendOnly || !first.Held.Equal(first.At) || !b.copies("offsite")[0].Immutable {
		t.Fatalf("got %+v", first)
	}
	b.clock.advance(29 * day)
	b.good(night)
	if !seen().At.Equal(first.At) {
		t.Error("it was probed again within a month")
	}
	// It cannot be probed: the last probe stands, and no longer than it may.
	b.clock.advance(2 * day)
	b.inject(lab.Fault{On: "sftp offsite.lab rename", Do: "cut"}, keeps)
	b.good(night)
	if !seen().At.Equal(first.At) || !b.reported("offsite: whether it is still append-only could not be probed", "stands") {
		t.Errorf("got %+v:\n%s", seen(), strings.Join(b.lines, "\n"))
	}
	b.inject(keeps)
	b.good(night)
	second := seen()
	if !second.At.After(first.At) || !second.Holds() {
		t.Errorf("after a month: got %+v", second)
	}
	b.clock.advance(31 * day)
	b.inject()
	out := b.run(night)
	wantFinding(t, out, ledger.DegradedRun, "declared append-only", "could change a file: append, overwrite, replace, rename, delete")
	if p := seen(); p.Holds() || !p.Held.Equal(second.At) {
		t.Errorf("after the account may change files: got %+v", p)
	}
	b.inject(keeps)
	b.good(night)
	if !seen().Holds() {
		t.Error("what did not hold is not probed again")
	}
}
