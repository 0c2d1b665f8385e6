package report

import (
	"fmt"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

var now = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

// book writes a ledger for tests.
type book struct {
	t    *testing.T
	l    *ledger.Ledger
	step int
}

func newBook(t *testing.T) *book { return &book{t: t, l: ledger.New(ledger.NewMemory())} }

func (b *book) catalog() ledger.Catalog { return ledger.Catalog{Store: b.l} }

func (b *book) entry(typ string, at time.Time, run, step string, body any) {
	b.t.Helper()
	e, err := ledger.NewEntry(typ, at, run, step, body)
	if err == nil {
		_, err = b.l.Record(b.t.Context(), e)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// facts records one ended step with what it did.
func (b *book) facts(at time.Time, run string, f ledger.Facts) string {
	b.t.Helper()
	step := fmt.Sprintf("/%d", b.step)
	b.step++
	begin := ledger.Begin{Primitive: "copy", Kind: "write", Position: "nightly.star:7:3", Attempt: 1}
	b.entry(ledger.StepBegin, at, run, step, begin)
	b.entry(ledger.StepEnd, at.Add(2*time.Second), run, step, ledger.End{OK: true, Nanos: int64(2 * time.Second), Facts: f})
	return step
}

func (b *book) begin(run string, at time.Time, edit ...func(*ledger.Run)) {
	h := ledger.Run{ID: run, Policy: "//nightly.star", Path: "policies/nightly.star", Host: "pve1", Began: at, Version: "1.2.3",
		Operator: ledger.Operator{User: "root", Sudo: "anna"},
		Policies: []ledger.Policy{{Label: "//nightly.star", SOP: "IT-245", Section: "VM Procedures", Version: "1.0.0",
			Protects: []string{"vms"}}}}
	for _, e := range edit {
		e(&h)
	}
	b.entry(ledger.RunBegin, at, run, "", h)
}

func (b *book) end(run string, at time.Time, result string, findings ...ledger.Finding) {
	b.entry(ledger.RunEnd, at, run, "", ledger.RunOutcome{Result: result, Findings: findings, Ended: at, Nanos: int64(10 * time.Minute)})
}

// expect records an inventory.
func (b *book) expect(at time.Time, run string, names ...string) {
	var f ledger.Facts
	for i, n := range names {
		f.Expected = append(f.Expected, ledger.Item{Asset: "vms", Name: n, ID: fmt.Sprint(100 + i)})
	}
	b.facts(at, run, f)
}

func (b *book) artifact(run, item string, at time.Time, gaps ...ledger.Gap) ledger.Artifact {
	a := ledger.Artifact{ID: ledger.ArtifactID(run, item+at.String()), Kind: "vm", Asset: "vms", Item: item, Run: run, Created: at,
		Bytes:       1 << 30,
		Consistency: "agent freeze", Gaps: gaps, Files: []ledger.File{{Name: item + ".vma.zst", Size: 1 << 30}}}
	b.facts(at, run, ledger.Facts{Artifacts: []ledger.Artifact{a}})
	return a
}

// devices of the targets of tests.
var devices = map[string]ledger.Copy{
	"nas":       {Medium: "disk", Location: "office", Device: ledger.Device{ID: "serial:NAS1"}},
	"second":    {Medium: "disk", Location: "office", Device: ledger.Device{ID: "serial:NAS1"}},
	"beside":    {Medium: "disk", Location: "office", Device: ledger.Device{ID: "serial:NAS1"}, OnSource: true},
	"offsite":   {Medium: "disk", Location: "berlin", Account: "backup@offsite", Offsite: true, SealedTo: []string{"age1x"}, Opened: true},
	"offline-a": {Medium: "usb", Location: "safe", Device: ledger.Device{ID: "serial:USB1"}, Offline: true},
	"offline-b": {Medium: "usb", Location: "safe", Device: ledger.Device{ID: "serial:USB2"}, Offline: true},
}

// copy records a copy, proven to level at its time; -1 leaves it unproven.
func (b *book) copy(a ledger.Artifact, target string, level int) ledger.Copy {
	c := devices[target]
	c.ID, c.Artifact, c.Kind, c.Asset, c.Item, c.Target = ledger.CopyID(a.ID, target), a.ID, a.Kind, a.Asset, a.Item, target
	c.Taken, c.Created, c.Bytes = a.Created, a.Created.Add(5*time.Minute), a.Bytes
	f := ledger.Facts{Copies: []ledger.Copy{c}}
	if level >= 0 {
		f.Proofs = []ledger.Proof{{Copy: c.ID, Artifact: a.ID, Asset: a.Asset, Item: a.Item, Target: target, Level: level, At: c.Created,
			Run: a.Run, Step: "/p", Bytes: a.Bytes, Nanos: int64(10 * time.Second)}}
	}
	for _, r := range c.SealedTo {
		f.Keys = append(f.Keys, ledger.KeyProof{Recipient: r, Target: target, Copy: c.ID, At: c.Created})
	}
	b.facts(c.Created, a.Run, f)
	return c
}

func (b *book) medium(target, state string, at time.Time) {
	b.facts(at, "media", ledger.Facts{Media: []ledger.Medium{{Target: target, State: state, At: at, Device: devices[target].Device}}})
}

// demands are those of the tests: three copies, one of them on a medium that is
// fetched every week.
func demands() ledger.Demands {
	return ledger.Demands{
		Assets: []ledger.AssetDemand{{Name: "vms", Title: "Virtual Machines", RPO: day, RTO: time.Hour, Retention: 28 * day,
			Online: "1 full + 27 incr.", Keep: 28,
			Copies: 3, Media: 2, Offsite: 1, Offline: 1,
			On: []ledger.CopyDemand{{Target: "nas", Level: ledger.Opened}, {Target: "offline-a", Level: ledger.Read},
				{Target: "offsite", Level: ledger.Read}}}},
		Targets: []ledger.TargetFacts{{Name: "nas", Medium: "disk", Location: "office"},
			{Name: "offsite", Medium: "disk", Location: "berlin", Offsite: true},
			{Name: "offline-a", Medium: "usb", Location: "safe", Offline: true, Due: 7 * day, Grace: 3 * day}},
	}
}

// night records a complete run.
func (b *book) night(run string, at time.Time, names ...string) {
	b.begin(run, at)
	b.expect(at, run, names...)
	for _, n := range names {
		a := b.artifact(run, n, at.Add(time.Minute))
		b.copy(a, "nas", ledger.Opened)
		b.copy(a, "offsite", ledger.Read)
		b.copy(a, "offline-a", ledger.Read)
	}
	b.end(run, at.Add(10*time.Minute), ledger.OK)
}

func judged(run string, since time.Time) ledger.Judged {
	return ledger.Judged{Run: run, Protects: []string{"vms"}, Since: since, Now: now}
}
