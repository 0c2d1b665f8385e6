package ledger

import (
	"context"
	"fmt"
	"slices"
)

// Need is an artifact that another one needs, with the targets that have no whole
// copy of it.
type Need struct {
	Artifact Artifact // ID alone where the ledger knows no more of it
	Targets  []string
}

// Words name the artifact in a sentence: "the full archive of 2026-11-20".
func (l Need) Words() string {
	switch {
	case l.Artifact.Created.IsZero():
		return "the archive " + l.Artifact.ID
	case len(l.Artifact.Needs) == 0:
		return "the full archive of " + l.Artifact.Created.UTC().Format("2006-01-02")
	}
	return "the earlier archive of " + l.Artifact.Created.UTC().Format("2006-01-02")
}

// Needs lists all that art needs and that some of the targets have no whole
// copy of, the earliest first.
func (c Catalog) Needs(ctx context.Context, art Artifact, targets []string) ([]Need, error) {
	seen := map[string]bool{art.ID: true}
	var out []Need
	for queue := slices.Clone(art.Needs); len(queue) > 0; queue = queue[1:] {
		id := queue[0]
		if seen[id] {
			continue
		}
		if seen[id] = true; len(seen) > maxChain {
			return nil, fmt.Errorf("the artifact %s needs more than %d others", art.ID, maxChain)
		}
		l := Need{}
		var err error
		if l.Artifact, _, err = c.Artifact(ctx, id); err != nil {
			return nil, err
		}
		l.Artifact.ID = id
		for _, name := range targets {
			whole, err := c.stands(ctx, CopyID(id, name))
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
	slices.SortStableFunc(out, func(a, b Need) int { return a.Artifact.Created.Compare(b.Artifact.Created) })
	return out, nil
}

// stands reports that a copy exists and was not found damaged since it was made.
func (c Catalog) stands(ctx context.Context, id string) (bool, error) {
	_, found, err := c.Copy(ctx, id)
	if err != nil || !found {
		return false, err
	}
	bad, err := c.Damaged(ctx, id)
	return !bad, err
}

// Damaged reports whether the record calls a copy damaged since it was made.
func (c Catalog) Damaged(ctx context.Context, id string) (bad bool, err error) {
	err = c.Rows(ctx, Query{Kind: RowDamaged, ID: id}, func(Row) error { bad = true; return nil })
	return bad, err
}
