package recoverykey

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// sealed is a copy, and the secrets in it.
type sealed struct {
	kind     string
	to       string // recipients of the copy
	declared map[string]string
}

func catalog(t *testing.T, list ...sealed) ledger.Catalog {
	t.Helper()
	l := ledger.New(ledger.NewMemory())
	var facts ledger.Facts
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, s := range list {
		at = at.Add(time.Hour)
		id := ledger.ArtifactID("r1", string(rune('a'+i)))
		facts.Artifacts = append(facts.Artifacts, ledger.Artifact{ID: id, Kind: s.kind, Item: string(rune('a' + i)), Created: at,
			Declared: s.declared})
		cp := ledger.Copy{ID: ledger.CopyID(id, "usb"), Artifact: id, Kind: s.kind, Item: string(rune('a' + i)), Target: "usb", Taken: at,
			Created: at}
		if s.to != "" {
			cp.SealedTo = strings.Split(s.to, ",")
		}
		facts.Copies = append(facts.Copies, cp)
	}
	e, err := ledger.NewEntry(ledger.StepEnd, at, "r1", "/0", ledger.End{OK: true, Facts: facts})
	if err == nil {
		_, err = l.Record(t.Context(), e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Catalog{Store: l}
}

func TestACopyIsBoundToAKeyThatAloneOpensIt(t *testing.T) {
	t.Parallel()
	custodians := func(recipients, threshold, who string) map[string]string {
		return map[string]string{"recipients": recipients, "threshold": threshold, "set": "S", "custodians": who}
	}
	for _, c := range []struct {
		name  string
		copy  sealed
		inUse string
		bound string // "copy", "secrets", "share"; empty: it is not bound
		left  int    // custodians of the set that lost one; -1: none lost one
	}{
		{"sealed to it alone", sealed{"vm", "old", nil}, "new", "copy", -1},
		{"sealed to one in use, too", sealed{"vm", "old,new", nil}, "new", "", -1},
		{"sealed to it and to one that is gone", sealed{"vm", "old,gone", nil}, "new", "copy", -1},
		{"it is still named as in use", sealed{"vm", "old", nil}, "old,new", "copy", -1},
		{"sealed to another", sealed{"vm", "gone", nil}, "new", "", -1},
		{"not sealed", sealed{"vm", "", nil}, "new", "", -1},
		{"secrets of it in a clear copy", sealed{"secrets", "", map[string]string{"recipients": "old"}}, "new", "secrets", -1},
		{"secrets of one in use, too", sealed{"secrets", "", map[string]string{"recipients": "old,new"}}, "new", "", -1},
		{"secrets in a copy that is sealed to it", sealed{"secrets", "old", map[string]string{"recipients": "old,new"}}, "new", "copy", -1},
		{"both are sealed to it: it is listed once", sealed{"secrets", "old", map[string]string{"recipients": "old"}}, "new", "copy", -1},
		{"enough custodians are left", sealed{"secrets", "", custodians("old", "2", "ann=old,bob=b,eve=e")}, "b,e", "", 2},
		{"too few custodians are left", sealed{"secrets", "", custodians("gone", "2", "ann=old,bob=b,eve=e")}, "b", "share", 1},
		{"too few, and it is a recipient", sealed{"secrets", "", custodians("old", "2", "ann=old,bob=b,eve=e")}, "b", "secrets", 1},
		{"custodians are too few, it is none of them", sealed{"secrets", "", custodians("gone", "2", "ann=a,bob=b")}, "b", "", -1},
		{"too few, and a recipient is in use", sealed{"secrets", "", custodians("new", "2", "ann=old,bob=b")}, "new", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bound, lost, err := BoundTo(t.Context(), catalog(t, c.copy), "old", strings.Split(c.inUse, ","))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, b := range bound {
				got += map[[2]bool]string{{false, false}: "copy", {true, false}: "secrets", {true, true}: "share"}[[2]bool{b.Secrets, b.Share}]
			}
			if got != c.bound {
				t.Errorf("it is bound as %q, want %q", got, c.bound)
			}
			if (len(lost) != 1) != (c.left < 0) || len(lost) == 1 && lost[0] != (Loss{"S", "ann", 1, c.left, 2}) {
				t.Errorf("got %+v, want %d left", lost, c.left)
			}
		})
	}
}

func TestASetOfSharesIsListedOnceAndTheNewestCopyLast(t *testing.T) {
	t.Parallel()
	set := map[string]string{"recipients": "gone", "threshold": "1", "set": "S", "custodians": "ann=old"}
	c := catalog(t, sealed{"vm", "old", nil}, sealed{"secrets", "", set}, sealed{"secrets", "", set})
	bound, lost, err := BoundTo(t.Context(), c, "old", []string{"new"})
	var items []string
	for _, b := range bound {
		items = append(items, b.Copy.Item)
	}
	if err != nil || !slices.Equal(items, []string{"a", "b", "c"}) || !slices.Equal(lost, []Loss{{"S", "ann", 2, 0, 1}}) {
		t.Errorf("got %v, %+v, %v", items, lost, err)
	}
	for _, odd := range []string{"two", "0", "-1"} {
		set := map[string]string{"threshold": odd, "custodians": "ann=old"}
		_, _, err := BoundTo(t.Context(), catalog(t, sealed{"secrets", "", set}), "old", nil)
		if err == nil || !strings.Contains(err.Error(), odd) {
			t.Errorf("a threshold of %s: got %v", odd, err)
		}
	}
}
