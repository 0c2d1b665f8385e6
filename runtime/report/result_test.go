package report

import (
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

func TestTheResultOfAStatus(t *testing.T) {
	at := now.Add(-3 * time.Hour)
	away, attached := map[string]string{"offline-a": "detached"}, map[string]string{"offline-a": "attached"}
	died := func(b *book) {
		b.night("r", at, "erp")
		b.begin("second", now.Add(-time.Hour))
	}
	cases := []struct {
		name  string
		write func(b *book)
		edit  func(d *ledger.Demands)
		live  Live
		want  string
		says  string // the first finding
		hint  string
	}{
		{"everything is protected", func(b *book) { b.night("r", at, "erp") }, nil, Live{Media: away}, ledger.OK, "", ""},
		{"the medium is still attached", func(b *book) { b.night("r", at, "erp") }, nil, Live{Media: attached}, ledger.DegradedRun,
			"erp has 0 of 1 offline copies: offline-a is still attached", "runner media eject offline-a, and take it away"},
		{"nothing was ever backed up", func(*book) {}, nil, Live{}, ledger.Failed,
			"nothing of vms was ever backed up", "runner exec POLICY.star, with a policy that protects vms"},
		{"one guest of two was not", func(b *book) { b.night("r", at, "erp"); b.expect(now, "r", "mail") }, nil, Live{Media: away}, ledger.Failed,
			"mail has no copy on nas", "runner exec policies/nightly.star"},
		{"copies are counted, and there is none", func(b *book) { b.begin("r", at); b.expect(at, "r", "erp"); b.end("r", at, ledger.OK) },
			func(d *ledger.Demands) { d.Assets[0].On = nil }, Live{}, ledger.Failed,
			`erp has 0 of 3 copies`, `in site.star: a target(...) on another device, named in on of asset(name = "vms")`},
		{"a run died, and everything is protected all the same", died, nil, Live{Media: away}, ledger.DegradedRun,
			"run second of nightly.star was interrupted", "runner resume second"},
		{"that run is under way", died, nil, Live{Media: away, Alive: func(run string) bool { return run == "second" }}, ledger.OK, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b, d := newBook(t), demands()
			c.write(b)
			if c.edit != nil {
				c.edit(&d)
			}
			s := status(t, b, d, now, c.live)
			var first ledger.Finding
			if len(s.Missing) > 0 {
				first = s.Missing[0].Finding
			}
			if s.Result != c.want || first.Text != c.says || first.Type != c.hint {
				t.Errorf("got %s, %q | %q, want %s, %q | %q", s.Result, first.Text, first.Type, c.want, c.says, c.hint)
			}
		})
	}
}
