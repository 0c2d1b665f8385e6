package report

import (
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

func TestWhatCannotBeChangedIsShownWithItsLastProbe(t *testing.T) {
	at := func(days int) time.Time { return now.Add(-time.Duration(days) * day) }
	one := func(p ledger.Probe) *ledger.Probe { return &p }
	for _, c := range []struct {
		name   string
		probe  *ledger.Probe
		copies bool
		words  string
		missed bool
	}{
		{"lately", one(ledger.Probe{At: at(3), Held: at(3)}), true, "offsite: immutable: probed ", false},
		{"44 days ago", one(ledger.Probe{At: at(44), Held: at(44)}), true, "immutable: probed ", false},
		{"46 days ago", one(ledger.Probe{At: at(46), Held: at(46)}), true, "too long ago", true},
		{"it failed", one(ledger.Probe{At: at(1), Held: at(9), Could: []string{"overwrite", "delete"}}), true,
			"could overwrite, delete a file; it was on ", true},
		{"it never held", one(ledger.Probe{At: at(1), Could: []string{"delete"}}), true, "could delete a file", true},
		{"never", nil, true, "immutable: never probed", true},
		{"never, and nothing is there", nil, false, "immutable: never probed", false},
		{"of another place", one(ledger.Probe{At: at(1), Held: at(1), URL: "sftp://elsewhere/"}), true, "never probed", true},
		{"of the future", one(ledger.Probe{At: at(-9), Held: at(-9)}), true, "too long ago", true},
	} {
		b := newBook(t)
		d := demands()
		for i := range d.Targets {
			if d.Targets[i].Name == "offsite" {
				d.Targets[i].Probed, d.Targets[i].URL = ledger.Immutable, "sftp://runner@offsite/"
			}
		}
		if c.copies {
			b.copy(b.artifact("r", "erp", at(1)), "offsite", ledger.Read)
		}
		if p := c.probe; p != nil {
			p.Target, p.What = "offsite", ledger.Immutable
			if p.URL == "" {
				t, _ := d.Target("offsite")
				p.URL = t.URL
			}
			b.facts(p.At, "probe", ledger.Facts{Probes: []ledger.Probe{*p}})
		}
		st, err := NewStatus(t.Context(), b.catalog(), d, now, Live{})
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := st.Text(&text, TextOptions{}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(strings.Fields(text.String()), " "), c.words) {
			t.Errorf("%s: want %q in\n%s", c.name, c.words, text.String())
		}
		missed := false
		for _, n := range st.Missing {
			if n.Target == "offsite" && strings.Contains(n.Text, "not proven to keep") {
				missed = n.Severity == ledger.DegradedRun && strings.HasPrefix(n.Type, "runner doctor")
			}
		}
		if missed != c.missed {
			t.Errorf("%s: a finding: %v, want %v", c.name, missed, c.missed)
		}
	}
}
