package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestACopyIsWorthItsWholeChain(t *testing.T) {
	day := func(id string) time.Time { return time.Date(2026, 11, 20+int(id[1]-'0'), 0, 0, 0, 0, time.UTC) }
	cases := []struct {
		name   string
		needs  map[string][]string
		copies string // artifact@target:level
		want   string // of copies whose level is lowered: artifact@target:level lacks artifact
	}{
		{"nothing needs anything", nil, "a0@usb:1 a1@usb:2", ""},
		{"the full archive is proven beside it", map[string][]string{"a1": {"a0"}}, "a0@usb:2 a1@usb:2", ""},
		{"the full archive is on another target only", map[string][]string{"a1": {"a0"}}, "a0@off:2 a1@usb:2", "a1@usb:-1 lacks full a0 of 20"},
		{"the full archive is stored only", map[string][]string{"a1": {"a0"}}, "a0@usb:0 a1@usb:2", "a1@usb:0 lacks full a0 of 20"},
		{"the full archive was never read", map[string][]string{"a1": {"a0"}}, "a0@usb:-1 a1@usb:2", "a1@usb:-1 lacks full a0 of 20"},
		{"the copy itself is the weaker one", map[string][]string{"a1": {"a0"}}, "a0@usb:2 a1@usb:1", ""},
		{"the one in the middle is missing", map[string][]string{"a2": {"a1"}, "a1": {"a0"}}, "a0@usb:2 a2@usb:2", "a2@usb:-1 lacks a1 of 21"},
		{"the first one is missing", map[string][]string{"a2": {"a1"}, "a1": {"a0"}}, "a1@usb:2 a2@usb:2",
			"a1@usb:-1 lacks full a0 of 20, a2@usb:-1 lacks full a0 of 20"},
		{"two that need one another", map[string][]string{"a0": {"a1"}, "a1": {"a0"}}, "a0@usb:2 a1@usb:2",
			"a0@usb:-1 lacks a0 of 20 in a circle, a1@usb:-1 lacks a1 of 21 in a circle"},
		{"one that needs itself", map[string][]string{"a0": {"a0"}}, "a0@usb:2", "a0@usb:-1 lacks a0 of 20 in a circle"},
		{"two ways to the same full archive", map[string][]string{"a3": {"a1", "a2"}, "a2": {"a0"}, "a1": {"a0"}},
			"a0@usb:2 a1@usb:2 a2@usb:2 a3@usb:2", ""},
		{"an artifact that the ledger does not know", map[string][]string{"a1": {"x9"}}, "a1@usb:2", "a1@usb:-1 lacks full x9"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := New(NewMemory())
			var f Facts
			for _, id := range []string{"a0", "a1", "a2", "a3"} {
				f.Artifacts = append(f.Artifacts, Artifact{ID: id, Asset: "os", Item: "pve1", Created: day(id), Needs: c.needs[id]})
			}
			for _, s := range strings.Fields(c.copies) {
				id, rest, _ := strings.Cut(s, "@")
				target, level, _ := strings.Cut(rest, ":")
				cp := Copy{ID: id + "@" + target, Artifact: id, Asset: "os", Item: "pve1", Target: target, Taken: day(id), Bytes: 10}
				f.Copies = append(f.Copies, cp)
				p := Proof{Copy: cp.ID, Artifact: id, Asset: "os", Item: "pve1", Target: target, At: day(id)}
				if _, err := fmt.Sscan(level, &p.Level); err != nil {
					t.Fatal(err)
				}
				if p.Level >= 0 {
					f.Proofs = append(f.Proofs, p)
				}
			}
			e, err := NewEntry(StepEnd, day("a3"), "r", "/0", End{OK: true, Facts: f})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			copies, err := Catalog{Store: l}.WholeCopies(t.Context(), Query{Asset: "os"})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := len(copies) - 1; i >= 0; i-- {
				p := copies[i]
				if p.Lacks == nil {
					if p.Level != p.Own {
						t.Errorf("%s: level %d, own %d, and nothing is lacking", p.ID, p.Level, p.Own)
					}
					continue
				}
				text := fmt.Sprintf("%s:%d lacks ", p.ID, p.Level)
				if p.Lacks.Full {
					text += "full "
				}
				text += p.Lacks.Artifact
				if !p.Lacks.Taken.IsZero() {
					text += fmt.Sprintf(" of %d", p.Lacks.Taken.Day())
				}
				if p.Lacks.Circle {
					text += " in a circle"
				}
				got = append(got, text)
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), c.want)
			}
		})
	}
}

func TestAChainIsBounded(t *testing.T) {
	k := &Chains{needs: map[string][]string{}}
	var copies []Proven
	for i := range maxChain + 10 {
		id := fmt.Sprint(i)
		if i > 0 {
			k.needs[id] = []string{fmt.Sprint(i - 1)}
		}
		copies = append(copies, Proven{Copy: Copy{ID: id, Artifact: id, Target: "usb", Bytes: 10}, Level: Read, Own: Read})
	}
	if err := (Catalog{Store: New(NewMemory())}).Hold(t.Context(), k, copies); err != nil {
		t.Fatal(err)
	}
	last, early := copies[len(copies)-1], copies[100]
	if last.Level != -1 || last.Lacks == nil || early.Level != Read || early.Lacks != nil || early.Whole != 1010 {
		t.Errorf("got level %d lacking %v, and %d with %d bytes, want -1 beyond the bound, and a read chain of 1010 bytes", last.Level,
			last.Lacks, early.Level, early.Whole)
	}
}
