package builtins

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

type systemsArgs struct {
	Kind  string `star:"kind" doc:"host, zone, firewall, keyring or logs"`
	Asset string `star:"asset?" doc:"row of the SOP's table that they belong to; default: the kind's own" names:"asset"`
}

func systemsDeclaration() runtime.Declaration {
	return runtime.Primitive[systemsArgs]{
		Name: "systems", Kind: runtime.Read, Resume: runtime.Retry, Returns: "list of names",
		Doc: "systems: the names of what site.star declares of a kind.\n\n" +
			"host: machines that Relax-and-Recover saves. zone: DNS zones. firewall: every system with a packet filter. keyring: the keyring. " +
			"logs: sources of logs. " +
			"Each of them is expected to have its copies and proofs when the run ends; unprotected(...) leaves one out. " +
			"Where the site has none, or no asset for them, the list is empty, and a line says so.",
		Example: `systems(kind = "host")`,
		Codes:   []failure.Code{site.CodeNoAsset},
		Fake:    listSystems, Answered: answeredSystems, Run: listSystems,
	}
}

func listSystems(_ context.Context, s *runtime.Step, a *systemsArgs) (runtime.Result, error) {
	return expectSystems(s, a, systems.Of(s).Site.Systems(a.Kind))
}

func answeredSystems(_ context.Context, s *runtime.Step, a *systemsArgs, answer any) (runtime.Result, error) {
	names, err := systems.AnsweredNames("systems", answer)
	if err != nil {
		return runtime.Result{}, err
	}
	return expectSystems(s, a, names)
}

func expectSystems(s *runtime.Step, a *systemsArgs, names []string) (runtime.Result, error) {
	w := systems.Of(s)
	usual, ok := site.KindsOfSystems[a.Kind]
	if !ok {
		return runtime.Result{}, fmt.Errorf("kind %q: want %s", a.Kind, strings.Join(slices.Sorted(maps.Keys(site.KindsOfSystems)), ", "))
	}
	nothing := func(what string) (runtime.Result, error) {
		s.Log("no %s in the site: nothing to do", what)
		return runtime.Result{Value: []string{}}, nil
	}
	if len(names) == 0 {
		return nothing(a.Kind)
	}
	if _, declared := w.Site.Demands.Asset(usual); a.Asset == "" && !declared {
		return nothing(fmt.Sprintf("asset %s for %s", usual, strings.Join(names, ", ")))
	}
	asset, err := w.Asset(a.Asset, usual)
	if err != nil {
		return runtime.Result{}, err
	}
	var items []ledger.Item
	for _, n := range names {
		items = append(items, ledger.Item{Asset: asset, Name: n})
	}
	return systems.Inventory(s, items), nil
}
