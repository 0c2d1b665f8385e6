package systems

import (
	"fmt"
	"strings"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// FakeExport is what an export makes in a policy test.
func FakeExport(s *runtime.Step, kind, asset, usual, item string) (runtime.Result, error) {
	asset, err := Of(s).Asset(asset, usual)
	if err != nil {
		return runtime.Result{}, err
	}
	const size = 1 << 16
	art := ledger.Artifact{ID: s.ArtifactID(), Kind: kind, Asset: asset, Item: item, Run: s.Run, Step: s.ID, Source: "fake:" + item,
		Created: s.Now(),
		Origin:  ledger.Origin{Spool: s.ArtifactID()}, Files: []ledger.File{{Name: kind + ".json", Size: size}}, Bytes: size}
	return runtime.Result{Value: art, Facts: ledger.Facts{Artifacts: []ledger.Artifact{art}}}, nil
}

// PreviewCopies says in a plan where the artifacts of an asset are copied to by default:
// what becomes of an artifact that is not there yet, copy itself cannot tell.
func PreviewCopies(s *runtime.Step, asset, usual string) error {
	asset, err := Of(s).Asset(asset, usual)
	if err != nil {
		return err
	}
	row, _ := Of(s).Site.Demands.Asset(asset)
	var to []string
	for _, one := range row.Promises() {
		var names []string
		for _, d := range one {
			names = append(names, d.Target)
		}
		to = append(to, fmt.Sprintf("%s (proven %s)", strings.Join(names, " or "), ledger.LevelName(one[0].Level)))
	}
	if len(to) == 0 {
		s.Log("the site demands no copies of %s: copy wants targets by name, to = [...]", asset)
		return nil
	}
	s.Log("copies of %s go to %s, unless copy names others", asset, strings.Join(to, ", "))
	return nil
}
