package builtins

import (
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// idle lets policies run that save nothing.
func (b *bench) idle(runs int, every time.Duration) {
	b.t.Helper()
	for range runs {
		b.good(`log(text = "hello")`)
		b.clock.advance(every)
	}
}

// wantPruned runs a prune of which 15 copies are the asset's: words are those of
// its refusal, "" when it must remove.
func (b *bench) wantPruned(words string) {
	b.t.Helper()
	out := b.run(pruning(", apply = True"))
	n := len(b.copies(""))
	switch {
	case words == "" && (out.Result != ledger.OK || n >= 15):
		b.t.Errorf("got %s, %v, and %d copies; want fewer than 15", out.Result, out.Findings, n)
	case words != "":
		if n != 15 || !b.reported("nothing of virtual_machines was pruned", words) {
			b.t.Errorf("got %d copies, want all 15, and to be told that %s", n, words)
		}
		wantFinding(b.t, out, ledger.DegradedRun, "nothing of virtual_machines was pruned", words)
	}
}

func TestPruneDistrustsAClockThatJumped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		by    time.Duration
		runs  int
		every time.Duration
		words string
	}{
		{name: "back", by: -10 * day, words: "the clock went back"},
		{name: "forward", by: 60 * day, words: "the clock went forward"},
		{name: "forward, and three short runs", by: 60 * day, runs: 3, every: time.Second, words: "the clock went forward"},
		{name: "forward, and hourly runs for two days", by: 60 * day, runs: 48, every: time.Hour, words: "the clock went forward"},
		{name: "forward by three days, and hourly runs for a day", by: 3 * day, runs: 24, every: time.Hour, words: "the clock went forward"},
		{name: "forward, and hourly runs for three days", by: 60 * day, runs: 73, every: time.Hour},
		{name: "not at all", runs: 24, every: time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newNights(t, 5)
			b.clock.advance(c.by)
			b.idle(c.runs, c.every)
			b.wantPruned(c.words)
		})
	}
}

func TestASiteThatWasOffPrunesAgainAfterThreeNights(t *testing.T) {
	t.Parallel()
	b := newNights(t, 5)
	b.clock.advance(10 * day)
	for range 3 {
		b.wantPruned("the clock went forward, or nothing ran for long")
		b.clock.advance(day)
	}
	b.wantPruned("")
}

func TestALedgerThatWasMadeAnewDistrustsTheClock(t *testing.T) {
	t.Parallel()
	b := newNights(t, 5)
	facts := ledger.Facts{Artifacts: b.artifacts(), Copies: b.copies(""), Proofs: b.proofs("")}
	anew := ledger.NewMemory()
	b.store.Store = anew
	b.clock.advance(60 * day)
	e, err := ledger.NewEntry(ledger.Imported, b.clock.Now(), "", "", ledger.Import{Target: "offsite", Facts: facts})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := anew.Append(t.Context(), []ledger.Entry{e}); err != nil {
		t.Fatal(err)
	}
	b.wantPruned("the clock went forward, or nothing ran for long")
	b.idle(3, day)
	b.wantPruned("")
}
