package world

import (
	"fmt"
	"strings"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// Export is an artifact that is made of small files.
type Export struct {
	Kind, Asset, Item, Source string
	Names                     []string // of Files, in their order
	Files                     map[string][]byte
}

// SpoolExport writes the files of an export into the spool.
func (w *World) SpoolExport(s *runtime.Step, x Export) (ledger.Artifact, error) {
	art := ledger.Artifact{ID: s.ArtifactID(), Kind: x.Kind, Asset: x.Asset, Item: x.Item, Run: s.Run, Step: s.ID, Source: x.Source, Created: s.Now()}
	sp, err := w.Spool(s)
	if err != nil {
		return art, err
	}
	for _, name := range x.Names {
		if err := sp.Put(name, x.Files[name]); err != nil {
			sp.Discard()
			return art, err
		}
	}
	if art.Files, art.Origin, err = sp.Done(); err != nil {
		sp.Discard()
		return art, err
	}
	for _, f := range art.Files {
		art.Bytes += f.Size
	}
	return art, nil
}

// FakeExport is what an export makes in a policy test.
func FakeExport(s *runtime.Step, kind, asset, usual, item string) (runtime.Result, error) {
	asset, err := Of(s).Asset(asset, usual)
	if err != nil {
		return runtime.Result{}, err
	}
	const size = 1 << 16
	art := ledger.Artifact{ID: s.ArtifactID(), Kind: kind, Asset: asset, Item: item, Run: s.Run, Step: s.ID, Source: "fake:" + item, Created: s.Now(),
		Origin: map[string]string{"spool": s.ArtifactID()}, Files: []ledger.File{{Name: kind + ".json", Size: size}}, Bytes: size}
	return runtime.Result{Value: art, Facts: ledger.Facts{Artifacts: []ledger.Artifact{art}}}, nil
}

// TellCopies says in a plan where the artifacts of an asset are copied to by default:
// what becomes of an artifact that is not there yet, copy itself cannot tell.
func TellCopies(s *runtime.Step, asset, usual string) error {
	asset, err := Of(s).Asset(asset, usual)
	if err != nil {
		return err
	}
	row, _ := Of(s).Site.Demands.Asset(asset)
	var to []string
	for _, d := range row.On {
		to = append(to, fmt.Sprintf("%s (proven %s)", d.Target, ledger.LevelName(d.Level)))
	}
	if len(to) == 0 {
		s.Log("the site demands no copies of %s: copy wants targets by name, to = [...]", asset)
		return nil
	}
	s.Log("copies of %s go to %s, unless copy names others", asset, strings.Join(to, ", "))
	return nil
}
