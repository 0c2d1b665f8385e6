package builtins

import (
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/ledger"
)

func TestGuestsListsWhatTheSiteProtects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		before func(*bench)
		want   string
	}{
		{"all but the unprotected one", func(*bench) {}, `["erp", "mail", "git", "wiki"]`},
		{"an exception that has ended", func(b *bench) {
			b.edit(`anew from a template", until = "2027-12-31"`, `anew from a template", until = "2026-01-01"`)
		}, `["erp", "mail", "git", "wiki", "scratch"]`},
		{"two guests of one name", func(b *bench) { b.set(103, func(g *lab.Guest) { g.Config["hostname"] = "mail" }) }, `["erp", "mail-101", "git", "mail-103"]`},
		{"a guest on another node", func(b *bench) {
			if err := b.lab.AddNode("pve2"); err != nil {
				b.t.Fatal(err)
			}
			if err := b.lab.MoveGuest(102, "pve2"); err != nil {
				b.t.Fatal(err)
			}
		}, `["erp", "mail", "git", "wiki"]`},
		{"a guest that is new", func(b *bench) {
			if err := b.lab.AddGuest(lab.Guest{ID: 104, Kind: "qemu", Node: "pve1", Name: "new", Config: map[string]string{"name": "new", "memory": "16"}}); err != nil {
				b.t.Fatal(err)
			}
		}, `["erp", "mail", "git", "wiki", "new"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c.before(b)
			out := b.good(`return guests()`)
			if got := out.Value.String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if items := rows[ledger.Item](b, ledger.RowItem, ledger.Query{Run: out.Run}); len(items) < 4 {
				t.Errorf("got %d expected items", len(items))
			}
		})
	}
}

func TestGuestsFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		site   []string
		faults []lab.Fault
		system string
		code   string
		words  []string
	}{
		{name: "a token without rights, which sees empty lists", site: []string{`runner@pve!runner`, `runner@pve!norights`, `secret("pve-token")`, `secret("pve-token-norights")`},
			code: "E_PVE_AUTH", words: []string{"VM.Audit on /vms", "pveum acl modify /vms --tokens 'runner@pve!norights'"}},
		{name: "a wrong token", site: []string{`secret("pve-token")`, `secret("bad-token")`}, code: "E_PVE_AUTH", words: []string{"(401)"}},
		{name: "another certificate", faults: []lab.Fault{{On: "tls pve1.lab", Do: "new-cert"}}, code: "E_PVE_CERT", words: []string{"pvenode cert info"}},
		{name: "a node that is down", faults: []lab.Fault{{On: "GET /nodes/pve1/*", Do: "answer 595"}}, code: "E_PVE_DOWN", words: []string{"(595)"}},
		{name: "an answer that is no JSON", faults: []lab.Fault{{On: "GET /nodes", Do: "answer 500 unable to parse"}}, code: "E_PVE", words: []string{"unable to parse"}},
		{name: "a system that the site does not have", site: []string{`name = "pve",`, `name = "other",`, `"pve://pve/backup"`, `"pve://other/backup"`}, system: "pve", code: "E_PVE", words: []string{`no proxmox "pve"`, "it has other"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.site...)
			b.inject(c.faults...)
			call := `return guests()`
			if c.system != "" {
				call = `return guests(system = "` + c.system + `")`
			}
			wantCode(t, b.run(call), c.code, c.words...)
		})
	}
}
