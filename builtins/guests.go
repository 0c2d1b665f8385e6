package builtins

import (
	"context"
	"fmt"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/roster"
	"github.com/neosofia/runner/builtins/internal/site"
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
			"A token that does not see all guests is an error, since Proxmox filters lists without a word; single guests that are hidden from it are found by their VMIDs, and a finding. " +
			"A guest keeps the name under which it was first recorded, by its cluster and VMID, whatever it or another is called later.",
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
	r, err := roster.Read(ctx, s, c, sys)
	if err != nil {
		return runtime.Result{}, err
	}
	if err := r.Look(ctx, c, sys); err != nil {
		return runtime.Result{}, err
	}
	var items []ledger.Item
	for _, g := range r.Guests {
		if g.Shown() != "" {
			s.Log("guest %d is named %s now; its copies stay recorded as %s", g.VMID, g.Shown(), g.Item)
		}
		items = append(items, ledger.Item{Asset: sys.Asset, Name: g.Item, ID: fmt.Sprint(g.VMID), State: g.Status, Source: sys.Name, Label: g.Shown()})
	}
	res := inventory(s, w, items)
	hide(s, w, sys, r, &res)
	if !r.Whole {
		s.Log("the cluster leaves more VMIDs free than can be asked for one by one: a guest far from all others, and hidden from the token, would not be found")
	}
	return res, nil
}

// hide tells of guests that the token may not see. They are expected to have their
// copies like any other, unless the site leaves them out.
func hide(s *runtime.Step, w *world.World, sys *site.Proxmox, r *roster.Roster, res *runtime.Result) {
	for _, g := range r.Hidden {
		id := fmt.Sprint(g.VMID)
		if _, excused := w.Site.Demands.Excused(id, s.Now()); excused {
			continue
		}
		if _, excused := w.Site.Demands.Excused(g.Item, s.Now()); excused {
			continue
		}
		right := proxmox.Right{Path: "/vms/" + id, Privileges: []string{"VM.Audit"}}
		text := fmt.Sprintf("guest %s exists on %s, and the token may not see it: it is not saved", id, sys.Name)
		if g.Item != id {
			text = fmt.Sprintf("guest %s (%s) exists on %s, and the token may not see it any more: it is not saved", id, g.Item, sys.Name)
		}
		res.Facts.Expected = append(res.Facts.Expected, ledger.Item{Asset: sys.Asset, Name: g.Item, ID: id, State: ledger.Hidden, Source: sys.Name})
		res.Facts.Findings = append(res.Facts.Findings, ledger.Finding{Severity: ledger.Failed, Asset: sys.Asset, Item: g.Item, Text: text,
			Type: world.RightHint(sys.TokenID, right.Refusal()) + fmt.Sprintf("; or in site.star: unprotected(guest = %q, …)", g.Item)})
	}
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
