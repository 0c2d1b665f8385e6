package checkpoints

import (
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

var at = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// grown is a ledger of some entries; where they differ from the word on, it has another root.
func grown(t *testing.T, word string, n int) (*ledger.Ledger, ledger.Head) {
	t.Helper()
	l := ledger.New(ledger.NewMemory())
	for range n {
		if err := record(t.Context(), l, ledger.RunBegin, at, ledger.Run{ID: word}); err != nil {
			t.Fatal(err)
		}
	}
	h, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l, h
}

func TestALedgerIsJoinedOnlyToHeadsThatItDoesNotContinue(t *testing.T) {
	t.Parallel()
	l, _ := grown(t, "ours", 5)
	_, own := grown(t, "ours", 3)
	_, short := grown(t, "theirs", 4)
	_, long := grown(t, "theirs", 9)
	joined, err := Join(t.Context(), l, map[string]ledger.Head{"a": own, "b": short, "c": long}, "the disk died", at)
	if err != nil || len(joined) != 2 || joined[0].Target != "c" || joined[0].Size != 9 || joined[1].Target != "b" ||
		joined[0].Reason != "the disk died" {
		t.Errorf("got %+v, %v", joined, err)
	}
	gaps, err := ledger.All[ledger.LedgerGap](t.Context(), l, ledger.Query{Kind: ledger.RowGap})
	if err != nil || len(gaps) == 0 {
		t.Errorf("the ledger tells of %+v, %v", gaps, err)
	}
}

func TestTheNewestHeadOfAHostIsTaken(t *testing.T) {
	t.Parallel()
	_, three := grown(t, "x", 3)
	_, five := grown(t, "x", 5)
	for _, c := range []struct {
		name  string
		texts map[string]string
		size  int64
		bad   int
	}{
		{"one", map[string]string{"h": three.Checkpoint()}, 3, 0},
		{"a later one beside it", map[string]string{"h": three.Checkpoint(), "h-20260101T000000Z": five.Checkpoint()}, 5, 0},
		{"another host's is none", map[string]string{"h2": five.Checkpoint(), "h-2": five.Checkpoint(), "h-proofs": "x"}, 0, 0},
		{"a damaged one hides no other", map[string]string{"h": "x", "h-20260101T000000Z": three.Checkpoint()}, 3, 1},
		{"none", nil, 0, 0},
	} {
		head, found, bad := headOf(c.texts, "h")
		if head.Size != c.size || found != (c.size > 0) || len(bad) != c.bad {
			t.Errorf("%s: got %d entries, %t, %v", c.name, head.Size, found, bad)
		}
	}
}

func TestARebuiltLedgerKnowsCopiesAndWhatIsLost(t *testing.T) {
	t.Parallel()
	a := ledger.Artifact{ID: "0123", Kind: "vm", Item: "erp", Created: at}
	cp := ledger.Copy{ID: ledger.CopyID("0123", "usb"), Artifact: "0123", Kind: "vm", Item: "erp", Target: "usb", Taken: at, Created: at}
	im := []ledger.Import{{Target: "usb", Facts: ledger.Facts{Artifacts: []ledger.Artifact{a}, Copies: []ledger.Copy{cp}}}}
	_, lost := grown(t, "x", 7)
	l := ledger.New(ledger.NewMemory())
	if n, err := Rebuilt(t.Context(), l, im, map[string]ledger.Head{"usb": lost}, at); err != nil || n != 1 {
		t.Fatalf("got %d, %v", n, err)
	}
	gaps, err := ledger.All[ledger.LedgerGap](t.Context(), l, ledger.Query{Kind: ledger.RowGap})
	if err != nil || len(gaps) != 1 || gaps[0].Size != 7 || !strings.Contains(gaps[0].Reason, "lost") {
		t.Errorf("got %+v, %v", gaps, err)
	}
	for _, want := range []int{0, 1} { // what is known is not taken over again; what is new is
		if n, err := TakeOver(t.Context(), l, im, at); err != nil || n != want {
			t.Errorf("took over %d, %v, want %d", n, err, want)
		}
		other := a
		other.ID = "4567"
		cp2 := cp
		cp2.Artifact, cp2.ID = "4567", ledger.CopyID("4567", "usb")
		im[0].Artifacts, im[0].Copies = append(im[0].Artifacts, other), append(im[0].Copies, cp2)
	}
	have, err := ledger.Catalog{Store: l}.ProvenCopies(t.Context(), ledger.Query{})
	if err != nil || len(have) != 2 || have[0].Level >= 0 {
		t.Errorf("got %+v, %v: a manifest proves nothing", have, err)
	}
}
