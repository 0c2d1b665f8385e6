package ledger

import (
	"path/filepath"
	"testing"
)

func TestALedgerKnowsItsOwnHeads(t *testing.T) {
	for name, s := range map[string]Store{"memory": NewMemory(), "sqlite": open(t, filepath.Join(t.TempDir(), "ledger.db"))} {
		t.Run(name, func(t *testing.T) {
			l, other := New(s), New(NewMemory())
			defer l.Close()
			head := func(l *Ledger) Head {
				h, err := l.Head(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return h
			}
			night(t, l, "r1", t0)
			early := head(l)
			night(t, l, "r2", t0)
			late := head(l)
			night(t, other, "r1", t0)
			night(t, other, "r3", t0)
			night(t, other, "r4", t0)
			longer := head(other)
			for _, c := range []struct {
				name string
				cp   Head
				want bool
			}{
				{"the empty one", Head{}, true},
				{"an earlier one", early, true},
				{"the newest", late, true},
				{"the same size with another root", Head{late.Size, early.Root}, false},
				{"a longer one", longer, false},
				{"one entry more", Head{late.Size + 1, late.Root}, false},
			} {
				if got, err := Extends(t.Context(), l, c.cp); err != nil || got != c.want {
					t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
				}
			}
			e, err := NewEntry(Junction, t0, "", "", LedgerGap{Size: longer.Size, Root: longer.Root.String(), Target: "offsite",
				Reason: "host restored"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if got, err := Extends(t.Context(), l, longer); err != nil || !got {
				t.Errorf("after a gap entry: got %v, %v, want true", got, err)
			}
			if got, err := Extends(t.Context(), l, Head{longer.Size, late.Root}); err != nil || got {
				t.Errorf("another root of that size: got %v, %v, want false", got, err)
			}
		})
	}
}
