package spool

import (
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// Export is an artifact that is made of small files.
type Export struct {
	Kind, Asset, Item, Source string
	Names                     []string // of Files, in their order
	Files                     map[string][]byte
}

// Export writes the files of an export.
func (d Dir) Export(s *runtime.Step, x Export) (ledger.Artifact, error) {
	art := ledger.Artifact{ID: s.ArtifactID(), Kind: x.Kind, Asset: x.Asset, Item: x.Item, Run: s.Run, Step: s.ID, Source: x.Source,
		Created: s.Now()}
	sp, err := d.Begin(s)
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

// LogChanges logs how much changed where since an earlier export, and returns what the
// ledger keeps of it.
func LogChanges(s *runtime.Step, item string, since time.Time, sections []string) string {
	changes := kind.Changes(since, sections)
	if changes != "" {
		s.Log("%s: changes %s; they are in %s of the artifact", item, strings.ReplaceAll(strings.Replace(changes, "\n", " ", 1), "\n", ", "),
			kind.ChangesFile)
	}
	return changes
}
