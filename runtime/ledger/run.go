package ledger

import (
	"encoding/json"
	"time"
)

// Results of a run.
const (
	OK          = "ok"
	DegradedRun = "degraded"
	Failed      = "failed"
	Interrupted = "interrupted"
)

// Policy is what policy(...) declares.
type Policy struct {
	Label    string   `json:"label"`
	SOP      string   `json:"sop,omitempty"`
	Section  string   `json:"section,omitempty"`
	Version  string   `json:"version,omitempty"`
	Protects []string `json:"protects,omitempty"` // assets that must be complete after a run
	Optional bool     `json:"optional,omitempty"` // has nothing to do where the site declares none of them
}

// Run is the body of RunBegin: who ran what.
type Run struct {
	ID       string            `json:"id"`
	Policy   string            `json:"policy"` // label of the file that was run
	Path     string            `json:"path"`   // as it was named
	Policies []Policy          `json:"policies,omitempty"`
	Sources  map[string]string `json:"sources"` // label -> SHA-256 of every file of the load graph
	Code     string            `json:"code"`    // digest over Sources
	Site     string            `json:"site"`    // SHA-256 of site.star
	SitePath string            `json:"site_path,omitempty"`
	Binary   string            `json:"binary,omitempty"` // SHA-256 of the executable
	Version  string            `json:"version,omitempty"`
	Args     map[string]string `json:"args,omitempty"`
	Operator Operator          `json:"operator"`
	Host     string            `json:"host"`
	Boot     string            `json:"boot,omitempty"`
	PID      int               `json:"pid"`
	Began    time.Time         `json:"began"`
	RetryOf  string            `json:"retry_of,omitempty"`
	Lab      bool              `json:"lab,omitempty"`
}

// Operator is who started a run.
type Operator struct {
	UID  int    `json:"uid"`
	User string `json:"user,omitempty"`
	Sudo string `json:"sudo,omitempty"` // SUDO_USER
	Unit string `json:"unit,omitempty"` // systemd unit
}

// Resumption is the body of RunResume.
type Resumption struct {
	Operator Operator `json:"operator"`
	Host     string   `json:"host"`
	Boot     string   `json:"boot,omitempty"`
	PID      int      `json:"pid"`
}

// Begin is the body of StepBegin, durable before the effect.
type Begin struct {
	Primitive string          `json:"primitive"`
	Kind      string          `json:"kind"`
	Args      json.RawMessage `json:"args,omitempty"`
	Digest    string          `json:"digest"` // of primitive and arguments
	Position  string          `json:"position,omitempty"`
	Attempt   int             `json:"attempt"`
}

// Mark is the body of StepMark: progress that a probe after a crash can use.
type Mark struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Keys of marks begin so where something is removed, and the value says in words
// what: item, target, time, reason. MarkRemove stands before the deed, with the id
// of a copy, which is removed once it is among Facts.Removed; MarkRemoved behind
// it, with the name of something that is in no projection.
const (
	MarkRemove  = "remove "
	MarkRemoved = "removed "
)

// Failure is a recorded error.
type Failure struct {
	Code     string `json:"code,omitempty"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
	Position string `json:"position,omitempty"`
}

// End is the body of StepEnd. A read step has no Begin: Call holds what it was.
type End struct {
	Call    *Begin          `json:"call,omitempty"`
	OK      bool            `json:"ok"`
	Value   json.RawMessage `json:"value,omitempty"`
	Failure *Failure        `json:"failure,omitempty"`
	Nanos   int64           `json:"nanos,omitempty"`   // running time
	Retried bool            `json:"retried,omitempty"` // another attempt follows
	Reused  string          `json:"reused,omitempty"`  // the run whose outcome still stands
	Facts
}

// Undo is the body of UndoBegin: a primitive to call should the effect have to
// be cleaned up.
type Undo struct {
	ID        string          `json:"id"`
	Primitive string          `json:"primitive"`
	Args      json.RawMessage `json:"args"`
}

// UndoOutcome is the body of UndoEnd.
type UndoOutcome struct {
	ID      string   `json:"id"`
	Needed  bool     `json:"needed"` // false: the effect was kept, nothing was done
	Failure *Failure `json:"failure,omitempty"`
}

// Finding is one reason why a run is not ok.
type Finding struct {
	Severity string `json:"severity"` // DegradedRun or Failed
	Asset    string `json:"asset,omitempty"`
	Item     string `json:"item,omitempty"`
	Target   string `json:"target,omitempty"`
	Text     string `json:"text"`
	Hint     string `json:"advice,omitempty"` // what to look at
	Type     string `json:"hint,omitempty"`   // what to type
}

// RunOutcome is the body of RunEnd.
type RunOutcome struct {
	Result   string    `json:"result"`
	Failure  *Failure  `json:"failure,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
	By       string    `json:"superseded_by,omitempty"` // the run that took the place of this one, which had died
	Ended    time.Time `json:"ended"`
	Nanos    int64     `json:"nanos,omitempty"` // running time, without the time between a crash and resume
}

// LedgerGap is the body of Junction.
type LedgerGap struct {
	Size   int64  `json:"size"`   // tree size of the checkpoint that this ledger does not reach
	Root   string `json:"root"`   // its root
	Target string `json:"target"` // where the checkpoint was found
	Reason string `json:"reason"` // as the operator gave it
}

// Import is the body of Imported: what a manifest on a target said, or that a key
// opened something there.
type Import struct {
	Target string `json:"target"`
	Facts
}
