package guests

import (
	"context"
	"fmt"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// List returns the names of the guests that the site protects, and what is expected of
// the run because of them.
func List(ctx context.Context, s *runtime.Step, system, asset string) (runtime.Result, error) {
	w := systems.Of(s)
	if system == "" && len(w.Site.Proxmox) == 0 {
		s.Log("no Proxmox VE in the site: nothing to do")
		return runtime.Result{Value: []string{}}, nil
	}
	c, sys, err := w.Proxmox(ctx, system)
	if err != nil {
		return runtime.Result{}, proxmox.Explain(system, "connect", err)
	}
	all, err := c.SeesAllGuests(ctx)
	if err != nil {
		return runtime.Result{}, proxmox.Explain(sys.Name, "read the token's rights", err)
	}
	if !all {
		return runtime.Result{}, &failure.Error{Code: proxmox.CodeAuth, System: "proxmox " + sys.Name, Doing: "list guests",
			Said: "the token does not have VM.Audit on /vms: it would see a part of the guests and no error",
			Hint: "pveum acl modify /vms --tokens '" + sys.TokenID + "' --roles PVEAuditor, and the same for its user"}
	}
	r, err := Read(ctx, s, c, sys)
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
		if g.Asset != "" && (asset == "" || g.Asset == asset) {
			items = append(items, ledger.Item{Asset: g.Asset, Name: g.Item, ID: fmt.Sprint(g.VMID), State: g.Status, Source: sys.Name,
				Label: g.Shown()})
		}
	}
	res := systems.Inventory(s, items)
	unsorted(s, w, sys, r, &res)
	hide(s, w, sys, r, &res)
	if !r.Whole {
		s.Log("the cluster leaves more VMIDs free than can be asked for one by one: a guest far from all others, and hidden from the token, " +
			"would not be found")
	}
	return res, nil
}

// unsorted says of guests that no asset chooses, and of those that several do.
func unsorted(s *runtime.Step, w *systems.Systems, sys *site.Proxmox, r *Roster, res *runtime.Result) {
	for _, g := range r.Guests {
		if _, excused := w.Site.Demands.Excused(g.Item, s.Now()); excused {
			continue
		}
		if text, hint := g.Unsorted(sys); text != "" {
			res.Facts.Findings = append(res.Facts.Findings, ledger.Finding{Severity: ledger.Failed, Asset: g.Asset, Item: g.Item, Text: text,
				Type: hint})
		}
	}
}

// Unsorted says what is wrong with the assets that a guest belongs to; "" is nothing.
func (g Guest) Unsorted(sys *site.Proxmox) (text, hint string) {
	switch {
	case g.Asset == "":
		return fmt.Sprintf("guest %s of %s belongs to no asset: it is not saved", g.Item, sys.Name),
			fmt.Sprintf("choose it in site.star: guests = … of an asset(…), or asset(name = %q, …) for all others; or unprotected(guest = "+
				"%q, …)", sys.Asset, g.Item)
	case len(g.matches) > 1:
		var all []string
		for _, m := range g.matches {
			all = append(all, m.Asset+" ("+m.Why+")")
		}
		return fmt.Sprintf("guest %s of %s belongs to several assets: %s; it was taken for one of %s", g.Item, sys.Name, strings.Join(all, ", "),
				g.Asset),
			"let one asset alone choose it: guests = … in site.star, or its tags and pool"
	}
	return "", ""
}

// hide says of guests that the token may not see. They are expected to have their
// copies like any other, unless the site leaves them out.
func hide(s *runtime.Step, w *systems.Systems, sys *site.Proxmox, r *Roster, res *runtime.Result) {
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
		res.Facts.Expected = append(res.Facts.Expected, ledger.Item{Asset: g.Asset, Name: g.Item, ID: id, State: ledger.Hidden, Source: sys.Name})
		res.Facts.Findings = append(res.Facts.Findings, ledger.Finding{Severity: ledger.Failed, Asset: g.Asset, Item: g.Item, Text: text,
			Type: proxmox.RightHint(sys.TokenID, right.Refusal()) + fmt.Sprintf("; or in site.star: unprotected(guest = %q, …)", g.Item)})
	}
}
