package report

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// image records a rescue image of pve1 that erases two guests, made by run "r".
func image(b *book, declared map[string]string) {
	b.begin("r", now.Add(-time.Hour))
	b.expect(now.Add(-time.Hour), "r", "pve1")
	a := b.artifact("r", "pve1", now.Add(-time.Hour))
	a.Kind, a.Declared = "rear", declared
	b.facts(now.Add(-time.Hour), "r", ledger.Facts{Artifacts: []ledger.Artifact{a}})
	b.copy(a, "nas", ledger.Opened)
}

// sameDisk records a proven copy of erp on the disk that a recovery makes anew.
func sameDisk(b *book, at time.Time) {
	c := b.copy(b.artifact("x", "erp", at), "nas", ledger.Opened)
	c.Device.Serial = "NAS1"
	b.facts(at, "x", ledger.Facts{Copies: []ledger.Copy{c}})
}

func texts(t *testing.T, b *book) (show, status string, run *Run, s *Status) {
	t.Helper()
	run, err := NewRun(t.Context(), b.catalog(), "r")
	if err != nil {
		t.Fatal(err)
	}
	d := demands()
	d.Assets[0].On = d.Assets[0].On[:1]
	if s, err = NewStatus(t.Context(), b.catalog(), d, now, Live{}); err != nil {
		t.Fatal(err)
	}
	var x, y bytes.Buffer
	if err := run.Text(&x, TextOptions{More: true, Zone: time.UTC, Width: 300}); err != nil {
		t.Fatal(err)
	}
	if err := s.Text(&y, TextOptions{More: true, Zone: time.UTC, Width: 300}); err != nil {
		t.Fatal(err)
	}
	return x.String(), y.String(), run, s
}

func TestARecoveryThatErasesGuestsIsTold(t *testing.T) {
	const lost = "a recovery of pve1 erases guest 100 (erp), and no copy of it on another disk is proven"
	cases := []struct {
		name   string
		copies func(b *book)
		want   string
	}{
		{"it was never backed up", func(*book) {}, lost},
		{"its only copy is on the same disk", func(b *book) { sameDisk(b, now.Add(-2*day)) }, lost},
		{"its copy was never read back", func(b *book) { b.copy(b.artifact("x", "erp", now.Add(-2*day)), "offline-a", ledger.Stored) }, lost},
		{"a copy on another disk", func(b *book) {
			b.copy(b.artifact("x", "erp", now.Add(-9*day)), "offsite", ledger.Read)
			b.copy(b.artifact("x", "erp", now.Add(-2*day)), "offline-a", ledger.Read)
			sameDisk(b, now.Add(-day))
		}, "a recovery of pve1 erases guest 100 (erp); it comes back from offline-a, of 2026-11-21 03:00 UTC (read)"},
		{"it is recorded by its number", func(b *book) { b.copy(b.artifact("x", "100", now.Add(-2*day)), "offsite", ledger.Read) },
			"a recovery of pve1 erases guest 100 (erp); it comes back from offsite, of 2026-11-21 03:00 UTC (read, opened before sealing)"},
	}
	serials := map[string]string{"erases": "100 (erp)", "serials": "NAS1,NAS2",
		ledger.DeclaredShown("disks that a recovery makes anew"): "/dev/sda,/dev/sdb", ledger.DeclaredShown("LUKS containers"): "/dev/sda3",
		ledger.DeclaredShown("opened by this board alone (TPM)"): "/dev/sda3"}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBook(t)
			c.copies(b)
			image(b, serials)
			show, status, run, s := texts(t, b)
			for _, want := range []string{c.want, "disks that a recovery makes anew: /dev/sda, /dev/sdb", "LUKS containers: /dev/sda3",
				"opened by this board alone (TPM): /dev/sda3"} {
				if !strings.Contains(show, want) {
					t.Errorf("show does not say %q:\n%s", want, show)
				}
			}
			if !strings.Contains(status, c.want) {
				t.Errorf("status does not say %q:\n%s", c.want, status)
			}
			missing := slices.ContainsFunc(s.Missing, func(n Need) bool { return n.Text == lost && strings.Contains(n.Type, `guest = "erp"`) })
			if missing != (c.want == lost) {
				t.Errorf("missing is told: %v\n%+v", missing, s.Missing)
			}
			raw, err := json.Marshal([]any{run.Items, s.Assets})
			if err != nil || strings.Count(string(raw), `"erases":[{"guest":"100 (erp)"`) != 2 {
				t.Errorf("the JSON lacks it: %v\n%s", err, raw)
			}
		})
	}
}

func TestAGuestThatTheSiteGaveUpIsErasedAndNotMissed(t *testing.T) {
	b := newBook(t)
	image(b, map[string]string{"erases": "100 (erp)"})
	d := demands()
	d.Assets[0].On = d.Assets[0].On[:1]
	for _, c := range []struct {
		name  string
		until time.Time
		want  string
		need  bool
	}{
		{"given up", now.Add(day), "a recovery of pve1 erases guest 100 (erp), which the site does not protect: made anew", false},
		{"given up until yesterday", now.Add(-day), "a recovery of pve1 erases guest 100 (erp), and no copy of it on another disk is proven",
			true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.Unprotected = []ledger.Exception{{Item: "erp", Reason: "made anew", Until: c.until}}
			s, err := NewStatus(t.Context(), b.catalog(), d, now, Live{})
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if err := s.Text(&text, TextOptions{More: true, Zone: time.UTC, Width: 300}); err != nil {
				t.Fatal(err)
			}
			need := slices.ContainsFunc(s.Missing, func(n Need) bool { return strings.Contains(n.Text, "erases guest") })
			if !strings.Contains(text.String(), c.want) || need != c.need {
				t.Errorf("want %q, missing %v:\n%s", c.want, c.need, text.String())
			}
		})
	}
}

func TestShowSaysNothingOfWhatIsNotDeclared(t *testing.T) {
	b := newBook(t)
	image(b, map[string]string{ledger.DeclaredShown("disks"): "/dev/sda"})
	show, status, _, _ := texts(t, b)
	for _, no := range []string{"erases", "LUKS", "TPM", "changes"} {
		if strings.Contains(show+status, no) {
			t.Errorf("%s is told:\n%s%s", no, show, status)
		}
	}
}

func TestShowPrintsTheFirstChangesOfAnExport(t *testing.T) {
	b := newBook(t)
	b.begin("r", now)
	b.facts(now, "r", ledger.Facts{Artifacts: []ledger.Artifact{{ID: "a", Kind: "zone", Asset: "vms", Item: "example.org", Created: now,
		Declared: map[string]string{"changes": "since 2026-11-22T03:00:00Z:\n~ example.org. A: data 1 -> 2\n+ \x1b[2Jevil"}}}})
	show, _, _, _ := texts(t, b)
	want := "    changes since 2026-11-22T03:00:00Z:\n      ~ example.org. A: data 1 -> 2\n      + \ufffd[2Jevil\n"
	if !strings.Contains(show, want) {
		t.Errorf("got\n%s\nwant in it\n%s", show, want)
	}
}
