package builtins

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/neosofia/runner/builtins/internal/prune"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
)

type pruneArgs struct {
	Asset         string        `star:"asset?" doc:"asset of the site; may be left out where target is given: all of those that demand a copy there" names:"asset"`
	Keep          []string      `star:"keep?" doc:"ids of the artifacts to keep: what a rule of @stdlib//retention.star chose"`
	OlderThan     time.Duration `star:"older_than?" doc:"instead of keep: artifacts that are older may go; for batches of logs, which are too many for a list"`
	Item          string        `star:"item?" doc:"one item only"`
	KeepOnStorage int           `star:"keep_on_storage?" doc:"of the archives that lie on the Proxmox storage itself, so many of each item stay; left out: they are kept as long as other copies"`
	Target        string        `star:"target?" doc:"one target only; without keep and older_than, what no other target holds any more may go there" names:"target"`
	Apply         bool          `star:"apply?" doc:"True: remove; else only report"`
}

func pruneDeclaration() runtime.Declaration {
	return runtime.Reusable[pruneArgs]{Reuse: pruned, Primitive: runtime.Primitive[pruneArgs]{
		Name: "prune", Kind: runtime.Destroy, Resume: runtime.Retry, Returns: "list of what goes, with the reason",
		KindOf: func(a *pruneArgs) runtime.Kind {
			if a.Apply {
				return runtime.Destroy
			}
			return runtime.Read
		},
		Doc: "prune: remove copies that a retention rule does not keep. Without apply = True it only reports.\n\n" +
			"Whatever the rule says, it never removes the newest proven copy of an item on a target, anything below what the asset demands " +
			"(retention, number of full copies), what an artifact that is kept needs, or what another tool made or somebody protected; " +
			"it removes nothing of an item whose newest artifact is not proven, and nothing at all after the clock has jumped, until it was " +
			"right for three days and three runs; and at most 30 % of the copies of the asset in one run, the oldest first. " +
			"Archives on the Proxmox storage go once every other demanded copy is at least read. " +
			"Archives there that runner made and that are not copies (their run died, or a further attempt took their place) go, too, once a " +
			"newer " +
			"artifact of the item has every demanded copy read, whatever keep says; never those of a run that this ledger does not know. Each " +
			"removal is recorded before it is done, and reported in a line: in the run, in a plan, and in what show prints.",
		Parts:   []string{"target"},
		Example: `prune(asset = "virtual_machines", keep = ["0123456789abcdef"])`,
		Codes:   codes(systems.TargetCodes(), systems.PVECodes()),
		Retries: runtime.Retries{Attempts: 2, Wait: retryWait},
		Holds:   func(a *pruneArgs) []string { return []string{"prune:" + cmp.Or(a.Asset, a.Target)} },
		Planned: func(*pruneArgs) any { return runtime.Unknown{From: "prune"} },
		Fake:    fakePrune, Preview: previewPrune, Run: runPrune,
	}}
}

func runPrune(ctx context.Context, s *runtime.Step, a *pruneArgs) (runtime.Result, error) {
	r := prune.Request(*a)
	return prune.Prune(ctx, s, &r)
}

func fakePrune(ctx context.Context, s *runtime.Step, a *pruneArgs) (runtime.Result, error) {
	r := prune.Request(*a)
	return prune.Pretend(ctx, s, &r)
}

// previewPrune is what a plan shows: the same, without doing it.
func previewPrune(ctx context.Context, s *runtime.Step, a *pruneArgs) error {
	r := prune.Request(*a)
	return prune.Preview(ctx, s, &r)
}

// pruned tells a retry that what an earlier run pruned by the same rule is done.
func pruned(context.Context, *runtime.Step, *pruneArgs, json.RawMessage) (bool, error) {
	return true, nil
}
