package prune

import (
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

func TestOrphans(t *testing.T) {
	two := ledger.AssetDemand{On: on(map[string]int{"node": ledger.Opened, "usb": ledger.Read})}
	at := func(days ...int) (out []Archive) {
		for _, d := range days {
			when := now.Add(-time.Duration(d)*day - time.Hour)
			out = append(out, Archive{Name: string(rune('a' + d)), Item: "a", Taken: when, Dated: when})
		}
		return out
	}
	both := func(node, usb string) []ledger.Proven {
		return append(copies("a", "node", node), copies("a", "usb", usb)...)
	}
	for _, c := range []struct {
		name      string
		in        Input
		archives  []Archive
		own, gone int
		want      string
		limit     int
	}{
		{name: "none", in: Input{Demand: two, Copies: both("r", "r")}, own: 1, limit: 1},
		{name: "the oldest first, at most 30 percent of runner's own", in: Input{Demand: two, Copies: both("r", "r")}, archives: at(2, 4, 3),
			own: 10, want: "e d c", limit: 3},
		{name: "one at least", in: Input{Demand: two, Copies: both("r", "r")}, archives: at(2), own: 2, want: "c", limit: 1},
		{name: "what earlier attempts removed counts", in: Input{Demand: two, Copies: both("r", "r")}, archives: at(2, 4), own: 8, gone: 2,
			want: "e c", limit: 1},
		{name: "the newest artifact is not read where it lies", in: Input{Demand: two, Copies: both("s", "r")}, archives: at(2), own: 2,
			limit: 1},
		{name: "it is not read on another target", in: Input{Demand: two, Copies: both("rr", "-r")}, archives: at(2), own: 2, limit: 1},
		{name: "it is not there at all on another target", in: Input{Demand: two, Copies: copies("a", "node", "rr")}, archives: at(2), own: 2,
			limit: 1},
		{name: "a medium that is away until it is due",
			in: Input{Demand: two, Copies: both("rr", "-r"), Due: func(string) time.Duration { return 7 * day }}, archives: at(3), own: 2,
			want: "d", limit: 1},
		{name: "an archive that is younger than any copy", in: Input{Demand: two, Copies: both("r", "r")},
			archives: []Archive{{Name: "x", Item: "a", Taken: now.Add(time.Hour)}}, own: 2, limit: 1},
		{name: "a file that is younger than the ledger says", in: Input{Demand: two, Copies: both("r", "r")},
			archives: []Archive{{Name: "x", Item: "a", Taken: now.Add(-day), Dated: now.Add(time.Hour)}}, own: 2, limit: 1},
		{name: "an item without copies", in: Input{Demand: two, Copies: copies("b", "usb", "r")}, archives: at(2), own: 2, limit: 1},
		{name: "an asset that demands nothing", in: Input{Copies: both("r", "r")}, archives: at(2), own: 2, limit: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.in.Now = now
			if c.in.Due == nil {
				c.in.Due = func(string) time.Duration { return 0 }
			}
			got, limit := Orphans(c.in, c.archives, c.own, c.gone)
			var names []string
			for _, a := range got {
				names = append(names, a.Name)
			}
			if s := strings.Join(names, " "); s != c.want || limit != c.limit {
				t.Errorf("got %q, %d; want %q, %d", s, limit, c.want, c.limit)
			}
		})
	}
}
