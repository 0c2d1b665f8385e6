package builtins

import (
	"context"
	"slices"

	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
)

type guestAssetsArgs struct {
	System string `star:"system?" doc:"proxmox of the site; default: all"`
}

func guestAssetsDeclaration() runtime.Declaration {
	return runtime.Primitive[guestAssetsArgs]{
		Name: "guest_assets", Kind: runtime.Read, Resume: runtime.Retry, Returns: "list of names",
		Doc: "guest_assets: the assets that guests belong to: that of each proxmox, and those that choose guests by tag, pool or name.\n\n" +
			"What is kept of guests is pruned asset by asset; each may demand something else.",
		Example: `[history(asset = a) for a in guest_assets()]`,
		Fake:    guestAssets, Run: guestAssets,
	}
}

func guestAssets(_ context.Context, s *runtime.Step, a *guestAssetsArgs) (runtime.Result, error) {
	here := systems.Of(s).Site
	all := here.Proxmox
	if a.System != "" {
		sys, err := here.System(a.System)
		if err != nil {
			return runtime.Result{}, err
		}
		all = all[:0:0]
		all = append(all, sys)
	}
	names := []string{}
	for _, sys := range all {
		for _, asset := range here.GuestAssets(sys) {
			if !slices.Contains(names, asset) {
				names = append(names, asset)
			}
		}
	}
	return runtime.Result{Value: names}, nil
}
