package builtins

import (
	"context"
	"fmt"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/world"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

type guestsArgs struct {
	System string `star:"system?" doc:"proxmox of the site; default: the only one"`
}

func guestsDeclaration() runtime.Declaration {
	return runtime.Primitive[guestsArgs]{
		Name: "guests", Kind: runtime.Read, Resume: runtime.Retry, Returns: "list of names",
		Doc: "guests: the name of every VM and container that the site protects.\n\n" +
			"Asks every node. Guests that site.star leaves out with unprotected(...) are not in the list; every other one is expected to have its copies and proofs when the run ends. " +
			"A token that does not see all guests is an error, since Proxmox filters lists without a word.",
		Example: `guests()`,
		Codes:   world.PVECodes(),
		Retries: runtime.Retries{Attempts: 4, Wait: retryWait},
		Fake:    fakeGuests, Run: guests,
	}
}

func guests(ctx context.Context, s *runtime.Step, a *guestsArgs) (runtime.Result, error) {
	w := world.Of(s)
	c, sys, err := w.Proxmox(ctx, a.System)
	if err != nil {
		return runtime.Result{}, world.PVEError(a.System, "connect", err)
	}
	all, err := c.SeesAllGuests(ctx)
	if err != nil {
		return runtime.Result{}, world.PVEError(sys.Name, "read the token's rights", err)
	}
	if !all {
		return runtime.Result{}, &runtime.Error{Code: "E_PVE_AUTH", System: "proxmox " + sys.Name, Doing: "list guests",
			Said: "the token does not have VM.Audit on /vms: it would see a part of the guests and no error",
			Hint: "pveum acl modify /vms --tokens '" + sys.TokenID + "' --roles PVEAuditor, and the same for its user"}
	}
	list, err := c.Guests(ctx)
	if err != nil {
		return runtime.Result{}, world.PVEError(sys.Name, "list guests", err)
	}
	var items []ledger.Item
	for _, g := range list {
		items = append(items, ledger.Item{Asset: sys.Asset, Name: itemName(g, list), ID: fmt.Sprint(g.VMID), State: g.Status})
	}
	return inventory(s, w, items), nil
}

// itemName is a guest's name; its VMID is added where two have the same.
func itemName(g proxmox.Guest, all []proxmox.Guest) string {
	if g.Name == "" {
		return fmt.Sprint(g.VMID)
	}
	for _, o := range all {
		if o.Name == g.Name && o.VMID != g.VMID {
			return fmt.Sprintf("%s-%d", g.Name, g.VMID)
		}
	}
	return g.Name
}

// inventory leaves out what the site leaves out, as long as its exception lasts.
func inventory(s *runtime.Step, w *world.World, items []ledger.Item) runtime.Result {
	names := []string{}
	var r runtime.Result
	for _, it := range items {
		if _, excused := w.Site.Demands.Excused(it.Name, s.Now()); excused {
			continue
		}
		names = append(names, it.Name)
		r.Facts.Expected = append(r.Facts.Expected, it)
	}
	r.Value = names
	return r
}

// fakeGuests answers with the guests that a test gives, or with three.
func fakeGuests(_ context.Context, s *runtime.Step, a *guestsArgs) (runtime.Result, error) {
	w := world.Of(s)
	sys, err := w.Site.System(a.System)
	if err != nil {
		return runtime.Result{}, err
	}
	given, ok := w.Given["guests"].([]any)
	if !ok {
		given = []any{"erp", "mail", "git"}
	}
	var items []ledger.Item
	for i, g := range given {
		items = append(items, ledger.Item{Asset: sys.Asset, Name: fmt.Sprint(g), ID: fmt.Sprint(100 + i), State: "running"})
	}
	return inventory(s, w, items), nil
}
