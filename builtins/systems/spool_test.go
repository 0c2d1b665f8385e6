package systems

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

const spoolSite = `
target(name = "disk", url = "file:///srv/copies", medium = "disk", location = "x")
target(name = "usb", url = "file:///media/usb", medium = "usb", location = "x", offline = True, uuid = "u", serial = "s", due = "7d")
asset(name = "a", on = {"disk": "read", "usb": "read"})
`

// shelf is a spool with its record.
type shelf struct {
	t *testing.T
	w *Systems
	l *ledger.Ledger
	n int
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s, err := site.Load("site.star", []byte(spoolSite), runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return &shelf{t: t, w: New(s, Env{Spool: filepath.Join(t.TempDir(), "spool")}), l: ledger.New(ledger.NewMemory())}
}

// put makes an artifact of a run that ended, with copies on targets.
func (h *shelf) put(kind, item string, on ...string) string {
	h.t.Helper()
	h.n++
	run := time.Unix(int64(h.n), 0).UTC().Format("20060102T150405Z") + "-aaaaaa"
	a := ledger.Artifact{ID: ledger.ArtifactID(run, "/0"), Kind: kind, Asset: "a", Item: item, Run: run, Step: "/0",
		Created: time.Unix(int64(h.n), 0).UTC(),
		Files:   []ledger.File{{Name: "f", Size: 1}}, Bytes: 1}
	a.Origin = ledger.Origin{Spool: a.ID}
	facts := ledger.Facts{Artifacts: []ledger.Artifact{a}}
	for _, name := range on {
		facts.Copies = append(facts.Copies, ledger.Copy{ID: ledger.CopyID(a.ID, name), Artifact: a.ID, Kind: kind, Asset: "a", Item: item,
			Target: name, Taken: a.Created, Created: a.Created})
	}
	h.lay(a.ID, run)
	h.record(run, facts)
	return a.ID
}

func (h *shelf) lay(name, run string) {
	h.t.Helper()
	dir := filepath.Join(h.w.Env.Spool, name)
	for file, text := range map[string]string{"f": "x", "run": run} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *shelf) left() []string {
	h.t.Helper()
	if err := h.w.CleanSpool(h.t.Context(), ledger.Catalog{Store: h.l}); err != nil {
		h.t.Fatal(err)
	}
	entries, err := os.ReadDir(h.w.Env.Spool)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestTheSpoolKeepsWhatIsStillNeeded(t *testing.T) {
	h := newShelf(t)
	kept := map[string]string{
		"an uncopied artifact":                                              h.put("vm", "uncopied"),
		"the newest of a kind that is compared":                             h.put("ruleset", "compared", "disk", "usb"),
		"the newest uncopied one":                                           "",
		"an artifact that lacks a demanded copy, of a medium that is there": h.put("vm", "half", "usb"),
	}
	h.put("vm", "twice")
	kept["the newest uncopied one"] = h.put("vm", "twice")
	gone := map[string]string{
		"everything has it but the medium in the safe": h.put("vm", "copied", "disk"),
		"a newer one is compared now":                  h.put("ruleset", "old", "disk", "usb"),
	}
	kept["the one that is compared now"] = h.put("ruleset", "old", "disk", "usb")
	left := h.left()
	for what, id := range kept {
		if !slices.Contains(left, id) {
			t.Errorf("%s is gone", what)
		}
	}
	for what, id := range gone {
		if slices.Contains(left, id) {
			t.Errorf("%s: it is still there", what)
		}
	}
	if len(left) != len(kept) {
		t.Errorf("got %d left, want %d", len(left), len(kept))
	}
}

func TestTheSpoolKeepsWhatARunStillMakes(t *testing.T) {
	h := newShelf(t)
	over := h.put("vm", "x", "disk", "usb") // its run ended
	a, found, err := ledger.Catalog{Store: h.l}.Artifact(t.Context(), over)
	if err != nil || !found {
		t.Fatal(err)
	}
	h.lay("00000000000000aa"+".part", a.Run)
	h.lay("00000000000000bb"+".part", "20990101T000000Z-bbbbbb")
	h.lay("00000000000000cc", "20990101T000000Z-bbbbbb") // complete, not recorded yet
	// days since a run died that nobody took up
	for name, age := range map[string]time.Duration{"00000000000000dd": 8, "00000000000000ee": 6} {
		h.lay(name+".part", "20260101T000000Z-dddddd")
		then := time.Now().Add(-age * 24 * time.Hour)
		if err := os.Chtimes(filepath.Join(h.w.Env.Spool, name+".part"), then, then); err != nil {
			t.Fatal(err)
		}
	}
	left := h.left()
	if want := []string{"00000000000000bb" + ".part", "00000000000000cc", "00000000000000ee" + ".part"}; !slices.Equal(left, want) {
		t.Errorf("got %v, want %v", left, want)
	}
}

func TestNamesDoNotLeadOutOfTheSpool(t *testing.T) {
	h := newShelf(t)
	id := h.put("vm", "x")
	for _, c := range [][2]string{{"../" + id, "f"}, {id, "../" + id + "/f"}, {"", "f"}, {id, ""}} {
		if _, err := h.w.OpenFile(t.Context(), ledger.Origin{Spool: c[0], Volume: "x"}, c[1], 0); err == nil {
			t.Errorf("%q was opened", c)
		}
	}
	r, err := h.w.OpenFile(t.Context(), ledger.Origin{Spool: id}, "f", 0)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}

// record is a run that made these facts and ended.
func (h *shelf) record(run string, facts ledger.Facts) {
	h.t.Helper()
	at := time.Unix(int64(h.n), 0).UTC()
	var entries []ledger.Entry
	for _, e := range []struct {
		typ, step string
		body      any
	}{
		{ledger.RunBegin, "", ledger.Run{ID: run, Began: at}},
		{ledger.StepBegin, "/0", ledger.Begin{Primitive: "x", Kind: "write", Attempt: 1}},
		{ledger.StepEnd, "/0", ledger.End{OK: true, Facts: facts}},
		{ledger.RunEnd, "", ledger.RunOutcome{Result: ledger.OK, Ended: at}},
	} {
		entry, err := ledger.NewEntry(e.typ, at, run, e.step, e.body)
		if err != nil {
			h.t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	if _, err := h.l.Append(h.t.Context(), entries); err != nil {
		h.t.Fatal(err)
	}
}
