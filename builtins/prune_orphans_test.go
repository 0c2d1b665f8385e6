package builtins

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
)

// keeping keeps every artifact; what goes is not a copy.
const keeping = `return prune(asset = "virtual_machines", keep = [a.id for a in history(asset = "virtual_machines")], apply = True)`

// newDeaths opens a lab in which a night was well, others were killed behind their
// vzdump, and the last one was well again. The orphans that they left are returned.
func newDeaths(t *testing.T, deaths int) (*bench, []string) {
	t.Helper()
	b := newNights(t, 1)
	was := b.dumps()
	for range deaths {
		b.dies(main(proveScratch), ending)
		b.clock.advance(day)
	}
	var orphans []string
	for _, d := range b.dumps() {
		if !slices.Contains(was, d) {
			orphans = append(orphans, d)
		}
	}
	if len(orphans) != deaths {
		t.Fatalf("%d deaths left %d archives", deaths, len(orphans))
	}
	return b, orphans
}

func (b *bench) left(files []string) (n int) {
	b.t.Helper()
	for _, f := range files {
		if _, err := os.Stat(f); err == nil {
			n++
		}
	}
	return n
}

func TestArchivesOfDeadRunsAreRemovedBitByBit(t *testing.T) {
	t.Parallel()
	b, orphans := newDeaths(t, 3)
	b.good(keeping)
	if b.left(orphans) != 3 {
		t.Fatal("an archive is gone though its policy may yet be resumed, and no newer one is proven")
	}
	b.good(proveScratch)
	b.clock.advance(day)
	b.good(strings.Replace(keeping, ", apply = True", "", 1))
	if b.left(orphans) != 3 || !b.reported("3 archives of runner's own are not copies; 3 of them can go, 1 in this run") ||
		!b.reported("would remove scratch on node, taken ", filepath.Base(orphans[0])) {
		t.Errorf("telling left %d:\n%s", b.left(orphans), strings.Join(b.lines, "\n"))
	}
	for want := 2; want >= 0; want-- {
		out := b.good(keeping)
		if b.left(orphans) != want || b.left(orphans[:3-want]) != 0 {
			t.Errorf("got %d archives left, want the %d youngest", b.left(orphans), want)
		}
		r, err := report.NewRun(t.Context(), b.catalog(), out.Run)
		if err != nil || len(r.Removals) != 1 || !strings.Contains(r.Removals[0].What, "scratch on node") ||
			!strings.Contains(r.Removals[0].ID, filepath.Base(orphans[2-want])) {
			t.Errorf("show tells %+v, %v", r.Removals, err)
		}
	}
	b.good(keeping)
	if len(b.copies("")) != 6 || len(b.dumps()) != 2 {
		t.Errorf("got %d copies and %d archives, want 6 and 2", len(b.copies("")), len(b.dumps()))
	}
}

func TestRemovingArchivesSurvivesACrash(t *testing.T) {
	t.Parallel()
	b, orphans := newDeaths(t, 3)
	b.good(proveScratch)
	b.clock.advance(day)
	policy := main(keeping)
	id := b.dies(policy, func(e ledger.Entry) bool {
		var m ledger.Mark
		return e.Type == ledger.StepMark && e.Decode(&m) == nil && strings.HasPrefix(m.Key, ledger.MarkRemoved)
	})
	if out := b.resume(policy, id); out.Err != nil || out.Result != ledger.OK {
		t.Fatalf("got %s, %v, %v", out.Result, out.Err, out.Findings)
	}
	if b.left(orphans) != 2 || b.left(orphans[:1]) != 0 {
		t.Errorf("got %d archives left: the share of one run is one", b.left(orphans))
	}
}

func TestOrphansThatStay(t *testing.T) {
	t.Parallel()
	notes := func(edit func(string) string) func(string) error {
		return func(path string) error {
			raw, err := os.ReadFile(path + ".notes")
			if err != nil {
				return err
			}
			return os.WriteFile(path+".notes", []byte(edit(string(raw))), 0o600)
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(path string) error
		words []string
	}{
		{"somebody protected it", func(path string) error { return os.WriteFile(path+".protected", nil, 0o600) }, nil},
		{"its run is not in this ledger", notes(func(s string) string { return strings.Replace(s, "-run002", "-other", 1) }),
			[]string{"1 archives carry tokens of runs that this ledger does not know", "never removed here"}},
		{"its step saved nothing", notes(func(s string) string { return strings.TrimSpace(s) + "/7" }), nil},
		{"it carries two tokens", notes(func(s string) string { return s + " " + s }), nil},
		{"another tool made it", notes(func(string) string { return "nightly job" }), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, orphans := newDeaths(t, 1)
			b.good(proveScratch)
			b.clock.advance(day)
			if err := c.spoil(orphans[0]); err != nil {
				t.Fatal(err)
			}
			b.good(keeping)
			if b.left(orphans) != 1 || b.reported("removed scratch") {
				t.Error("it is gone")
			}
			if c.words != nil && !b.reported(c.words...) {
				t.Errorf("want to be told %q:\n%s", c.words, strings.Join(b.lines, "\n"))
			}
		})
	}
}

func TestOrphansOfARunThatEnded(t *testing.T) {
	t.Parallel()
	b := newNights(t, 1)
	b.good(`return snapshot_vm(guest = "scratch")`) // it ends, and nothing counts its archive
	b.clock.advance(day)
	if b.good(keeping); len(b.dumps()) != 2 {
		t.Fatal("the newest archive is gone, though nothing newer is proven")
	}
	b.good(proveScratch)
	b.clock.advance(day)
	if b.good(keeping); len(b.dumps()) != 2 || len(b.copies("node")) != 2 {
		t.Errorf("got %d archives, want the 2 that are copies", len(b.dumps()))
	}
}

func TestASiteThatAllowsNoRemovalKeepsOrphans(t *testing.T) {
	t.Parallel()
	b, orphans := newDeaths(t, 1)
	b.good(proveScratch)
	b.clock.advance(day)
	b.edit(`allow(destroy = ["prune"])`, "")
	wantCode(t, b.run(keeping), failure.Refused.Name, `allow(destroy = ["prune"])`)
	if b.left(orphans) != 1 {
		t.Error("what the site does not allow was done")
	}
}

func TestAStorageThatDoesNotAnswerHoldsUpNoCopies(t *testing.T) {
	t.Parallel()
	b := newNights(t, 5)
	b.good(clearing)
	b.edit(`"https://pve1.lab:8006"`, `"https://nowhere.lab:8006"`)
	before := len(b.copies("offsite"))
	out := b.run(pruning(", apply = True"))
	wantFinding(t, out, ledger.DegradedRun, "archives that are not copies were not looked for on pve: ")
	if n := len(b.copies("offsite")); out.Result != ledger.DegradedRun || n >= before {
		t.Errorf("got %s, and %d of %d copies offsite", out.Result, n, before)
	}
}

// Of a guest that is backed up no more, nobody looks for its archives but prune.
func TestPruneFindsThatSomebodyElseRemovedAnArchive(t *testing.T) {
	t.Parallel()
	b := newNights(t, 2)
	dumps := b.dumps()
	if err := os.Remove(dumps[0]); err != nil {
		t.Fatal(err)
	}
	out := b.run(keeping)
	wantFinding(t, out, ledger.DegradedRun, "the archive of scratch of ", " is not on node any more: runner did not remove it, and it "+
		"counts no longer")
	if n := len(out.Findings); n != 1 {
		t.Errorf("got %d findings: %+v", n, out.Findings)
	}
	b.good(keeping) // it is reported once
	b.lines = nil
	if b.good(clearing); b.reported("removed scratch on node") ||
		!b.reported("scratch on node", "it was not there any more: no longer listed") {
		t.Errorf("the record says of somebody else's removal that it was ours:\n%s", strings.Join(b.lines, "\n"))
	}
}
