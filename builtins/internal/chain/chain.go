// Package chain finds what an artifact needs beside it: a differential archive
// brings nothing back without its full one. What runtime/ledger holds back in
// reports, this mends: it names the artifacts that a target lacks.
package chain

import (
	"context"
	"fmt"
	"slices"

	"github.com/neosofia/runner/runtime/ledger"
)

// maxNeeds bounds how many artifacts one may need, all in all.
const maxNeeds = 1024

// Lack is an artifact that another one needs, with the targets that have no whole
// copy of it.
type Lack struct {
	Artifact ledger.Artifact // ID alone where the ledger knows no more of it
	Targets  []string
}

// Words name the artifact in a sentence: "the full archive of 2026-11-20".
func (l Lack) Words() string {
	switch {
	case l.Artifact.Created.IsZero():
		return "the archive " + l.Artifact.ID
	case len(l.Artifact.Needs) == 0:
		return "the full archive of " + l.Artifact.Created.UTC().Format("2006-01-02")
	}
	return "the earlier archive of " + l.Artifact.Created.UTC().Format("2006-01-02")
}

// Lacking lists all that art needs and that some of the targets have no whole
// copy of, the earliest first.
func Lacking(ctx context.Context, catalog ledger.Catalog, art ledger.Artifact, targets []string) ([]Lack, error) {
	seen := map[string]bool{art.ID: true}
	var out []Lack
	for queue := slices.Clone(art.Needs); len(queue) > 0; queue = queue[1:] {
		id := queue[0]
		if seen[id] {
			continue
		}
		if seen[id] = true; len(seen) > maxNeeds {
			return nil, fmt.Errorf("the artifact %s needs more than %d others", art.ID, maxNeeds)
		}
		l := Lack{}
		var err error
		if l.Artifact, _, err = catalog.Artifact(ctx, id); err != nil {
			return nil, err
		}
		l.Artifact.ID = id
		for _, name := range targets {
			whole, err := stands(ctx, catalog, ledger.CopyID(id, name))
			if err != nil {
				return nil, err
			}
			if !whole {
				l.Targets = append(l.Targets, name)
			}
		}
		if len(l.Targets) > 0 {
			out = append(out, l)
		}
		queue = append(queue, l.Artifact.Needs...)
	}
	slices.SortStableFunc(out, func(a, b Lack) int { return a.Artifact.Created.Compare(b.Artifact.Created) })
	return out, nil
}

// stands reports that a copy exists and was not found damaged since it was made.
func stands(ctx context.Context, catalog ledger.Catalog, id string) (bool, error) {
	_, found, err := catalog.Copy(ctx, id)
	if err != nil || !found {
		return false, err
	}
	bad, err := Damaged(ctx, catalog, id)
	return !bad, err
}

// Damaged reports whether the record calls a copy damaged since it was made.
func Damaged(ctx context.Context, catalog ledger.Catalog, id string) (bad bool, err error) {
	err = catalog.Rows(ctx, ledger.Query{Kind: ledger.RowDamaged, ID: id}, func(ledger.Row) error { bad = true; return nil })
	return bad, err
}
