package prune

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

var now = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// copies makes copies of one item on a target, one a day, the newest today.
// Proofs tells their levels, the newest first: "rr-" is read, read, none.
func copies(item, target, proofs string) []ledger.Proven {
	var out []ledger.Proven
	for i, p := range proofs {
		level := strings.IndexRune("-sro", p) - 1
		art := fmt.Sprintf("%s%d", item, i)
		out = append(out, ledger.Proven{Level: level, At: now.Add(-time.Duration(i) * day),
			Copy: ledger.Copy{ID: art + "@" + target, Artifact: art, Asset: "vms", Item: item, Target: target,
				Taken: now.Add(-time.Duration(i) * day), InPlace: target == "node"}})
	}
	return out
}

func on(levels map[string]int) (out []ledger.CopyDemand) {
	for name, level := range levels {
		out = append(out, ledger.CopyDemand{Target: name, Level: level})
	}
	return out
}

func TestChoose(t *testing.T) {
	three := on(map[string]int{"node": ledger.Opened, "usb": ledger.Read, "off": ledger.Read})
	join := func(lists ...[]ledger.Proven) (out []ledger.Proven) {
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	for _, c := range []struct {
		name    string
		in      Input
		want    string // ids of copies that go
		refused string
		note    string
	}{
		{name: "nothing there"},
		{name: "the oldest goes", in: Input{Copies: copies("a", "usb", "rrr")}, want: "a2@usb", note: "at most 30 %"},
		{name: "what the rule keeps stays", in: Input{Copies: copies("a", "usb", "rrr"), Keep: []string{"a2"}}, want: "a1@usb"},
		{name: "what is kept by name, with what it needs", in: Input{Copies: copies("a", "usb", "rrrr"), Keep: []string{"a1"},
			Artifacts: []ledger.Artifact{{ID: "a1", Needs: []string{"a2"}}, {ID: "a2", Needs: []string{"a3"}}}}},
		{name: "what the newest proven copy needs", in: Input{Copies: copies("a", "usb", "rrr"),
			Artifacts: []ledger.Artifact{{ID: "a0", Needs: []string{"a1"}}, {ID: "a1", Needs: []string{"a2"}}}}},
		{name: "needs that go round in a circle", in: Input{Copies: copies("a", "usb", "rrr"), Keep: []string{"a1"},
			Artifacts: []ledger.Artifact{{ID: "a1", Needs: []string{"a2"}}, {ID: "a2", Needs: []string{"a1"}}}}},
		{name: "the newest proven copy of each target", in: Input{Copies: join(copies("a", "usb", "rrr"), copies("a", "off", "--r"))},
			want: "a2@usb", note: "3 of 6"},
		{name: "what is younger than the retention",
			in: Input{Copies: copies("a", "usb", "rrrrrr"), Demand: ledger.AssetDemand{Retention: 4 * day}}, want: "a5@usb"},
		{name: "what the number of copies demands", in: Input{Copies: copies("a", "usb", "rrrrrr"), Demand: ledger.AssetDemand{Keep: 5}},
			want: "a5@usb"},
		{name: "copies that are not proven do not count", in: Input{Copies: copies("a", "usb", "r---rr"), Demand: ledger.AssetDemand{Keep: 3}}},
		{name: "levels below the demand do not count",
			in: Input{Copies: copies("a", "usb", "orrooo"), Demand: ledger.AssetDemand{Keep: 4, On: on(map[string]int{"usb": ledger.Opened})}}},
		{name: "an item whose newest artifact is not proven", in: Input{Copies: copies("a", "usb", "-rrrrr")},
			note: "newest artifact is not proven"},
		{name: "an item whose newest artifact is stored only", in: Input{Copies: copies("a", "usb", "srrrrr")},
			note: "newest artifact is not proven"},
		{name: "another item goes on", in: Input{Copies: join(copies("a", "usb", "-rr"), copies("b", "usb", "rrr"))}, want: "b2@usb",
			note: "a: its newest"},
		{name: "at most 30 percent", in: Input{Copies: copies("a", "usb", "rrrrrrrrrr")}, want: "a7@usb a8@usb a9@usb",
			note: "9 of 10 copies could go"},
		{name: "what this run has removed counts", in: Input{Copies: copies("a", "usb", "rrrrrrrr"), Gone: 2}, want: "a7@usb",
			note: "of 10 copies"},
		{name: "a share that is used up", in: Input{Copies: copies("a", "usb", "rrrrrrr"), Gone: 3}, note: "of 10 copies"},
		{name: "a clock that went back behind a copy", in: Input{Copies: copies("a", "usb", "rrr"), Now: now.Add(-time.Hour)},
			refused: "the clock went back"},
		{name: "archives in place once all others are read", want: "a2@node a3@node a4@node",
			in: Input{Copies: join(copies("a", "node", "ooooo"), copies("a", "usb", "rrrrr"), copies("a", "off", "rrrrr")), KeepOnStorage: 2,
				Keep: []string{"a0", "a1", "a2", "a3", "a4"}, Demand: ledger.AssetDemand{On: three}}},
		{name: "archives in place while one other is not read", want: "a2@node a4@node",
			in: Input{Copies: join(copies("a", "node", "ooooo"), copies("a", "usb", "rrrrr"), copies("a", "off", "rrrsr")), KeepOnStorage: 2,
				Keep: []string{"a0", "a1", "a2", "a3", "a4"}, Demand: ledger.AssetDemand{On: three}}},
		{name: "the newest proven archive in place though newer ones are there",
			in: Input{Copies: join(copies("a", "node", "--o"), copies("a", "usb", "rrr"), copies("a", "off", "rrr")), KeepOnStorage: 1,
				Keep: []string{"a0", "a1", "a2"}, Demand: ledger.AssetDemand{On: three}}, want: "a1@node"},
		{name: "archives in place that are the only copies",
			in: Input{Copies: copies("a", "node", "ooo"), KeepOnStorage: 1, Keep: []string{"a0", "a1", "a2"},
				Demand: ledger.AssetDemand{On: on(map[string]int{"node": ledger.Read})}}},
		{name: "a medium that is away until it is due", want: "a1@node a2@node",
			in: Input{Copies: join(copies("a", "node", "ooo"), copies("a", "usb", "--r"), copies("a", "off", "rrr")), KeepOnStorage: 1,
				Keep: []string{"a0", "a1", "a2"}, Demand: ledger.AssetDemand{On: three},
				Due: func(name string) time.Duration { return map[string]time.Duration{"usb": 7 * day}[name] }}},
		{name: "of a set of media one is away until it is due", want: "a1@node a2@node",
			in: Input{Copies: join(copies("a", "node", "ooo"), copies("a", "usb", "--r"), copies("a", "off", "rrr")), KeepOnStorage: 1,
				Keep: []string{"a0", "a1", "a2"}, Demand: ledger.AssetDemand{On: append(slices.DeleteFunc(slices.Clone(three),
					func(d ledger.CopyDemand) bool { return d.Target == "usb" }), ledger.CopyDemand{Target: "usb", Level: ledger.Read, Set: "away"},
					ledger.CopyDemand{Target: "usb2", Level: ledger.Read, Set: "away"})},
				Due: func(name string) time.Duration {
					return map[string]time.Duration{"usb": 7 * day, "usb2": 7 * day}[name]
				}}},
		{name: "a medium that is overdue",
			in: Input{Copies: join(copies("a", "node", "ooo"), copies("a", "usb", "--r"), copies("a", "off", "rrr")), KeepOnStorage: 1,
				Keep: []string{"a0", "a1", "a2"}, Demand: ledger.AssetDemand{On: three},
				Due: func(name string) time.Duration { return map[string]time.Duration{"usb": day}[name] }}, want: "a2@node"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.in.Now.IsZero() {
				c.in.Now = now
			}
			if c.in.Due == nil {
				c.in.Due = func(string) time.Duration { return 0 }
			}
			got := Choose(c.in)
			var ids []string
			for i, r := range got.Removals[:min(got.Limit, len(got.Removals))] {
				ids = append(ids, r.Copy.ID)
				if r.Why == "" || i > 0 && r.Copy.Taken.Before(got.Removals[i-1].Copy.Taken) {
					t.Errorf("removal %d: got %+v, want a reason, and the oldest first", i, r)
				}
			}
			sort.Strings(ids)
			if s := strings.Join(ids, " "); s != c.want {
				t.Errorf("got %q, want %q; %v", s, c.want, got.Notes)
			}
			if (got.Refused == "") != (c.refused == "") || !strings.Contains(got.Refused, c.refused) {
				t.Errorf("refused: got %q, want %q", got.Refused, c.refused)
			}
			if notes := strings.Join(got.Notes, "\n"); !strings.Contains(notes, c.note) {
				t.Errorf("notes: got %q, want %q", notes, c.note)
			}
		})
	}
}
