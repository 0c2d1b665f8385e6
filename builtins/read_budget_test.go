package builtins

import (
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
)

const (
	nightly = 2 << 20
	reread  = `return len(verify(copies = copies(target = "offsite", due = True), level = "read"))`
)

// limited is a lab whose offsite copies are cut into parts of 1 MiB; two MiB of them may be
// read in a night.
func limited(t *testing.T) *bench {
	t.Helper()
	return newBench(t, `key = secret("offsite-ssh-key"),`,
		`key = secret("offsite-ssh-key"), part_size = 1048576, read_budget = "2MiB/night",`)
}

func (b *bench) readings() []ledger.Reading {
	b.t.Helper()
	return rows[ledger.Reading](b, ledger.RowReading, ledger.Query{Target: "offsite"})
}

func TestAReadingThatTakesMoreThanANightGoesOn(t *testing.T) {
	t.Parallel()
	b := limited(t)
	first := b.clock.Now()
	out := b.run(`return verify(copies = copy(artifact = snapshot_vm(guest = "erp"), to = ["offsite"]), level = "read")`)
	wantCode(t, out, "E_READ_BUDGET")
	c := b.copies("offsite")[0]
	if c.Bytes <= 2*nightly {
		t.Fatalf("the copy has %d bytes: it says nothing", c.Bytes)
	}
	one := b.readings()
	if len(one) != 1 || one[0].Bytes == 0 || one[0].Bytes > nightly || one[0].Next == 0 {
		t.Fatalf("got %+v, want a pass that has begun and read at most %d bytes", one, nightly)
	}

	// The night's budget is spent, whatever reads.
	wantCode(t, b.run(`return verify(copies = copies(target = "offsite"), level = "read")`), "E_READ_BUDGET")
	if two := b.readings(); len(two) != 1 || two[0].Next != one[0].Next {
		t.Errorf("got %+v, want %+v: nothing is read twice in a night, nor more than its budget", two, one)
	}

	nights := 1
	for done := false; !done; nights++ {
		if nights > 20 {
			t.Fatal("the pass does not end")
		}
		b.clock.advance(day)
		out := b.run(reread)
		if done = out.Err == nil; !done {
			wantCode(t, out, "E_READ_BUDGET")
		}
	}
	if want := int(c.Bytes+nightly-1) / nightly; nights < want {
		t.Errorf("it took %d nights for %d bytes: more than %d were read in one", nights, c.Bytes, nightly)
	}
	proofs := b.proofs("offsite")
	if len(proofs) != 1 || proofs[0].Level != ledger.Read || proofs[0].At.Sub(first) > day || proofs[0].Finished().Sub(first) < day {
		t.Errorf("got %+v, want a proof as old as its first byte", proofs)
	}
	if left := b.readings(); len(left) > 0 {
		t.Errorf("the pass has ended, and is still %+v", left)
	}
	if rep, err := ledger.Verify(t.Context(), b.store, nil); err != nil || len(rep.Problems) > 0 {
		t.Errorf("the ledger: %v, %v", rep.Problems, err)
	}

	// Half of the time that its asset demands later it is read again, and nothing fails:
	// the proof still holds while the pass lasts.
	b.clock.advance(14 * day)
	if out := b.run(reread); out.Err != nil || !strings.Contains(strings.Join(b.lines, "\n"), "the next night goes on") || len(b.readings()) != 1 {
		t.Errorf("got %v, %v, %+v", out.Err, b.lines, b.readings())
	}
}

func TestAPartThatRotsWhileAPassLasts(t *testing.T) {
	t.Parallel()
	b := limited(t)
	b.run(`return verify(copies = copy(artifact = snapshot_vm(guest = "erp"), to = ["offsite"]), level = "read")`)
	c := b.copies("offsite")[0]
	at := b.readings()[0].Next
	flip(t, b.offsite(c.Ref, c.Files[at].Name))
	b.clock.advance(day)
	wantCode(t, b.run(reread), "E_DAMAGED")
	if left := b.readings(); len(left) > 0 {
		t.Errorf("a damaged copy has no pass: %+v", left)
	}
}

func TestRoundsInStatusAndCheck(t *testing.T) {
	t.Parallel()
	b := limited(t)
	b.run(`return verify(copies = copy(artifact = snapshot_vm(guest = "erp"), to = ["offsite"]), level = "read")`)
	status := func() *report.Status {
		t.Helper()
		st, err := report.NewStatus(t.Context(), ledger.Catalog{Store: b.store}, b.config(main("pass")).Demands, b.clock.Now(), report.Live{})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	round := func() ledger.Round {
		t.Helper()
		for _, r := range status().Rounds {
			if r.Target == "offsite" {
				return r
			}
		}
		t.Fatal("offsite has no round")
		return ledger.Round{}
	}
	c := b.copies("offsite")[0]
	if r := round(); r.Met() || r.Written != c.Bytes || r.Bytes != c.Bytes || r.Fresh != 0 || !r.Ends.IsZero() {
		t.Errorf("got %+v: what one night wrote is more than a night may read", r)
	}
	b.clock.advance(10 * day)
	if r := round(); !r.Met() || r.Ends.IsZero() || r.Overdue > 0 {
		t.Errorf("got %+v, want the night when all will have been read", r)
	}
	b.clock.advance(21 * day)
	if r := round(); r.Overdue != 1 || r.Longest.Item != "erp" || r.Longest.Unread < 30*day {
		t.Errorf("got %+v, want one that is overdue", r)
	}
	var text strings.Builder
	if err := status().Text(&text, report.TextOptions{Zone: time.UTC}); err != nil ||
		!strings.Contains(text.String(), "1 copy was on offsite not read back in time") {
		t.Errorf("got %s, %v", text.String(), err)
	}
}

func TestWhatIsOnlyStoredIsDueWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	b := newBench(t, `on = {"node": "opened", "offsite": "read"`, `on = {"node": "opened", "offsite": "stored"`)
	b.good(`return verify(copies = copy(artifact = snapshot_vm(guest = "erp"), to = ["offsite"]))`)
	for _, c := range []struct {
		after time.Duration
		due   string
	}{{0, "0"}, {28 * day, "0"}, {day, "1"}} {
		b.clock.advance(c.after)
		if out := b.run(`return len(copies(target = "offsite", due = True))`); out.Err != nil || out.Value.String() != c.due {
			t.Errorf("after %v: got %v, %v, want %s", c.after, out.Value, out.Err, c.due)
		}
	}
	if out := b.run(`return len(copies(target = "offsite", unread_for = "1d"))`); out.Value.String() != "1" {
		t.Errorf("got %v: it was never read", out.Value)
	}
}

// An attempt that read nothing leaves the night's budget as it was: the next one is not
// told that it is spent.
func TestAnAttemptThatFailedCostsOnlyWhatItRead(t *testing.T) {
	t.Parallel()
	b := limited(t)
	b.edit(`read_budget = "2MiB/night"`, `read_budget = "6MiB/night"`)
	b.run(`return copy(artifact = snapshot_vm(guest = "erp"), to = ["offsite"])`)
	if n := b.copies("offsite")[0].Bytes; n > 6<<20 || n < 3<<20 {
		t.Fatalf("the copy has %d bytes: it says nothing", n)
	}
	b.heal = "attempt 1 of 3"
	b.inject(lab.Fault{On: "ssh offsite.lab", Do: "refuse"})
	if out := b.run(reread); out.Err != nil || len(b.proofs("offsite")) != 1 || !b.reported("attempt 1 of 3") {
		t.Errorf("got %v, %v, %v", out.Err, b.proofs("offsite"), b.lines)
	}
}

func TestACopyThatIsOpenedMustFitIntoANight(t *testing.T) {
	t.Parallel()
	b := limited(t)
	b.edit("+", onHost)
	out := b.run(`return verify(copies = copy(artifact = snapshot_vm(guest = "erp"), to = ["offsite"]), level = "opened")`)
	wantCode(t, out, "E_READ_BUDGET", "opened in one go", `demand "read"`)
	if len(b.readings()) > 0 {
		t.Errorf("got %+v, want no pass", b.readings())
	}
}
