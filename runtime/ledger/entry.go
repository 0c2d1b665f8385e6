package ledger

import (
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Types of entries.
const (
	RunBegin   = "run.begin"  // Run
	RunResume  = "run.resume" // Resumption
	RunEnd     = "run.end"    // RunOutcome
	StepBegin  = "step.begin" // Begin
	StepMark   = "step.mark"  // Mark
	StepEnd    = "step.end"   // End
	UndoBegin  = "undo"       // Undo: clean-up to be done, written before the effect
	UndoEnd    = "undo.end"   // UndoOutcome
	SiteDemand = "demands"    // Demands, when they changed
	Junction   = "gap"        // Gap in the ledger itself: an older one was joined to a newer checkpoint
	Witness    = "witness"    // CheckpointKey: who signs the checkpoints that this ledger leaves on targets
	Imported   = "import"     // Import: facts read back from a target: by rebuild, or with a recovery key
)

// Entry is one record. Seq is its index in the tree and not part of its bytes.
type Entry struct {
	Seq  int64           `json:"-"`
	V    int             `json:"v"`
	Type string          `json:"type"`
	Time time.Time       `json:"time"`
	Run  string          `json:"run,omitempty"`
	Step string          `json:"step,omitempty"`
	Body json.RawMessage `json:"body,omitempty"`

	raw []byte
}

// EntryVersion is the version of the encoding that this binary writes. A ledger
// that holds a newer one is refused.
const EntryVersion = 1

// NewEntry encodes body. It fails only when body cannot be JSON.
func NewEntry(typ string, at time.Time, run, step string, body any) (Entry, error) {
	e := Entry{V: EntryVersion, Type: typ, Time: at.UTC().Truncate(time.Microsecond), Run: run, Step: step}
	if body != nil {
		raw, err := Canonical(body)
		if err != nil {
			return Entry{}, fmt.Errorf("encode %s of run %s: %w", typ, run, err)
		}
		e.Body = raw
	}
	raw, err := e.encode()
	if err != nil {
		return Entry{}, fmt.Errorf("encode %s of run %s: %w", typ, run, err)
	}
	e.raw = raw
	return e, nil
}

// Bytes returns the canonical encoding, the leaf of the tree.
func (e Entry) Bytes() []byte { return e.raw }

// Hash is the leaf hash of the entry.
func (e Entry) Hash() tlog.Hash { return tlog.RecordHash(e.raw) }

// Decode fills v from the body.
func (e Entry) Decode(v any) error {
	if err := json.Unmarshal(e.Body, v); err != nil {
		return fmt.Errorf("decode entry %d (%s): %w", e.Seq, e.Type, err)
	}
	return nil
}

// ParseEntry reads the canonical bytes of an entry.
func ParseEntry(seq int64, raw []byte) (Entry, error) {
	e := Entry{Seq: seq}
	if err := json.Unmarshal(raw, &e); err != nil {
		return Entry{}, fmt.Errorf("parse entry %d: %w", seq, err)
	}
	if e.V > EntryVersion {
		return Entry{}, &NewerError{Have: EntryVersion, Want: e.V}
	}
	e.Seq, e.raw = seq, raw
	return e, nil
}

// NewerError says that a ledger was written by a newer runner.
type NewerError struct {
	Have, Want int
	Path       string
	Version    string // of the runner that began the newest run in it; "" unknown
}

func (e *NewerError) Error() string {
	name := "the ledger"
	if e.Path != "" {
		name += " " + e.Path
	}
	wrote := "the runner that wrote it"
	if e.Version != "" {
		wrote = "runner " + e.Version + ", which wrote it"
	}
	return fmt.Sprintf("%s has format %d, this runner knows %d\nhint: install %s, or a newer one; a copy of it lies on every target beside "+
		"the backups; nothing was changed", name, e.Want, e.Have, wrote)
}
