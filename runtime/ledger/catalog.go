package ledger

import (
	"context"
	"slices"
	"time"
)

// Catalog reads artifacts, copies and proofs.
type Catalog struct{ Store }

// Artifact returns the artifact of that id.
func (c Catalog) Artifact(ctx context.Context, id string) (Artifact, bool, error) {
	var a Artifact
	ok, err := One(ctx, c.Store, Query{Kind: RowArtifact, ID: id}, &a)
	return a, ok, err
}

// Artifacts returns the artifacts that q selects, oldest first.
func (c Catalog) Artifacts(ctx context.Context, q Query) ([]Artifact, error) {
	q.Kind = RowArtifact
	return All[Artifact](ctx, c.Store, q)
}

// Copies returns the existing copies that q selects, oldest first.
func (c Catalog) Copies(ctx context.Context, q Query) ([]Copy, error) {
	q.Kind = RowCopy
	return All[Copy](ctx, c.Store, q)
}

// Copy returns the existing copy of that id.
func (c Catalog) Copy(ctx context.Context, id string) (Copy, bool, error) {
	var v Copy
	ok, err := One(ctx, c.Store, Query{Kind: RowCopy, ID: id}, &v)
	return v, ok, err
}

// Proofs returns the proofs that hold, oldest first.
func (c Catalog) Proofs(ctx context.Context, q Query) ([]Proof, error) {
	q.Kind = RowProof
	return All[Proof](ctx, c.Store, q)
}

// Readings returns the passes over copies that have begun and not ended, oldest first.
func (c Catalog) Readings(ctx context.Context, q Query) ([]Reading, error) {
	q.Kind = RowReading
	return All[Reading](ctx, c.Store, q)
}

// LastRead is when each copy was read back last, from its first byte: by its proofs of at
// least that level. One that never was is not in it.
func (c Catalog) LastRead(ctx context.Context, q Query) (map[string]time.Time, error) {
	proofs, err := c.Proofs(ctx, q)
	if err != nil {
		return nil, err
	}
	read := map[string]time.Time{}
	for _, p := range proofs {
		if p.Level >= Read && p.At.After(read[p.Copy]) {
			read[p.Copy] = p.At
		}
	}
	return read, nil
}

// ReadSince is how many bytes proofs have read of a target since then.
func (c Catalog) ReadSince(ctx context.Context, target string, since time.Time) (sum int64, err error) {
	proofs, err := c.Proofs(ctx, Query{Target: target})
	if err != nil {
		return 0, err
	}
	for _, p := range proofs {
		if p.Level >= Read && !p.Finished().Before(since) {
			sum += p.Bytes
		}
	}
	passes, err := c.Readings(ctx, Query{Target: target})
	for _, r := range passes {
		if !r.At.Before(since) {
			sum += r.Bytes
		}
	}
	return sum, err
}

// Demands returns the demands in force.
func (c Catalog) Demands(ctx context.Context) (Demands, error) {
	var d Demands
	_, err := One(ctx, c.Store, Query{Kind: RowDemands, ID: "current"}, &d)
	return d, err
}

// Proven is a copy with its best proof; Level -1 means none holds.
type Proven struct {
	Copy
	Level int       // after Hold: of its whole chain
	Own   int       // of this copy alone
	Lacks *Lack     // set by Hold: why Level is below Own
	Whole int64     // set by Hold, where chains are: bytes of the copy and of all that it needs
	At    time.Time // of that proof
	Nanos int64     // that reading it took
	Read  int64     // bytes
}

// ProvenCopies returns the copies that q selects, newest first, each with its
// highest proof (of two, the newer).
func (c Catalog) ProvenCopies(ctx context.Context, q Query) ([]Proven, error) {
	copies, err := c.Copies(ctx, q)
	if err != nil {
		return nil, err
	}
	proofs, err := c.Proofs(ctx, Query{Asset: q.Asset, Item: q.Item, Target: q.Target})
	if err != nil {
		return nil, err
	}
	best := map[string]Proof{}
	for _, p := range proofs {
		if b, ok := best[p.Copy]; !ok || p.Level > b.Level || p.Level == b.Level && p.At.After(b.At) {
			best[p.Copy] = p
		}
	}
	order := make([]*Copy, len(copies)) // copies are large: they are not moved to be sorted
	for i := range copies {
		order[i] = &copies[i]
	}
	slices.SortStableFunc(order, func(a, b *Copy) int { return b.Taken.Compare(a.Taken) })
	out := make([]Proven, len(copies))
	for i, cp := range order {
		out[i] = Proven{Copy: *cp, Level: -1, Own: -1}
		if p, ok := best[cp.ID]; ok {
			out[i].Level, out[i].At, out[i].Nanos, out[i].Read = p.Level, p.At, p.Nanos, p.Bytes
			out[i].Own = p.Level
		}
	}
	return out, nil
}
