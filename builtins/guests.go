package builtins

import (
	"context"
	"fmt"

	"github.com/neosofia/runner/builtins/internal/guests"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

type guestsArgs struct {
	System string `star:"system?" doc:"proxmox of the site; default: the only one" names:"proxmox"`
	Asset  string `star:"asset?" doc:"those alone that belong to this asset; default: all" names:"asset"`
}

func guestsDeclaration() runtime.Declaration {
	return runtime.Primitive[guestsArgs]{
		Name: "guests", Kind: runtime.Read, Resume: runtime.Retry, Returns: "list of names",
		Doc: "guests: the name of every VM and container that the site protects.\n\n" +
			"Asks every node. Guests that site.star leaves out with unprotected(...) are not in the list; every other one is expected to have " +
			"its copies and proofs when the run ends. " +
			"A token that does not see all guests is an error, since Proxmox filters lists without a word; single guests that are hidden from it " +
			"are found by their VMIDs, and a finding. " +
			"A guest belongs to the asset whose guests = tagged(…), pool(…) or list of names chooses it, else to that of its proxmox; one " +
			"that belongs to none, or to several, is a finding by name. " +
			"A guest keeps the name under which it was first recorded, by its cluster and VMID, whatever it or another is called later.",
		Example: `guests()`,
		Codes:   systems.PVECodes(),
		Retries: runtime.Retries{Attempts: 4, Wait: retryWait},
		Fake:    fakeGuests, Answered: answeredGuests, Run: listGuests,
	}
}

func listGuests(ctx context.Context, s *runtime.Step, a *guestsArgs) (runtime.Result, error) {
	return guests.List(ctx, s, a.System, a.Asset)
}

// fakeGuests answers with the guests that a test gives, or with three.
func fakeGuests(ctx context.Context, s *runtime.Step, a *guestsArgs) (runtime.Result, error) {
	w := systems.Of(s)
	if a.System == "" && len(w.Site.Proxmox) == 0 {
		return listGuests(ctx, s, a)
	}
	given, ok := w.Given["guests"]
	if !ok {
		given = []any{"erp", "mail", "git"}
	}
	return answeredGuests(ctx, s, a, given)
}

func answeredGuests(_ context.Context, s *runtime.Step, a *guestsArgs, answer any) (runtime.Result, error) {
	sys, err := systems.Of(s).Site.System(a.System)
	if err != nil {
		return runtime.Result{}, err
	}
	names, err := systems.AnsweredNames("guests", answer)
	if err != nil {
		return runtime.Result{}, err
	}
	var items []ledger.Item
	for i, name := range names {
		asset := assetOfName(s, sys, name)
		if a.Asset != "" && asset != a.Asset {
			continue
		}
		items = append(items, ledger.Item{Asset: asset, Name: name, ID: fmt.Sprint(100 + i), State: "running"})
	}
	return systems.Inventory(s, items), nil
}

// assetOfName is the asset of a guest of which the name alone is known, as in tests and
// plans: tags and pools are Proxmox's.
func assetOfName(s *runtime.Step, sys *site.Proxmox, name string) string {
	here := systems.Of(s).Site
	if asset := here.AssetOf(sys, here.Matches(site.Traits{Names: []string{name}})); asset != "" {
		return asset
	}
	if all := here.GuestAssets(sys); len(all) > 0 {
		return all[0]
	}
	return sys.Asset
}
