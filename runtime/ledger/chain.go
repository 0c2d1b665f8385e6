package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// maxChain bounds how many artifacts one may need, all in all.
const maxChain = 1024

// Lack is what holds a copy back: an artifact that it needs, with the best that is
// proven of it on the same target.
type Lack struct {
	Artifact string    `json:"artifact"`
	Taken    time.Time `json:"taken,omitzero"` // zero: the ledger does not know it
	Full     bool      `json:"full,omitempty"` // it needs no other one itself
	Level    int       `json:"level"`          // -1: no copy there, or no proof of it
	Circle   bool      `json:"circle,omitempty"`
}

// Chains collects what artifacts need. Of most nothing is kept: they stand alone.
type Chains struct{ needs map[string][]string }

// Add learns from the row of an artifact.
func (k *Chains) Add(r Row) error {
	if !bytes.Contains(r.Body, []byte(`"needs"`)) { // of many thousands few are decoded
		return nil
	}
	var a Artifact
	if err := json.Unmarshal(r.Body, &a); err != nil {
		return fmt.Errorf("decode %s %s: %w", r.Kind, r.ID, err)
	}
	if len(a.Needs) == 0 {
		return nil
	}
	if k.needs == nil {
		k.needs = map[string][]string{}
	}
	k.needs[a.ID] = a.Needs
	return nil
}

// Hold lowers the level of each copy to that of the weakest artifact that it
// needs on the same target: an increment without its full archive brings nothing
// back. Copies must hold all copies of the asset or item; what an artifact needs
// is of the same item.
func (c Catalog) Hold(ctx context.Context, k *Chains, copies []Proven) error {
	if len(k.needs) == 0 {
		return nil
	}
	on := map[[2]string]*Proven{}
	own := make([]Proven, len(copies))
	for i, p := range copies {
		own[i] = p
		on[[2]string{p.Artifact, p.Target}] = &own[i]
	}
	for i := range copies {
		p := &copies[i]
		w := chainWalk{needs: k.needs, on: on, target: p.Target, open: map[string]bool{}, seen: map[string]bool{}, level: p.Level}
		w.visit(p.Artifact)
		p.Whole = w.bytes
		if w.lack == nil {
			continue
		}
		p.Level, p.Lacks = w.level, w.lack
		a, found, err := c.Artifact(ctx, w.lack.Artifact)
		if err != nil {
			return err
		}
		if found {
			p.Lacks.Taken = a.Created
		}
	}
	return nil
}

// WholeCopies is ProvenCopies with levels as Hold lowers them. Of q, asset and
// item are used.
func (c Catalog) WholeCopies(ctx context.Context, q Query) ([]Proven, error) {
	q = Query{Asset: q.Asset, Item: q.Item}
	copies, err := c.ProvenCopies(ctx, q)
	if err != nil {
		return nil, err
	}
	var k Chains
	q.Kind = RowArtifact
	if err := c.Rows(ctx, q, k.Add); err != nil {
		return nil, err
	}
	return copies, c.Hold(ctx, &k, copies)
}

// chainWalk goes through all that one copy needs.
type chainWalk struct {
	needs      map[string][]string
	on         map[[2]string]*Proven
	target     string
	open, seen map[string]bool
	level      int
	bytes      int64
	lack       *Lack
}

func (w *chainWalk) visit(id string) {
	switch {
	case w.open[id], len(w.seen) > maxChain:
		w.lower(id, -1, true)
		return
	case w.seen[id]:
		return
	}
	w.open[id], w.seen[id] = true, true
	level := -1
	if p := w.on[[2]string{id, w.target}]; p != nil {
		level = p.Level
		w.bytes += p.Bytes
	}
	w.lower(id, level, false)
	for _, n := range w.needs[id] {
		w.visit(n)
	}
	delete(w.open, id)
}

func (w *chainWalk) lower(id string, level int, circle bool) {
	if level < w.level || circle && (w.lack == nil || !w.lack.Circle) {
		w.level, w.lack = level, &Lack{Artifact: id, Full: len(w.needs[id]) == 0, Level: level, Circle: circle}
	}
}
