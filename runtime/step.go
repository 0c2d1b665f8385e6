package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// Step is one call under way, as its primitive sees it.
type Step struct {
	ID      string // "/2[0]/1"
	Run     string
	Attempt int // from 1
	World   any // what the program joined: clients, site, devices

	run   *Run
	name  string
	mu    sync.Mutex
	marks map[string]string
}

// Token is ledger.Token of this step.
func (s *Step) Token() string { return ledger.Token(s.Run, s.ID) }

// ArtifactID is the id of the artifact that this step makes.
func (s *Step) ArtifactID() string { return ledger.ArtifactID(s.Run, s.ID) }

// Alive reports whether the process of another run lives.
func (s *Step) Alive(run string) bool { return s.run.cfg.State != "" && Alive(s.run.cfg.State, run) }

// Now is the time of the run's clock.
func (s *Step) Now() time.Time { return s.run.engine.Now().UTC() }

// Sleep waits on the run's clock.
func (s *Step) Sleep(ctx context.Context, d time.Duration) error { return s.run.engine.Sleep(ctx, d) }

// Within bounds ctx by the run's clock.
func (s *Step) Within(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	return s.run.clock.Within(ctx, d, cause)
}

// Lab reports that the run is against the built-in site.
func (s *Step) Lab() bool { return s.run.header.Lab }

// Mark records progress that Probe can use. It is durable when it returns. The
// value must not be a secret.
func (s *Step) Mark(ctx context.Context, key, value string) error {
	s.mu.Lock()
	s.marks[key] = value
	s.mu.Unlock()
	e, err := ledger.NewEntry(ledger.StepMark, s.Now(), s.Run, s.ID, ledger.Mark{Key: key, Value: value})
	if err != nil {
		return err
	}
	return s.run.record(ctx, e)
}

// Marked returns a mark of this or an earlier attempt, or "".
func (s *Step) Marked(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marks[key]
}

// Undo records a clean-up before the effect that needs it. It is done at the end
// of the run, or by the next start, unless Keep was called.
func (s *Step) Undo(ctx context.Context, primitive string, args map[string]any) (*Undo, error) {
	raw, err := ledger.Canonical(args)
	if err != nil {
		return nil, err
	}
	u := ledger.Undo{ID: ledger.ArtifactID(s.Run, s.ID+" undo "+primitive+string(raw)), Primitive: primitive, Args: raw}
	e, err := ledger.NewEntry(ledger.UndoBegin, s.Now(), s.Run, s.ID, u)
	if err != nil {
		return nil, err
	}
	return &Undo{s, u.ID}, s.run.record(ctx, e)
}

// Undo is a recorded clean-up.
type Undo struct {
	step *Step
	id   string
}

// Keep says that the effect is wanted: no clean-up.
func (u *Undo) Keep(ctx context.Context) error {
	e, err := ledger.NewEntry(ledger.UndoEnd, u.step.Now(), u.step.Run, u.step.ID, ledger.UndoOutcome{ID: u.id})
	if err != nil {
		return err
	}
	return u.step.run.record(ctx, e)
}

// KeepAll keeps what every clean-up of this step would remove: a probe found the
// effect whole.
func (s *Step) KeepAll(ctx context.Context) error {
	undos, err := ledger.All[ledger.Undo](ctx, s.run.ledger, ledger.Query{Kind: ledger.RowUndo, Run: s.Run, Ref: s.ID})
	for _, u := range undos {
		if kerr := (&Undo{s, u.ID}).Keep(ctx); err == nil {
			err = kerr
		}
	}
	return err
}

// Catalog reads the projections, up to the last step that ended.
func (s *Step) Catalog(ctx context.Context) (ledger.Catalog, error) {
	if err := s.run.ledger.Flush(ctx); err != nil {
		return ledger.Catalog{}, ledgerError(err)
	}
	return ledger.Catalog{Store: s.run.ledger}, nil
}

// Head is the ledger's head as of now: manifests carry it.
func (s *Step) Head(ctx context.Context) (ledger.Head, error) { return s.run.ledger.Head(ctx) }

// Fault is the failure that a policy test wants for a part of this call, such as
// one target of several; nil outside tests.
func (s *Step) Fault(key, value string) error {
	if s.run.cfg.Script == nil {
		return nil
	}
	return s.run.cfg.Script.Fault(s.ID, s.name, map[string]any{key: value})
}

// Detail is Log for who wants to see everything.
func (s *Step) Detail(format string, args ...any) {
	s.run.observe(Event{Kind: EventLog, Step: s.ID, Primitive: s.name, Text: fmt.Sprintf(format, args...), Detail: true})
}

// Log tells the operator a line; it is not recorded.
func (s *Step) Log(format string, args ...any) {
	s.run.observe(Event{Kind: EventLog, Step: s.ID, Primitive: s.name, Text: fmt.Sprintf(format, args...)})
}

// Progress tells the operator how far a transfer is. name tells transfers of one
// step apart; total 0 means unknown.
func (s *Step) Progress(name string, done, total int64) {
	s.run.observe(Event{Kind: EventProgress, Step: s.ID, Primitive: s.name, Transfer: name, Done: done, Total: total})
}

// Hold takes names for writing until release; see Primitive.Holds.
func (s *Step) Hold(ctx context.Context, names ...string) (release func(), err error) {
	return s.run.leases.hold(ctx, s, names)
}

// Event kinds.
const (
	EventRun      = "run"      // a run begins
	EventBegin    = "begin"    // a step begins
	EventEnd      = "end"      // a step ended
	EventLog      = "log"      // a line from a primitive
	EventProgress = "progress" // bytes of a transfer
	EventPrint    = "print"    // print() of a policy
	EventWait     = "wait"     // a lease is held by another run
)

// Event is something that happens in a run, for those who watch.
type Event struct {
	Kind      string
	Time      time.Time
	Step      string
	Primitive string
	Args      json.RawMessage
	Text      string
	Transfer  string
	Done      int64
	Total     int64
	Replayed  bool
	Failure   *ledger.Failure
	Facts     *ledger.Facts
	Elapsed   time.Duration
	Again     bool // of the end of a step: it failed, and another attempt follows
	Detail    bool // of a log: nobody needs to act on it
}
