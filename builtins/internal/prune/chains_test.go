package prune

import (
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// Two chains of the item a: a0 is a new full archive, a1 to a3 build on the full
// archive a4, and a5 is a chain of its own.
func TestChainsArePrunedAsAWhole(t *testing.T) {
	needs := []ledger.Artifact{{ID: "a0"}, {ID: "a1", Needs: []string{"a4"}}, {ID: "a2", Needs: []string{"a4"}},
		{ID: "a3", Needs: []string{"a4"}}, {ID: "a4"}, {ID: "a5"}}
	for _, c := range []struct {
		name string
		in   Input
		want string
	}{
		{name: "a chain that nothing keeps goes with its full archive", in: Input{Copies: copies("a", "usb", "rrrrrr")},
			want: "a1@usb a2@usb a3@usb a4@usb a5@usb"},
		{name: "the full archive stays while the newest of its chain is young",
			in: Input{Copies: copies("a", "usb", "rrrrrr"), Demand: ledger.AssetDemand{Retention: 2 * day}}, want: "a2@usb a3@usb a5@usb"},
		{name: "the full archive stays while a rule keeps one of its chain",
			in: Input{Copies: copies("a", "usb", "rrrrrr"), Keep: []string{"a3"}}, want: "a1@usb a2@usb a5@usb"},
		{name: "a rule that keeps the full archive keeps no other of the chain",
			in: Input{Copies: copies("a", "usb", "rrrrrr"), Keep: []string{"a4"}}, want: "a1@usb a2@usb a3@usb a5@usb"},
		{name: "the full archive stays while it is the newest proven one's", in: Input{Copies: copies("a", "usb", "-rrrrr"), Keep: nil},
			want: ""},
		{name: "a chain is held on the target where it is needed",
			in:   Input{Copies: append(copies("a", "usb", "rrrrrr"), copies("a", "off", "-rrrrr")...)},
			want: "a1@usb a2@off a2@usb a3@off a3@usb a4@usb a5@off a5@usb"},
		{name: "the number of copies holds a chain", in: Input{Copies: copies("a", "usb", "rrrrrr"), Demand: ledger.AssetDemand{Keep: 2}},
			want: "a2@usb a3@usb a5@usb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.in.Now, c.in.Artifacts = now, needs
			c.in.Due = func(string) time.Duration { return 0 }
			got := Choose(c.in)
			var ids []string
			for _, r := range got.Removals {
				ids = append(ids, r.Copy.ID)
			}
			sort.Strings(ids)
			if s := strings.Join(ids, " "); s != c.want {
				t.Errorf("got %q, want %q; %v", s, c.want, got.Notes)
			}
			whole(t, c.in, ids)
		})
	}
}

// whole demands that each copy that stays has all that it needs beside it.
func whole(t *testing.T, in Input, gone []string) {
	t.Helper()
	there := map[string]bool{}
	for _, c := range in.Copies {
		there[c.ID] = !slices.Contains(gone, c.ID)
	}
	for _, c := range in.Copies {
		for _, a := range in.Artifacts {
			if !there[c.ID] || a.ID != c.Artifact {
				continue
			}
			for _, n := range a.Needs {
				if !there[n+"@"+c.Target] {
					t.Errorf("%s stays, and what it needs, %s, goes", c.ID, n)
				}
			}
		}
	}
}

// One run removes a part of what could go: what it leaves can be restored.
func TestALimitLeavesNoHeadlessChain(t *testing.T) {
	needs := []ledger.Artifact{{ID: "a0"}}
	for i := 1; i <= 8; i++ {
		needs = append(needs, ledger.Artifact{ID: "a" + string(rune('0'+i)), Needs: []string{"a9"}, Created: now.Add(-time.Duration(i) * day)})
	}
	needs = append(needs, ledger.Artifact{ID: "a9", Created: now.Add(-9 * day)})
	in := Input{Copies: copies("a", "usb", "rrrrrrrrrr"), Artifacts: needs, Now: now, Due: func(string) time.Duration { return 0 }}
	got := Choose(in)
	var ids []string
	for _, r := range got.Removals[:got.Limit] {
		ids = append(ids, r.Copy.ID)
	}
	whole(t, in, ids)
	last := got.Removals[len(got.Removals)-1]
	if last.Copy.Artifact != "a9" || len(last.After) != 8 {
		t.Errorf("the full archive is not the last: %+v", last)
	}
}
