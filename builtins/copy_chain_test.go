package builtins

import (
	"os"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

const protectDifferential = `return verify(copies = copy(artifact = rear_host(host = "pve1", backup = "file", dir = "/srv/images", differential = True)))`

// levels of the copies on a target, the oldest first, each with its whole chain.
func (b *bench) whole(target string) (out []int) {
	b.t.Helper()
	copies, err := b.catalog().WholeCopies(b.t.Context(), ledger.Query{Item: "pve1"})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range copies {
		if c.Target == target {
			out = append([]int{c.Level}, out...)
		}
	}
	return out
}

// awayAtFirst is a bench a day after its chain began, while offline-a was away; it is
// there again.
func awayAtFirst(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.detach("offline-a")
	b.run(protectDifferential)
	b.attach("offline-a")
	b.clock.advance(24 * time.Hour)
	return b
}

// The disk that was in the safe when a chain began gets the full archive with the
// first differential one: without it that one brings nothing back.
func TestTheFullArchiveFollowsToAMediumThatWasAway(t *testing.T) {
	t.Parallel()
	b := awayAtFirst(t)
	b.good(protectDifferential)
	if got := b.whole("offline-a"); len(got) != 2 || got[0] < ledger.Read || got[1] < ledger.Read {
		t.Errorf("offline-a holds copies proven to %v, want full and differential, both read", got)
	}
	if got := b.whole("offsite"); len(got) != 2 || got[1] < ledger.Read {
		t.Errorf("offsite holds copies proven to %v, want full and differential, once each", got)
	}
}

func TestAFullArchiveThatCannotFollowIsAFinding(t *testing.T) {
	t.Parallel()
	b := awayAtFirst(t)
	full := b.rears()[0]
	if err := os.RemoveAll(b.onNode("srv/images", full.ID)); err != nil {
		t.Fatal(err)
	}
	out := b.run(protectDifferential)
	wantFinding(t, out, ledger.Failed, "pve1 on offline-a needs the full archive of "+full.Created.Format("2006-01-02")+
		", which has no copy there: ", "it is not there any more (E_ARCHIVE_MISSING); the next full image begins a new chain")
	if got := b.whole("offline-a"); len(got) != 1 || got[0] != -1 {
		t.Errorf("offline-a holds copies that bring back %v, want one that brings nothing back", got)
	}
	if got := b.whole("offsite"); len(got) != 2 || got[1] < ledger.Read {
		t.Errorf("offsite holds copies proven to %v, want both", got)
	}
}
