package builtins

import (
	"strings"
	"testing"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

const aDesk = `
host(name = "desk", local = True, rear = False, firewall = False)
host(name = "spare", local = True)
unprotected(guest = "spare", reason = "it is switched off", until = "2099-01-01")
`

func TestSystemsAreThoseOfTheSite(t *testing.T) {
	t.Parallel()
	b := newBench(t, "+", aDesk)
	out := b.run(`return systems(kind = "host")`)
	if out.Err != nil || out.Value.String() != `["pve1"]` {
		t.Errorf("got %v, %v", out.Value, out.Err)
	}
	expected, err := ledger.All[ledger.Item](t.Context(), b.store, ledger.Query{Kind: ledger.RowItem, Asset: "operating_systems"})
	if err != nil || len(expected) != 1 || expected[0].Name != "pve1" {
		t.Errorf("got %v, %v, want pve1 to be expected", expected, err)
	}
	if out = b.run(`return systems(kind = "keyring", asset = "hardware")`); out.Err != nil || out.Value.String() != `["keyring"]` {
		t.Errorf("got %v, %v", out.Value, out.Err)
	}
}

func TestSystemsRefusesWhatItCannotAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	out := b.run(`return systems(kind = "hosts")`)
	if out.Err == nil || !strings.Contains(out.Err.Error(), `kind "hosts": want firewall, host, keyring, logs, zone`) {
		t.Errorf("got %v", out.Err)
	}
	b.edit(`name = "credentials",`, `name = "other",`)
	if out = b.run(`return systems(kind = "keyring")`); out.Err != nil || out.Value.String() != `[]` {
		t.Errorf("where the site has no asset for them: got %v, %v", out.Value, out.Err)
	}
	out = b.run(`return systems(kind = "keyring", asset = "".join(["cred", "entials"]))`) // check does not see it
	if failure.CodeOf(out.Err).Name != "E_NO_ASSET" {
		t.Errorf("got %v", out.Err)
	}
}
