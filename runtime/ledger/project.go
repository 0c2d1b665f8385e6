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
	RowReading  = "reading"  // Reading, while the pass lasts
	RowItem     = "item"     // Item, as the run saw it
	RowMedium   = "medium"   // Medium, the newest observation of a target
	RowCustody  = "custody"  // Custody, all of it
	RowKey      = "key"      // KeyProof, the newest of a key on a target
	RowProbe    = "probe"    // Probe, the newest of a target
	RowUndo     = "undo"     // Undo not settled yet
	RowDemands  = "demands"  // Demands in force
	RowGap      = "gap"      // LedgerGap
	RowWitness  = "witness"  // CheckpointKey
	RowDamaged  = "damaged"  // a copy that failed a check and was neither made again nor proven since
)

// Row is one projected fact. Empty columns do not apply to its kind.
type Row struct {
	Kind, ID                      string
	Asset, Item, Run, Ref, Target string
	Time                          time.Time
	Body                          json.RawMessage

	decoded *decoded // of a row that lies in memory
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
	case Witness:
		var k CheckpointKey
		if err := e.Decode(&k); err != nil {
			return nil, err
		}
		return put(e, Row{Kind: RowWitness, ID: k.Verifier, Time: e.Time, Body: e.Body})
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
	case StepEnd, Imported:
		var f rawFacts
		if err := e.Decode(&f); err != nil {
			return nil, err
		}
		return facts(e, f)
	case StepBegin, StepMark:
		return nil, nil
	}
	return nil, fmt.Errorf("project entry %d: unknown type %q", e.Seq, e.Type)
}

func put(_ Entry, r Row) ([]Change, error) { return []Change{{Row: r}}, nil }

// rawFacts are Facts whose parts keep the bytes that were recorded: a field that
// this version does not know is projected all the same, and the projection of an
// old entry stays what it was.
type rawFacts struct {
	Artifacts []json.RawMessage `json:"artifacts"`
	Copies    []json.RawMessage `json:"copies"`
	Proofs    []json.RawMessage `json:"proofs"`
	Readings  []json.RawMessage `json:"readings"`
	Removed   []string          `json:"removed"`
	Damaged   []string          `json:"damaged"`
	Expected  []json.RawMessage `json:"expected"`
	Media     []json.RawMessage `json:"media"`
	Custody   []json.RawMessage `json:"custody"`
	Keys      []json.RawMessage `json:"keys"`
	Probes    []json.RawMessage `json:"probes"`
}

// columns are the fields of facts that rows are found by.
type columns struct {
	ID       string `json:"id"`
	Asset    string `json:"asset"`
	Item     string `json:"item"`
	Name     string `json:"name"`
	Run      string `json:"run"`
	Step     string `json:"step"`
	Artifact string `json:"artifact"`
	Copy     string `json:"copy"`
	Target   string `json:"target"`

	Act       string    `json:"act"`
	Recipient string    `json:"recipient"`
	Level     int       `json:"level"`
	Created   time.Time `json:"created"`
	Taken     time.Time `json:"taken"`
	At        time.Time `json:"at"`
}

// facts lists the changes of one outcome, in this order: what was found damaged
// loses its proofs before new ones count, what was removed is removed last.
func facts(e Entry, f rawFacts) ([]Change, error) {
	var out []Change
	var err error
	each := func(raws []json.RawMessage, row func(columns) Row) {
		for _, raw := range raws {
			var c columns
			if uerr := json.Unmarshal(raw, &c); uerr != nil && err == nil {
				err = fmt.Errorf("project entry %d: %w", e.Seq, uerr)
			}
			r := row(c)
			r.Body = raw
			out = append(out, Change{Row: r})
		}
	}
	for _, id := range f.Damaged {
		body, cerr := Canonical(map[string]string{"id": id, "run": e.Run, "step": e.Step})
		if cerr != nil {
			return nil, cerr
		}
		out = append(out, Change{Drop: true, Row: Row{Kind: RowProof, Ref: id}}, Change{Drop: true, Row: Row{Kind: RowReading, ID: id}},
			Change{Row: Row{Kind: RowDamaged, ID: id, Run: e.Run, Time: e.Time, Body: body}})
	}
	each(f.Artifacts, func(c columns) Row {
		return Row{Kind: RowArtifact, ID: c.ID, Asset: c.Asset, Item: c.Item, Run: c.Run, Time: c.Created}
	})
	each(f.Copies, func(c columns) Row {
		out = append(out, Change{Drop: true, Row: Row{Kind: RowDamaged, ID: c.ID}}, Change{Drop: true, Row: Row{Kind: RowReading, ID: c.ID}})
		return Row{Kind: RowCopy, ID: c.ID, Asset: c.Asset, Item: c.Item, Run: e.Run, Ref: c.Artifact, Target: c.Target, Time: c.Taken}
	})
	each(f.Proofs, func(c columns) Row {
		if c.Level >= Read {
			out = append(out, Change{Drop: true, Row: Row{Kind: RowDamaged, ID: c.Copy}}, Change{Drop: true, Row: Row{Kind: RowReading, ID: c.Copy}})
		}
		p := Proof{Copy: c.Copy, Level: c.Level, Run: c.Run, Step: c.Step}
		return Row{Kind: RowProof, ID: p.ID(), Asset: c.Asset, Item: c.Item, Run: c.Run, Ref: c.Copy, Target: c.Target, Time: c.At}
	})
	each(f.Readings, func(c columns) Row {
		return Row{Kind: RowReading, ID: c.Copy, Asset: c.Asset, Item: c.Item, Run: c.Run, Ref: c.Copy, Target: c.Target, Time: c.At}
	})
	each(f.Expected, func(c columns) Row {
		return Row{Kind: RowItem, ID: shortHash(e.Run, c.Asset, c.Name, c.ID), Asset: c.Asset, Item: c.Name, Run: e.Run, Time: e.Time}
	})
	each(f.Media, func(c columns) Row {
		return Row{Kind: RowMedium, ID: c.Target, Target: c.Target, Time: c.At}
	})
	each(f.Custody, func(c columns) Row {
		h := Custody{Target: c.Target, Act: c.Act, At: c.At}
		return Row{Kind: RowCustody, ID: h.ID(), Run: e.Run, Target: c.Target, Time: c.At}
	})
	each(f.Keys, func(c columns) Row {
		p := KeyProof{Recipient: c.Recipient, Target: c.Target}
		return Row{Kind: RowKey, ID: p.ID(), Run: e.Run, Ref: c.Copy, Target: c.Target, Time: c.At}
	})
	each(f.Probes, func(c columns) Row {
		return Row{Kind: RowProbe, ID: c.Target, Run: e.Run, Target: c.Target, Time: c.At}
	})
	for _, id := range f.Removed {
		body, cerr := Canonical(map[string]string{"id": id, "run": e.Run, "step": e.Step})
		if cerr != nil {
			return nil, cerr
		}
		out = append(out, Change{Row: Row{Kind: RowRemoved, ID: id, Run: e.Run, Time: e.Time, Body: body}},
			Change{Drop: true, Row: Row{Kind: RowDamaged, ID: id}}, Change{Drop: true, Row: Row{Kind: RowCopy, ID: id}},
			Change{Drop: true, Row: Row{Kind: RowProof, Ref: id}}, Change{Drop: true, Row: Row{Kind: RowReading, ID: id}})
	}
	return out, err
}
