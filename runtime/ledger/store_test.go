package ledger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 1, 1, 0, 0, 0, time.UTC)

func mustEntry(t testing.TB, typ string, at time.Time, run, step string, body any) Entry {
	t.Helper()
	e, err := NewEntry(typ, at, run, step, body)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func open(t testing.TB, path string) *SQLite {
	t.Helper()
	s, err := OpenSQLite(context.Background(), path, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func record(t testing.TB, l *Ledger, entries ...Entry) Head {
	t.Helper()
	h, err := l.Record(context.Background(), entries...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// stores are the implementations that the suite holds to the contract.
func stores(t *testing.T, test func(t *testing.T, l *Ledger)) {
	t.Run("memory", func(t *testing.T) { test(t, New(NewMemory())) })
	t.Run("sqlite", func(t *testing.T) { test(t, New(open(t, filepath.Join(t.TempDir(), "state", "ledger.db")))) })
}

// night records a small run: an artifact with two copies, each proven.
func night(t testing.TB, l *Ledger, run string, at time.Time) {
	t.Helper()
	a := Artifact{ID: ArtifactID(run, "/0"), Kind: "vm", Asset: "vms", Item: "erp", Run: run, Step: "/0", Created: at,
		Files: []File{{Name: "a", Size: 9}}}
	record(t, l, mustEntry(t, RunBegin, at, run, "", Run{ID: run, Policy: "p", Began: at}))
	record(t, l, mustEntry(t, StepBegin, at, run, "/0", Begin{Primitive: "snapshot_vm", Attempt: 1}),
		mustEntry(t, StepMark, at, run, "/0", Mark{Key: "upid", Value: "x"}))
	record(t, l, mustEntry(t, StepEnd, at, run, "/0",
		End{OK: true, Facts: Facts{Artifacts: []Artifact{a}, Expected: []Item{{Asset: "vms", Name: "erp", ID: "100"}}}}))
	for i, target := range []string{"nas", "offsite"} {
		step := fmt.Sprint("/1/", i)
		c := Copy{ID: CopyID(a.ID, target), Artifact: a.ID, Asset: "vms", Item: "erp", Target: target, Taken: at, Created: at}
		p := Proof{Copy: c.ID, Artifact: a.ID, Asset: "vms", Item: "erp", Target: target, Level: Read, At: at.Add(time.Second), Run: run,
			Step: step}
		record(t, l, mustEntry(t, StepEnd, at, run, step,
			End{OK: true, Call: &Begin{Primitive: "copy"}, Facts: Facts{Copies: []Copy{c}, Proofs: []Proof{p}}}))
	}
	record(t, l, mustEntry(t, RunEnd, at.Add(time.Minute), run, "", RunOutcome{Result: OK, Ended: at.Add(time.Minute)}))
}

func sound(t testing.TB, s Store, entries int64) {
	t.Helper()
	r, err := Verify(t.Context(), s, nil)
	if err != nil || !r.OK() || r.Entries != entries {
		t.Errorf("got %d entries, problems %v, %v, want %d and none", r.Entries, r.Problems, err, entries)
	}
}

func TestEntriesComeBackInOrder(t *testing.T) {
	stores(t, func(t *testing.T, l *Ledger) {
		sound(t, l, 0)
		night(t, l, "r1", t0)
		night(t, l, "r2", t0.Add(time.Hour))
		sound(t, l, 14)
		for _, c := range []struct {
			name string
			f    Filter
			want []int64
		}{
			{"all", Filter{}, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}},
			{"from a number on", Filter{From: 12}, []int64{12, 13}},
			{"of a run", Filter{Run: "r2"}, []int64{7, 8, 9, 10, 11, 12, 13}},
			{"of a type", Filter{Type: RunBegin}, []int64{0, 7}},
			{"of all three", Filter{From: 1, Run: "r2", Type: StepEnd}, []int64{10, 11, 12}},
			{"of a run that is not there", Filter{Run: "r3"}, nil},
		} {
			var got []int64
			if err := l.Entries(t.Context(), c.f, func(e Entry) error { got = append(got, e.Seq); return nil }); err != nil ||
				!slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
			}
		}
		stop := errors.New("enough")
		if err := l.Entries(t.Context(), Filter{}, func(Entry) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("a callback's error: got %v", err)
		}
	})
}

func TestRowsAreFoundByTheirColumns(t *testing.T) {
	stores(t, func(t *testing.T, l *Ledger) {
		night(t, l, "r1", t0)
		night(t, l, "r2", t0.Add(time.Hour))
		a1, a2 := ArtifactID("r1", "/0"), ArtifactID("r2", "/0")
		for _, c := range []struct {
			name string
			q    Query
			want []string
		}{
			{"artifacts, oldest first", Query{Kind: RowArtifact}, []string{a1, a2}},
			{"an artifact by id", Query{Kind: RowArtifact, ID: a2}, []string{a2}},
			{"copies of an artifact", Query{Kind: RowCopy, Ref: a1, Target: "nas"}, []string{CopyID(a1, "nas")}},
			{"copies on a target", Query{Kind: RowCopy, Asset: "vms", Item: "erp", Target: "offsite"},
				[]string{CopyID(a1, "offsite"), CopyID(a2, "offsite")}},
			{"runs", Query{Kind: RowRun}, []string{"r1", "r2"}},
			{"items of a run", Query{Kind: RowItem, Run: "r2", Asset: "vms"}, []string{shortHash("r2", "vms", "erp", "100")}},
			{"of another asset", Query{Kind: RowArtifact, Asset: "logs"}, nil},
		} {
			var got []string
			if err := l.Rows(t.Context(), c.q, func(r Row) error { got = append(got, r.ID); return nil }); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
			}
		}
	})
}

func TestProjections(t *testing.T) {
	copyID, other := CopyID(ArtifactID("r1", "/0"), "nas"), CopyID(ArtifactID("r1", "/0"), "offsite")
	proof := Proof{Copy: copyID, Target: "nas", Level: Opened, Run: "r2", Step: "/0", At: t0}
	end := func(f Facts) func(t *testing.T) Entry {
		return func(t *testing.T) Entry { return mustEntry(t, StepEnd, t0, "r2", "/0", End{OK: true, Facts: f}) }
	}
	undo := func(typ string, body any) func(t *testing.T) Entry {
		return func(t *testing.T) Entry { return mustEntry(t, typ, t0, "r2", "/0", body) }
	}
	cases := []struct {
		name    string
		entries []func(t *testing.T) Entry
		want    map[string]int // rows by kind
	}{
		{"a night", nil, map[string]int{RowCopy: 2, RowProof: 2, RowArtifact: 1, RowRun: 1, RowRunEnd: 1, RowRemoved: 0}},
		{"a damaged copy stays, its proofs do not", []func(*testing.T) Entry{end(Facts{Damaged: []string{copyID}})},
			map[string]int{RowCopy: 2, RowProof: 1}},
		{"a copy found damaged and proven anew in one step",
			[]func(*testing.T) Entry{end(Facts{Damaged: []string{copyID}, Proofs: []Proof{proof}})}, map[string]int{RowCopy: 2, RowProof: 2}},
		{"a removed copy leaves a note", []func(*testing.T) Entry{end(Facts{Removed: []string{copyID}})},
			map[string]int{RowCopy: 1, RowProof: 1, RowRemoved: 1, RowArtifact: 1}},
		{"all copies removed", []func(*testing.T) Entry{end(Facts{Removed: []string{copyID, other}})},
			map[string]int{RowCopy: 0, RowProof: 0, RowRemoved: 2}},
		{"removed and written again", []func(*testing.T) Entry{end(Facts{Removed: []string{copyID}}),
			end(Facts{Copies: []Copy{{ID: copyID, Artifact: "a", Taken: t0}}, Proofs: []Proof{proof}})},
			map[string]int{RowCopy: 2, RowProof: 2}},
		{"an empty id removes nothing", []func(*testing.T) Entry{end(Facts{Removed: []string{""}, Damaged: []string{""}})},
			map[string]int{RowCopy: 2, RowProof: 2, RowRemoved: 1}},
		{"an undo that is not settled", []func(*testing.T) Entry{undo(UndoBegin, Undo{ID: "u"})}, map[string]int{RowUndo: 1}},
		{"an undo that failed", []func(*testing.T) Entry{undo(UndoBegin, Undo{ID: "u"}),
			undo(UndoEnd, UndoOutcome{ID: "u", Needed: true, Failure: &Failure{Message: "no"}})}, map[string]int{RowUndo: 1}},
		{"an undo that is done", []func(*testing.T) Entry{undo(UndoBegin, Undo{ID: "u"}), undo(UndoEnd, UndoOutcome{ID: "u", Needed: true})},
			map[string]int{RowUndo: 0}},
		{"a medium keeps its newest state", []func(*testing.T) Entry{end(Facts{Media: []Medium{{Target: "usb", State: "attached", At: t0}}}),
			end(Facts{Media: []Medium{{Target: "usb", State: "detached", At: t0}}})},
			map[string]int{RowMedium: 1}},
		{"demands replace demands", []func(*testing.T) Entry{undo(SiteDemand, Demands{}),
			undo(SiteDemand, Demands{Assets: []AssetDemand{{Name: "x"}}})}, map[string]int{RowDemands: 1}},
		{"of a key on a target the newest proof counts", []func(*testing.T) Entry{
			undo(Imported, Import{Facts: Facts{Keys: []KeyProof{{Recipient: "k", Target: "nas", At: t0}, {Recipient: "k", Target: "usb", At: t0}}}}),
			undo(Imported, Import{Facts: Facts{Keys: []KeyProof{{Recipient: "k", Target: "nas", At: t0.Add(time.Hour)}}}})},
			map[string]int{RowKey: 2}},
		{"what a target's manifest said", []func(*testing.T) Entry{undo(Imported,
			Import{Target: "nas", Facts: Facts{Copies: []Copy{{ID: "c9", Taken: t0}}}})}, map[string]int{RowCopy: 3}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			stores(t, func(t *testing.T, l *Ledger) {
				night(t, l, "r1", t0)
				for _, e := range c.entries {
					record(t, l, e(t))
				}
				for kind, want := range c.want {
					got := 0
					if err := l.Rows(t.Context(), Query{Kind: kind}, func(Row) error { got++; return nil }); err != nil || got != want {
						t.Errorf("got %d rows of %s, %v, want %d", got, kind, err, want)
					}
				}
				sound(t, l, 7+int64(len(c.entries)))
			})
		})
	}
}

func TestAnEntryThatCannotBeProjectedChangesNothing(t *testing.T) {
	stores(t, func(t *testing.T, l *Ledger) {
		night(t, l, "r1", t0)
		before, _ := l.Head(t.Context())
		good := mustEntry(t, RunBegin, t0, "r2", "", Run{ID: "r2"})
		if _, err := l.Record(t.Context(), good, mustEntry(t, "no such type", t0, "r2", "", nil)); err == nil {
			t.Fatal("an unknown type was recorded")
		}
		after, err := l.Head(t.Context())
		if err != nil || after != before {
			t.Errorf("got head %v, %v, want %v", after, err, before)
		}
		sound(t, l, 7)
		if _, err := l.Record(t.Context(), good); err == nil {
			t.Error("after an error, the ledger took another entry")
		}
		if err := l.Later(good); err == nil {
			t.Error("after an error, the ledger took an entry for later")
		}
		if err := l.Flush(t.Context()); err == nil {
			t.Error("after an error, Flush said that all is durable")
		}
	})
}

func TestManyGoroutinesRecordAtOnce(t *testing.T) {
	stores(t, func(t *testing.T, l *Ledger) {
		const branches, each = 16, 20
		var wg sync.WaitGroup
		for b := range branches {
			wg.Go(func() {
				for i := range each {
					e, err := NewEntry(StepMark, t0, fmt.Sprint("r", b), "/0", Mark{Key: fmt.Sprint(i)})
					if err == nil && i%4 == 3 {
						err = l.Later(e)
					} else if err == nil {
						_, err = l.Record(t.Context(), e)
					}
					if err != nil {
						t.Error(err)
					}
				}
				if err := l.Flush(t.Context()); err != nil {
					t.Error(err)
				}
				n := 0
				if err := l.Entries(t.Context(), Filter{Run: fmt.Sprint("r", b)}, func(Entry) error { n++; return nil }); err != nil || n != each {
					t.Errorf("after Flush a branch sees %d of its entries, %v, want %d", n, err, each)
				}
			})
		}
		wg.Wait()
		sound(t, l, branches*each)
		for b := range branches {
			next := 0
			if err := l.Entries(t.Context(), Filter{Run: fmt.Sprint("r", b)}, func(e Entry) error {
				var m Mark
				if err := e.Decode(&m); err != nil || m.Key != fmt.Sprint(next) {
					t.Errorf("branch %d: got %q as entry %d, %v", b, m.Key, next, err)
				}
				next++
				return nil
			}); err != nil || next != each {
				t.Errorf("branch %d: got %d entries, %v", b, next, err)
			}
		}
	})
}

func TestLaterIsDurableWithTheNextWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := New(open(t, path))
	read := mustEntry(t, StepEnd, t0, "r", "/0", End{OK: true, Call: &Begin{Primitive: "guests"}})
	if err := l.Later(read); err != nil {
		t.Fatal(err)
	}
	if h, err := open(t, path).Head(t.Context()); err != nil || h.Size != 0 {
		t.Errorf("got %d entries, %v, want none yet", h.Size, err)
	}
	record(t, l, mustEntry(t, StepMark, t0, "r", "/1", Mark{}))
	if err := l.Later(mustEntry(t, StepMark, t0, "r", "/2", Mark{})); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var steps []string
	if err := open(t, path).Entries(t.Context(), Filter{}, func(e Entry) error { steps = append(steps, e.Step); return nil }); err != nil ||
		!slices.Equal(steps, []string{"/0", "/1", "/2"}) {
		t.Errorf("got %v, %v, want /0 /1 /2", steps, err)
	}
}

func TestTheTreeIsThatOfTheLog(t *testing.T) {
	m := NewMemory()
	var f frontier
	for i := range 70 {
		e := mustEntry(t, StepMark, t0, "r", "/0", Mark{Key: fmt.Sprint(i)})
		h, err := m.Append(t.Context(), []Entry{e})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.add(e.Hash(), nil); string(got) != string(m.blobs[i]) || f.root() != h.Root {
			t.Fatalf("at %d entries: the frontier gives %v, the log %v", i+1, f.root(), h.Root)
		}
	}
}

func TestCheckpointsReadBack(t *testing.T) {
	h := Head{Size: 12}
	h.Root[3] = 0xab
	if got, err := ParseCheckpoint(h.Checkpoint()); err != nil || got != h {
		t.Errorf("got %v, %v, want %v", got, err, h)
	}
	for _, bad := range []string{"", "runner ledger\n", "runner ledger\n-1\n" + fmt.Sprintf("%064x\n", 0), "runner ledger\n1\n00\n",
		h.Checkpoint() + "x", "\n" + h.Checkpoint(), "runner ledger\n012\n" + fmt.Sprintf("%064x\n", 0)} {
		if _, err := ParseCheckpoint(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
