package builtins

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
)

const day = 24 * time.Hour

// newNights opens a lab whose assets are kept for two days, and runs some nights.
func newNights(t *testing.T, nights int, edits ...string) *bench {
	t.Helper()
	b := newBench(t, append([]string{`retention = "28d"`, `retention = "2d"`, "keep = 28", "keep = 2"}, edits...)...)
	for range nights {
		b.good(proveScratch)
		b.clock.advance(day)
	}
	return b
}

// pruning removes all but the newest artifact.
func pruning(args string) string {
	return `return prune(asset = "virtual_machines", keep = [a.id for a in history(asset = "virtual_machines", item = "scratch")[-1:]]` +
		args + `)`
}

// clearing keeps every artifact, and one archive on the storage.
const clearing = `return prune(asset = "virtual_machines", keep = [a.id for a in history(asset = "virtual_machines")], keep_on_storage = 1, apply = True)`

func TestPruneTellsWhatItWouldRemove(t *testing.T) {
	t.Parallel()
	b := newNights(t, 5)
	b.edit(`allow(destroy = ["prune"])`, "")
	out := b.good(strings.Replace(pruning(""), "return prune", "return [r.why for r in prune", 1) + "]")
	if s := out.Value.String(); strings.Count(s, "days old, no rule keeps it") != 4 {
		t.Errorf("got %s, want 4 removals of 15 copies", s)
	}
	if len(b.copies("")) != 15 || len(b.dumps()) != 5 || len(rows[map[string]string](b, ledger.RowRemoved, ledger.Query{})) != 0 {
		t.Errorf("got %d copies and %d archives, want all of them", len(b.copies("")), len(b.dumps()))
	}
	wantCode(t, b.run(pruning(", apply = True")), failure.Refused.Name, `allow(destroy = ["prune"])`)
	if len(b.copies("")) != 15 || len(b.dumps()) != 5 {
		t.Error("what the site does not allow was done")
	}
}

// linesWith counts what the operator was reported with these words.
func (b *bench) linesWith(words ...string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, l := range b.lines {
		if missing(l, words) == "" {
			n++
		}
	}
	return n
}

func TestARemovalIsToldInALine(t *testing.T) {
	t.Parallel()
	b := newNights(t, 5)
	oldest := b.artifacts()[0].Created.UTC().Format(time.RFC3339)
	words := func(did string) []string {
		return []string{did + " scratch on offsite, taken " + oldest, "5 days old, no rule keeps it"}
	}
	b.good(pruning(""))
	if n := b.linesWith("would remove scratch on "); n != 4 || b.linesWith(words("would remove")...) != 1 {
		t.Errorf("telling: got %d lines, want 4:\n%s", n, strings.Join(b.lines, "\n"))
	}
	head, _ := b.store.Head(t.Context())
	for _, apply := range []string{"", ", apply = True"} {
		b.lines = nil
		cfg := b.config(main(pruning(apply)))
		cfg.Mode = runtime.Plan
		if out, err := runtime.Exec(t.Context(), cfg); err != nil || out.Err != nil {
			t.Fatal(err, out)
		}
		if n := b.linesWith("would remove scratch on "); n != 4 || b.linesWith(words("would remove")...) != 1 {
			t.Errorf("a plan of prune%s: got %d lines, want 4:\n%s", apply, n, strings.Join(b.lines, "\n"))
		}
	}
	if after, _ := b.store.Head(t.Context()); after != head || len(b.copies("")) != 15 {
		t.Errorf("the plans changed something: %d entries were %d", after.Size, head.Size)
	}
	b.lines = nil
	out := b.good(pruning(", apply = True"))
	if n := b.linesWith("removed scratch on "); n != 4 || b.linesWith(words("removed")...) != 1 || b.linesWith("would remove") != 0 {
		t.Errorf("removing: got %d lines, want 4:\n%s", n, strings.Join(b.lines, "\n"))
	}
	r, err := report.NewRun(t.Context(), b.catalog(), out.Run)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.Text(&text, report.TextOptions{More: true, Width: 200}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "scratch on offsite, taken "+oldest+": 5 days old, no rule keeps it") || len(r.Removals) != 4 {
		t.Errorf("show does not tell of the removals:\n%s", text.String())
	}
}

func TestPruneRemovesTheOldest(t *testing.T) {
	t.Parallel()
	b := newNights(t, 5)
	before := b.copies("")
	b.good(pruning(", apply = True"))
	after := b.copies("")
	if len(after) != 11 {
		t.Fatalf("got %d copies, want 11", len(after))
	}
	left := map[string]bool{}
	for _, c := range after {
		left[c.ID] = true
	}
	place := map[string]string{"offsite": b.offsite(), "offline-a": b.usb("offline-a")}
	for _, c := range before {
		if dir := place[c.Target]; dir != "" {
			if _, err := os.Stat(filepath.Join(dir, c.Ref)); (err == nil) != left[c.ID] {
				t.Errorf("%s on %s: recorded as there: %v; looking for it: %v", c.Taken, c.Target, left[c.ID], err)
			}
		}
		if !left[c.ID] && len(rows[ledger.Proof](b, ledger.RowProof, ledger.Query{Ref: c.ID})) > 0 {
			t.Errorf("%s on %s is gone, its proofs are not", c.Taken, c.Target)
		}
	}
	if n := len(b.dumps()); n != len(b.copies("node")) {
		t.Errorf("got %d archives on the storage, recorded are %d", n, len(b.copies("node")))
	}
}

func TestPruneKeepsSoManyOnTheStorage(t *testing.T) {
	t.Parallel()
	b := newNights(t, 4)
	b.good(clearing)
	if n := len(b.dumps()); n != 1 || len(b.copies("node")) != 1 || len(b.copies("offsite")) != 4 {
		t.Errorf("got %d archives, %d copies offsite; want 1 and 4", n, len(b.copies("offsite")))
	}
}

func TestPruneRefusesArchivesOfOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(path string) error
		words string
	}{
		{"somebody protected it", func(path string) error { return os.WriteFile(path+".protected", nil, 0o600) }, "somebody protected it"},
		{"its notes are another tool's", func(path string) error { return os.WriteFile(path+".notes", []byte("nightly job"), 0o600) },
			"never removed"},
		{"its notes are of a longer step", func(path string) error {
			raw, err := os.ReadFile(path + ".notes")
			if err != nil {
				return err
			}
			return os.WriteFile(path+".notes", append(raw, '0'), 0o600)
		}, "never removed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newNights(t, 3)
			oldest := b.dump(b.artifacts()[0])
			if err := c.spoil(oldest); err != nil {
				t.Fatal(err)
			}
			out := b.run(clearing)
			if out.Err != nil || out.Result != ledger.DegradedRun {
				t.Fatalf("got %s, %v", out.Result, out.Err)
			}
			wantFinding(t, out, ledger.DegradedRun, c.words, filepath.Base(oldest))
			if _, err := os.Stat(oldest); err != nil {
				t.Errorf("it is gone: %v", err)
			}
			if n := len(b.copies("node")); n != 2 || len(b.dumps()) != 2 {
				t.Errorf("got %d copies in place and %d archives, want 2", n, len(b.dumps()))
			}
		})
	}
}

func TestPruneWaitsForAMediumThatIsAway(t *testing.T) {
	t.Parallel()
	b := newNights(t, 5)
	b.detach("offline-a")
	b.good(pruning(", apply = True"))
	if len(b.copies("")) != 11 || len(b.copies("offline-a")) != 5 || !b.reported("offline-a of scratch stays for now", "E_MEDIA_ABSENT") {
		t.Errorf("got %d copies on the medium that is away, %d offsite:\n%s", len(b.copies("offline-a")), len(b.copies("offsite")),
			strings.Join(b.lines, "\n"))
	}
}

func TestPruneSurvivesACrash(t *testing.T) {
	t.Parallel()
	b := newNights(t, 5)
	policy := main(pruning(", apply = True"))
	removals := 0
	id := b.dies(policy, func(e ledger.Entry) bool {
		if e.Type == ledger.StepMark {
			removals++
		}
		return removals == 3
	})
	out := b.resume(policy, id)
	if out.Err != nil || out.Result != ledger.OK {
		t.Fatalf("got %s, %v, %v", out.Result, out.Err, out.Findings)
	}
	if len(b.copies("")) != 11 || len(b.dumps()) != len(b.copies("node")) {
		t.Errorf("got %d copies, want 11; %d archives, recorded %d", len(b.copies("")), len(b.dumps()), len(b.copies("node")))
	}
}

// A disk that was brought up to date is made like the others: there goes what none of
// them holds any more, and nothing anywhere else.
func TestPruneOfOneTarget(t *testing.T) {
	t.Parallel()
	b := newNights(t, 5)
	const alike = `return len(prune(target = "offline-a", apply = True))`
	if got := b.good(alike).Value.String(); got != "0" {
		t.Errorf("while the others hold everything, %s copies went", got)
	}
	out := b.good(strings.Replace(pruning(`, target = "offline-a", apply = True`), "return prune", "return [r.target for r in prune", 1) + "]")
	if s := out.Value.String(); !strings.Contains(s, "offline-a") || strings.Contains(s, "offsite") || strings.Contains(s, "node") {
		t.Errorf("got %s, want removals on offline-a alone", s)
	}
	if len(b.copies("node")) != 5 || len(b.copies("offsite")) != 5 || len(b.copies("offline-a")) >= 5 {
		t.Errorf("got %d, %d and %d copies on node, offsite and offline-a", len(b.copies("node")), len(b.copies("offsite")),
			len(b.copies("offline-a")))
	}
	if out := b.run(`return prune(keep = [])`); out.Err == nil || !strings.Contains(out.Err.Error(), "say which asset") {
		t.Errorf("neither asset nor target: got %v", out.Err)
	}
}
