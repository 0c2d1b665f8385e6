package builtins

import (
	"context"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

type historyArgs struct {
	Asset string `star:"asset" doc:"asset of the site" names:"asset"`
	Item  string `star:"item?" doc:"one item only; ask item by item where an asset has many"`
}

// pastArtifact is an artifact of which a copy exists.
type pastArtifact struct {
	ID      string    `json:"id"`
	Item    string    `json:"item"`
	Created time.Time `json:"created"`
}

// StarlarkType names the type in policies.
func (pastArtifact) StarlarkType() string { return "past_artifact" }

func historyDeclaration() runtime.Declaration {
	return runtime.Primitive[historyArgs]{
		Name: "history", Kind: runtime.Read, Resume: runtime.Retry, Returns: "list of past artifacts",
		Doc: "history: the artifacts of an asset of which a copy exists, oldest first, with id, item and created.\n\nRetention rules " +
			"choose among them: see @stdlib//retention.star and prune. What adopt found is left out as long as it lies only where it was found: " +
			"another retention removes it, and it takes no day of this one.",
		Example: `history(asset = "virtual_machines", item = "erp")`,
		Fake:    history, Run: history,
	}
}

func history(ctx context.Context, s *runtime.Step, a *historyArgs) (runtime.Result, error) {
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return runtime.Result{}, err
	}
	copies, err := catalog.Copies(ctx, ledger.Query{Asset: a.Asset, Item: a.Item})
	if err != nil {
		return runtime.Result{}, err
	}
	out := []pastArtifact{}
	seen := map[string]bool{}
	for _, c := range copies {
		if !seen[c.Artifact] && !c.Borrowed() {
			seen[c.Artifact] = true
			out = append(out, pastArtifact{c.Artifact, c.Item, c.Taken})
		}
	}
	return runtime.Result{Value: out}, nil
}
