package builtins

import (
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/ledger"
)

// On an account that adds alone nothing can be removed: that is no fault of a night.
func TestPruneTriesNothingWhereNothingCanBeRemoved(t *testing.T) {
	t.Parallel()
	b := newBench(t, append([]string{"offsite = True,\n    sealed_to", "offsite = True,\n    append_only = True,\n    sealed_to", "keep = 28,", "keep = 1,"}, plainUSB...)...)
	b.inject(lab.Fault{On: "sftp offsite.lab *", Do: "append-only"})
	for range 4 {
		b.good(proveScratch)
		b.clock.advance(day)
	}
	b.days(40)
	out := b.run(`return prune(asset = "virtual_machines", keep = [], apply = True)`)
	if out.Err != nil || out.Result != ledger.OK {
		t.Fatalf("got %s, %v, %v", out.Result, out.Err, out.Findings)
	}
	if n := len(b.copies("offsite")); n != 4 || !b.reported("copies on offsite could go; it is append-only") || len(b.copies("offline-a")) == 4 {
		t.Errorf("%d copies are left on offsite, %d on offline-a:\n%s", n, len(b.copies("offline-a")), strings.Join(b.lines, "\n"))
	}
}
