package report

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// badNight is a run in which one guest was locked and one copy was not read back.
func badNight(t *testing.T) *book {
	b := newBook(t)
	at := now.Add(-time.Hour)
	b.begin("r", at, func(h *ledger.Run) {
		h.Args = map[string]string{"b": "2", "a": "1"}
		h.SitePath = "/etc/runner/site.star"
	})
	b.expect(at, "r", "erp", "mail")
	a := b.artifact("r", "erp", at, ledger.Gap{What: "disk scsi1", Why: "backup=0"})
	b.copy(a, "nas", ledger.Opened)
	b.copy(a, "offsite", ledger.Stored)
	begin := ledger.Begin{Primitive: "snapshot_vm", Kind: "write", Args: json.RawMessage(`{"guest":"mail","mode":"snapshot"}`),
		Position: "nightly.star:12:5"}
	b.entry(ledger.StepBegin, at, "r", "/10", begin)
	b.entry(ledger.StepEnd, at, "r", "/10",
		ledger.End{Nanos: int64(time.Minute), Retried: true, Failure: &ledger.Failure{Code: "E_PVE_DOWN", Message: "no answer"}})
	b.entry(ledger.StepBegin, at, "r", "/10", begin)
	b.entry(ledger.StepEnd, at, "r", "/10", ledger.End{Nanos: int64(time.Minute), Failure: &ledger.Failure{Code: "E_GUEST_LOCKED",
		Message: "wait for guest mail: it is still locked (backup) after 30m0s", Hint: "qm unlock 101"}})
	b.entry(ledger.UndoEnd, at, "r", "", ledger.UndoOutcome{ID: "u"})
	found := []ledger.Finding{
		{Severity: ledger.Failed, Asset: "vms", Item: "mail", Target: "nas",
			Text: "mail has no copy on nas from this run; no copy exists at all"},
		{Severity: ledger.Failed, Asset: "vms", Item: "git", Target: "nas", Text: "git has no copy on nas from this run; no copy exists at all"},
		{Severity: ledger.DegradedRun, Asset: "vms", Item: "erp", Text: "erp: disk scsi1 is left out (backup=0)"},
	}
	b.end("r", now, ledger.Failed, found...)
	return b
}

func TestRunText(t *testing.T) {
	r, err := NewRun(t.Context(), badNight(t).catalog(), "r")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.Text(&out, TextOptions{More: true, Zone: time.UTC}); err != nil {
		t.Fatal(err)
	}
	want := `nightly FAILED: 1 of 3 items safe, these are not: git, mail
  2 items  no copy on nas from this run; no copy exists at all
           mail, git
TO DO (1)
  erp: disk scsi1 is left out (backup=0)
to do what is missing, type: runner retry r
run r  policies/nightly.star  failed
  began    2026-11-23 02:00 UTC, ended 2026-11-23 03:00 UTC, running time 10 min 0 s
  by       root (sudo by anna) on pve1, runner 1.2.3
  policy   //nightly.star, IT-245, VM Procedures, version 1.0.0
  site     /etc/runner/site.star
  args     a=1 b=2

steps
  /0         ok      copy(), 2.0 s
  /1         ok      copy(), 2.0 s
  /2         ok      copy(), 2.0 s
  /3         ok      copy(), 2.0 s
  /10        failed  snapshot_vm(guest="mail", mode="snapshot"), 2 min 0 s, 2 attempts
             E_GUEST_LOCKED at nightly.star:12:5
             wait for guest mail: it is still locked (backup) after 30m0s
             hint: qm unlock 101

artifacts, copies and proofs
  erp  vm, ` + r.Items[0].Artifact.ID + `, 1.0 GiB, of 2026-11-23 02:00 UTC, agent freeze
    nas      1.0 GiB  opened in 10 s                          serial:NAS1
    offsite  1.0 GiB  stored (not read back) in 10 s  sealed  backup@offsite at berlin
    gap: disk scsi1 is left out (backup=0)
  mail  no artifact in this run
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSummary(t *testing.T) {
	r, err := NewRun(t.Context(), badNight(t).catalog(), "r")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.Summary(&out, TextOptions{More: true, Zone: time.UTC, Color: true}); err != nil {
		t.Fatal(err)
	}
	want := "nightly \x1b[31mFAILED\x1b[0m: 1 of 3 items safe, these are not: git, mail\n" +
		"  2 items  no copy on nas from this run; no copy exists at all\n" +
		"           mail, git\n" +
		"TO DO (1)\n" +
		"  erp: disk scsi1 is left out (backup=0)\n" +
		"to do what is missing, type: runner retry r\n" +
		"asset  item  size     time   copies\n" +
		"vms    erp   1.0 GiB  6.0 s  opened on nas; stored (not read back) on offsite\n" +
		"       mail  -        0.0 s  none\n" +
		"run r: \x1b[31mfailed\x1b[0m after 10 min 0 s\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestARetryShowsWhatItTookOver(t *testing.T) {
	b := badNight(t)
	first, err := NewRun(t.Context(), b.catalog(), "r")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(struct {
		Type string `json:"$type"`
		*ledger.Artifact
	}{"artifact", first.Items[0].Artifact})
	if err != nil {
		t.Fatal(err)
	}
	b.begin("r2", now, func(h *ledger.Run) { h.RetryOf = "r"; h.Lab = true })
	b.entry(ledger.StepEnd, now, "r2", "/0", ledger.End{Call: &ledger.Begin{Primitive: "snapshot_vm", Kind: "write"}, OK: true, Value: raw,
		Reused: "r"})
	c := first.Items[0].Copies[1] // offsite, now read back
	b.facts(now, "r2", ledger.Facts{Proofs: []ledger.Proof{{Copy: c.ID, Artifact: first.Items[0].Artifact.ID, Asset: "vms", Item: "erp",
		Target: "offsite", Level: ledger.Read, At: now, Run: "r2", Step: "/1"}}})
	r, err := NewRun(t.Context(), b.catalog(), "r2")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.Text(&out, TextOptions{More: true, Zone: time.UTC}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"LAB  run r2  policies/nightly.star  not ended", "LAB    retry of r",
		"snapshot_vm(), still stands from run r", "made by run r",
		"nas      1.0 GiB  opened in 10 s", "offsite  1.0 GiB  read, opened before sealing", "type: runner resume --lab r2"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant in it: %s", out.String(), want)
		}
	}
	for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if !strings.HasPrefix(l, "LAB") {
			t.Errorf("the line %q does not say LAB", l)
		}
	}
}

func TestACopyThatWasRemovedSinceIsStillShown(t *testing.T) {
	b := badNight(t)
	copies, _ := b.catalog().Copies(t.Context(), ledger.Query{Target: "nas"})
	b.facts(now, "prune", ledger.Facts{Removed: []string{copies[0].ID}})
	r, err := NewRun(t.Context(), b.catalog(), "r")
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Items[0].Copies[0]; c.Target != "nas" || !c.Gone || c.Proof != "removed since" {
		t.Errorf("got %+v, want the copy on nas as removed since", c)
	}
}

func TestWhatARunRemovedIsToldInWords(t *testing.T) {
	b := newBook(t)
	b.begin("r", now)
	b.entry(ledger.StepMark, now, "r", "/0", ledger.Mark{Key: ledger.MarkRemove + "c1", Value: "erp on nas, taken 2026-10-01T02:00:00Z: 53 " +
		"days old, no rule keeps it"})
	b.entry(ledger.StepMark, now, "r", "/0", ledger.Mark{Key: ledger.MarkRemove + "c2", Value: "one that was not removed after all"})
	b.entry(ledger.StepMark, now, "r", "/0", ledger.Mark{Key: ledger.MarkRemoved + "backup:backup/x.zst",
		Value: "erp on node: an archive in no copy"})
	b.entry(ledger.StepEnd, now, "r", "/0", ledger.End{OK: true, Facts: ledger.Facts{Removed: []string{"c1", "c3"}}})
	r, err := NewRun(t.Context(), b.catalog(), "r")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.Text(&out, TextOptions{More: true, Zone: time.UTC}); err != nil {
		t.Fatal(err)
	}
	want := "\nremoved\n  erp on node: an archive in no copy\n  erp on nas, taken 2026-10-01T02:00:00Z: 53 days old, no rule keeps it\n  c3\n"
	if !strings.Contains(out.String(), want) {
		t.Errorf("got\n%s\nwant in it %s", out.String(), want)
	}
}

func TestNoSuchRun(t *testing.T) {
	_, err := NewRun(t.Context(), newBook(t).catalog(), "r9")
	if err == nil || err.Error() != "no run r9 is recorded\nhint: runner runs lists them" {
		t.Errorf("got %v", err)
	}
}

func TestRuns(t *testing.T) {
	b := badNight(t)
	b.begin("r2", now, func(h *ledger.Run) { h.RetryOf = "r" })
	b.begin("r3", now.Add(time.Minute))
	list, err := Runs(t.Context(), b.catalog(), 0, func(run string) bool { return run == "r3" })
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := list.Text(&out, TextOptions{More: true, Zone: time.UTC}); err != nil {
		t.Fatal(err)
	}
	want := `run  policy                 began                 took        result
r3   policies/nightly.star  2026-11-23 03:01 UTC              running
r2   policies/nightly.star  2026-11-23 03:00 UTC              interrupted  retry of r
r    policies/nightly.star  2026-11-23 02:00 UTC  10 min 0 s  failed       3 findings
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	short, err := Runs(t.Context(), b.catalog(), 1, nil)
	if err != nil || len(short) != 1 || short[0].ID != "r3" || short[0].Result != ledger.Interrupted {
		t.Errorf("got %+v, %v, want r3 alone, interrupted", short, err)
	}
	out.Reset()
	if err := short.JSON(&out); err != nil || !strings.Contains(out.String(), `"result": "interrupted"`) {
		t.Errorf("got %s, %v", out.String(), err)
	}
}

func TestStepsAreInTheOrderOfThePolicy(t *testing.T) {
	want := []string{"/0", "/2[0]/0", "/2[0]/1", "/2[1]/0", "/2[10]/0", "/10", "/10/1", "/undo/0/ab"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareSteps)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWords(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	for _, c := range [][2]string{
		{age(-1), "in the future"}, {age(119 * time.Minute), "119 min"}, {age(3 * time.Hour), "3 h"}, {age(47 * time.Hour), "47 h"},
		{age(48 * time.Hour), "2 d"},
		{span(day), "1 d"}, {span(25 * 365 * day), "25 y"}, {span(90 * time.Minute), "90 min"}, {span(1500 * time.Millisecond), "1.5 s"},
		{took(61 * time.Second), "1 min 1 s"}, {took(3900 * time.Second), "1 h 5 min"}, {took(10 * time.Second), "10 s"},
		{size(1023), "1023 B"}, {size(1536), "1.5 KiB"}, {size(5 << 40), "5.0 TiB"},
		{roughly(90 * time.Second), "2 min"}, {roughly(3 * time.Hour), "3 h"},
		{when(now, zone), "2026-11-23 03:00 UTC (04:00 CET)"},
		{when(now.Add(20*time.Hour+30*time.Minute), zone), "2026-11-23 23:30 UTC (2026-11-24 00:30 CET)"},
	} {
		if c[0] != c[1] {
			t.Errorf("got %q, want %q", c[0], c[1])
		}
	}
}

func TestVerdictNamesWhereAnItemIsHeldThatFellShort(t *testing.T) {
	b := newBook(t)
	at := now.Add(-time.Hour)
	b.begin("s", at)
	b.expect(at, "s", "erp")
	a := b.artifact("s", "erp", at)
	b.copy(a, "nas", ledger.Opened)
	b.copy(a, "offsite", ledger.Stored)
	b.end("s", now, ledger.Failed, ledger.Finding{Severity: ledger.Failed, Asset: "vms", Item: "erp", Target: "offsite",
		Text: "erp was not read back on offsite"})
	r, err := NewRun(t.Context(), b.catalog(), "s")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.Summary(&out, TextOptions{Zone: time.UTC}); err != nil {
		t.Fatal(err)
	}
	if want := "FAILED: 0 of 1 items safe, erp is not (read back on nas alone)\n"; !strings.Contains(out.String(), want) {
		t.Fatalf("%s\nwant %s", out.String(), want)
	}
}
