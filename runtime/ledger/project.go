package ledger

import (
	"encoding/json"
	"fmt"
	"time"
)

// Kinds of rows.
const (
	RowRun      = "run"      // Run
	RowRunEnd   = "run.end"  // RunOutcome
	RowArtifact = "artifact" // Artifact
	RowCopy     = "copy"     // Copy, while it exists
	RowRemoved  = "removed"  // Copy, after it was removed
	RowProof    = "proof"    // Proof, while it holds
	RowItem     = "item"     // Item, as the run saw it
	RowMedium   = "medium"   // Medium, the newest observation of a target
	RowUndo     = "undo"     // Undo not settled yet
	RowDemands  = "demands"  // Demands in force
	RowGap      = "gap"      // LedgerGap
)

// Row is one projected fact. Empty columns do not apply to its kind.
type Row struct {
	Kind, ID                      string
	Asset, Item, Run, Ref, Target string
	Time                          time.Time
	Body                          json.RawMessage
}

// Change is one step of a projection: put Row, or drop the rows of Kind with
// that ID, or with that Ref.
type Change struct {
	Drop bool
	Row
}

// Project computes what an entry changes. It is the only place where entries
// become facts: stores apply it, verification repeats it.
func Project(e Entry) ([]Change, error) {
	switch e.Type {
	case RunBegin:
		return put(e, Row{Kind: RowRun, ID: e.Run, Run: e.Run, Time: e.Time, Body: e.Body})
	case RunResume:
		return nil, nil
	case RunEnd:
		return put(e, Row{Kind: RowRunEnd, ID: e.Run, Run: e.Run, Time: e.Time, Body: e.Body})
	case SiteDemand:
		return put(e, Row{Kind: RowDemands, ID: "current", Time: e.Time, Body: e.Body})
	case Junction:
		return put(e, Row{Kind: RowGap, ID: fmt.Sprint(e.Time.UnixMicro()), Time: e.Time, Body: e.Body})
	case UndoBegin:
		var u Undo
		if err := e.Decode(&u); err != nil {
			return nil, err
		}
		return put(e, Row{Kind: RowUndo, ID: u.ID, Run: e.Run, Ref: e.Step, Time: e.Time, Body: e.Body})
	case UndoEnd:
		var u UndoOutcome
		if err := e.Decode(&u); err != nil {
			return nil, err
		}
		if u.Failure != nil {
			return nil, nil
		}
		return []Change{{Drop: true, Row: Row{Kind: RowUndo, ID: u.ID}}}, nil
	case StepEnd:
		var end End
		if err := e.Decode(&end); err != nil {
			return nil, err
		}
		return facts(e, end.Facts)
	case Imported:
		var im Import
		if err := e.Decode(&im); err != nil {
			return nil, err
		}
		return facts(e, im.Facts)
	case StepBegin, StepMark:
		return nil, nil
	}
	return nil, fmt.Errorf("project entry %d: unknown type %q", e.Seq, e.Type)
}

func put(_ Entry, r Row) ([]Change, error) { return []Change{{Row: r}}, nil }

func facts(e Entry, f Facts) ([]Change, error) {
	var out []Change
	add := func(r Row, v any) error {
		body, err := Canonical(v)
		if err != nil {
			return err
		}
		r.Body = body
		out = append(out, Change{Row: r})
		return nil
	}
	for _, id := range f.Damaged {
		out = append(out, Change{Drop: true, Row: Row{Kind: RowProof, Ref: id}})
	}
	for _, a := range f.Artifacts {
		if err := add(Row{Kind: RowArtifact, ID: a.ID, Asset: a.Asset, Item: a.Item, Run: a.Run, Time: a.Created}, a); err != nil {
			return nil, err
		}
	}
	for _, c := range f.Copies {
		if err := add(Row{Kind: RowCopy, ID: c.ID, Asset: c.Asset, Item: c.Item, Run: e.Run, Ref: c.Artifact, Target: c.Target, Time: c.Taken}, c); err != nil {
			return nil, err
		}
	}
	for _, p := range f.Proofs {
		if err := add(Row{Kind: RowProof, ID: p.ID(), Asset: p.Asset, Item: p.Item, Run: p.Run, Ref: p.Copy, Target: p.Target, Time: p.At}, p); err != nil {
			return nil, err
		}
	}
	for _, it := range f.Expected {
		if err := add(Row{Kind: RowItem, ID: shortHash(e.Run, it.Asset, it.Name, it.ID), Asset: it.Asset, Item: it.Name, Run: e.Run, Time: e.Time}, it); err != nil {
			return nil, err
		}
	}
	for _, m := range f.Media {
		if err := add(Row{Kind: RowMedium, ID: m.Target, Target: m.Target, Time: m.At}, m); err != nil {
			return nil, err
		}
	}
	for _, id := range f.Removed {
		if err := add(Row{Kind: RowRemoved, ID: id, Run: e.Run, Time: e.Time}, map[string]any{"id": id, "run": e.Run, "step": e.Step}); err != nil {
			return nil, err
		}
		out = append(out, Change{Drop: true, Row: Row{Kind: RowCopy, ID: id}}, Change{Drop: true, Row: Row{Kind: RowProof, Ref: id}})
	}
	return out, nil
}
