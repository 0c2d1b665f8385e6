package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestNeeds(t *testing.T) {
	day := func(i int) time.Time { return time.Date(2026, 11, 20+i, 2, 0, 0, 0, time.UTC) }
	many := make([]string, maxChain+1)
	for i := range many {
		many[i] = fmt.Sprint("x", i)
	}
	for _, c := range []struct {
		name            string
		needs           map[string][]string
		copies, damaged string // artifact@target
		want, err       string
	}{
		{name: "it needs nothing"},
		{name: "all is there", needs: map[string][]string{"a2": {"a0"}}, copies: "a0@usb a0@off"},
		{name: "one target lacks it", needs: map[string][]string{"a2": {"a0"}}, copies: "a0@usb", want: "the full archive of 2026-11-20 on off"},
		{name: "both lack it", needs: map[string][]string{"a2": {"a0"}}, want: "the full archive of 2026-11-20 on usb,off"},
		{name: "a copy that was found damaged is none", needs: map[string][]string{"a2": {"a0"}}, copies: "a0@usb a0@off", damaged: "a0@usb",
			want: "the full archive of 2026-11-20 on usb"},
		{name: "a long chain, the earliest first", needs: map[string][]string{"a2": {"a1"}, "a1": {"a0"}}, copies: "a0@off",
			want: "the full archive of 2026-11-20 on usb; the earlier archive of 2026-11-21 on usb,off"},
		{name: "a circle ends", needs: map[string][]string{"a2": {"a1"}, "a1": {"a2"}}, want: "the earlier archive of 2026-11-21 on usb,off"},
		{name: "one that the ledger does not know", needs: map[string][]string{"a2": {"gone"}}, want: "the archive gone on usb,off"},
		{name: "too many", needs: map[string][]string{"a2": many}, err: "needs more than 1024 others"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(NewMemory())
			record := func(f Facts) {
				e, err := NewEntry(StepEnd, day(5), "r", "/0", End{OK: true, Facts: f})
				if err == nil {
					_, err = l.Record(t.Context(), e)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			var f Facts
			var last Artifact
			for i := range 3 {
				id := fmt.Sprint("a", i)
				last = Artifact{ID: id, Item: "pve1", Created: day(i), Needs: c.needs[id]}
				f.Artifacts = append(f.Artifacts, last)
			}
			copyID := func(s string) string {
				art, target, _ := strings.Cut(s, "@")
				return CopyID(art, target)
			}
			for _, s := range strings.Fields(c.copies) {
				art, target, _ := strings.Cut(s, "@")
				f.Copies = append(f.Copies, Copy{ID: copyID(s), Artifact: art, Item: "pve1", Target: target, Taken: day(0)})
			}
			record(f)
			for _, s := range strings.Fields(c.damaged) {
				record(Facts{Damaged: []string{copyID(s)}})
			}
			list, err := Catalog{Store: l}.Needs(t.Context(), last, []string{"usb", "off"})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, x := range list {
				got = append(got, x.Words()+" on "+strings.Join(x.Targets, ","))
			}
			if strings.Join(got, "; ") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), c.want)
			}
		})
	}
}
