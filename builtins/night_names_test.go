package builtins

import (
	"slices"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/preflight"
	"github.com/neosofia/runner/builtins/systems"
)

// What is foreseen of guests goes by the items that their copies are recorded under.
func TestTheNightIsForeseenByItems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		services, office string
		before           func(*bench)
		known, unknown   []string // to policies
	}{
		{"a guest that was renamed", `["erp", "mail"]`, `["git", "wiki"]`, func(b *bench) {
			b.good(`snapshot_vm(guest = "erp")`)
			b.set(100, func(g *lab.Guest) { g.Config["name"] = "ledger" })
		}, []string{"erp", "ledger", "100"}, []string{"erp-100"}},
		{"two guests of one name", `["erp", "mail-101"]`, `["git", "mail-103"]`, func(b *bench) {
			b.set(103, func(g *lab.Guest) { g.Config["hostname"] = "mail" })
		}, []string{"mail-101", "mail-103", "erp"}, []string{"erp-100", "wiki"}},
		{"a renamed guest that is left out", `["erp", "mail"]`, `["git", "wiki"]`, func(b *bench) {
			b.good(`snapshot_vm(guest = "erp")`)
			b.set(100, func(g *lab.Guest) { g.Config["name"] = "ledger" })
			b.edit(`name = "services", guests = ["erp", "mail"]`, `name = "services", guests = ["mail"]`,
				"+", `unprotected(guest = "erp", reason = "it ends", until = "2099-01-01")`)
		}, []string{"erp", "ledger"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			groups(b, c.services, c.office)
			b.edit(`name = "virtual_machines",`, `name = "machines",`)
			c.before(b)
			for _, f := range b.foresee() {
				if strings.Contains(f.Text, "asset") {
					t.Errorf("got %s", f.Text)
				}
			}
			names, ok := preflight.GuestNames(t.Context(), b.config(main("pass")).World.(*systems.Systems), b.catalog())
			for _, n := range c.known {
				if !ok || !slices.Contains(names, n) {
					t.Errorf("%s is not known: %q", n, names)
				}
			}
			for _, n := range c.unknown {
				if slices.Contains(names, n) {
					t.Errorf("%s is known: %q", n, names)
				}
			}
		})
	}
}
