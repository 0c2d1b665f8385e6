package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

// Mode is how calls of primitives are performed.
type Mode int

// Modes of a run.
const (
	Live Mode = iota // for real
	Plan             // nothing is changed: reads run, the rest is planned
	Fake             // in a policy test
)

// Config is what one run is made with.
type Config struct {
	Program  *Program
	Ledger   *ledger.Ledger
	Clock    Clock           // nil: the machine's
	State    string          // folder of leases; "" in tests
	Header   ledger.Run      // who and what; ID, Policy, Sources, Code, Began are filled in
	Demands  ledger.Demands  // of the site
	Allowed  map[string]bool // Destroy primitives that the site allows
	World    any
	Args     map[string]string  // for main
	Call     *starlark.Function // called instead of the entry's main: policy tests
	Mode     Mode
	Observe  func(Event)
	Complete Completeness // nil: every run whose main returns is ok
	Script   Script       // policy tests: what calls meet with
}

// Script is what a policy test wants of the calls of a run.
type Script interface {
	// Fault is the failure of a call, or of the part of it that args names; nil: none.
	Fault(step, primitive string, args map[string]any) error
	// Answer is what a call returns in place of its fake's result; false: nothing.
	Answer(primitive string, args map[string]any) (value any, given bool)
}

// Completeness judges a run by the demands when main is through: what is
// missing is a finding. since is when the run, or the first of those that it
// retries, began.
type Completeness func(ctx context.Context, c ledger.Catalog, d ledger.Demands, r ledger.Judged) ([]ledger.Finding, error)

// Run is one run of a policy.
type Run struct {
	cfg     Config
	header  ledger.Run
	ledger  *ledger.Ledger
	clock   Clock
	engine  engine
	leases  *leases
	limits  Limits
	meter   *meter
	history map[string]*past   // steps of the record that is replayed
	earlier map[string][]*past // steps of the runs that are retried, by digest
	since   time.Time
	before  ledger.Head   // as this process found the ledger
	spent   time.Duration // running time before a resume
	observe func(Event)

	mu       sync.Mutex
	findings []ledger.Finding
	stop     context.CancelCauseFunc
}

// Outcome is how a run ended.
type Outcome struct {
	Run      string
	Result   string
	Err      error // a *Trace when it has a place in the policy
	Findings []ledger.Finding
	Value    starlark.Value // what main returned
	Elapsed  time.Duration
	PlanEnd  string // in a plan: why it could not go on, with position
}

// ErrInterrupted ends a run that was told to stop: it can be resumed.
var ErrInterrupted = &failure.Error{Code: failure.Cancelled, Doing: "the run was stopped"}

func newRun(cfg Config) *Run {
	r := &Run{cfg: cfg, header: cfg.Header, ledger: cfg.Ledger, clock: cfg.Clock, observe: cfg.Observe,
		limits: cfg.Program.rt.Limits.Defaults(), history: map[string]*past{}, earlier: map[string][]*past{}}
	if r.clock == nil {
		r.clock = RealClock{}
	}
	if r.observe == nil {
		r.observe = func(Event) {}
	}
	r.engine, r.meter = local{r.clock, r.do}, newMeter(r.limits)
	return r
}

func (r *Run) openLeases() {
	r.leases = &leases{dir: r.cfg.State, held: map[string]*lease{},
		self: Holder{r.header.ID, r.header.Host, r.header.Boot, r.header.PID}}
}

// NewID names a run: the time in UTC, then what makes it unique on the host.
func NewID(now time.Time, unique string) string {
	return now.UTC().Format("20060102T150405Z") + "-" + unique
}

// Exec runs a policy from its beginning. The error is one of a start that was
// refused; how the run went is in the outcome.
func Exec(ctx context.Context, cfg Config) (*Outcome, error) {
	r := newRun(cfg)
	p := cfg.Program
	h := &r.header
	h.Policy, h.Policies, h.Sources, h.Code = p.Graph.Entry.Label, p.Policies, p.Graph.Sums(), p.Graph.Digest()
	h.Args, h.Began = cfg.Args, r.engine.Now().UTC()
	r.since = h.Began
	r.openLeases()
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	defer r.leases.close()
	if cfg.Mode != Plan {
		if err := r.closeDead(ctx); err != nil {
			return nil, err
		}
		if err := r.begin(ctx); err != nil {
			return nil, err
		}
	}
	return r.execute(ctx)
}

// start takes the leases of the policy and of the run, and looks at the ledger.
func (r *Run) start(ctx context.Context) (err error) {
	if r.cfg.Mode == Plan {
		return nil
	}
	for _, n := range []string{policyName(r.header), "run:" + r.header.ID} {
		if err := r.leases.try(n); err != nil {
			r.leases.close()
			return err
		}
	}
	if r.before, err = r.ledger.Head(ctx); err != nil {
		r.leases.close()
		return ledgerError(err)
	}
	return nil
}

func (l *leases) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, have := range l.held {
		if have.file != nil {
			if strings.HasPrefix(n, "run:") {
				os.Remove(have.file.Name()) // nobody waits for a run's own lease
			}
			have.file.Close()
		}
		delete(l.held, n)
	}
}

func (r *Run) begin(ctx context.Context) error {
	var entries []ledger.Entry
	e, err := ledger.NewEntry(ledger.RunBegin, r.header.Began, r.header.ID, "", r.header)
	if err != nil {
		return err
	}
	demands, err := r.demandsEntry(ctx)
	if err != nil {
		return err
	}
	entries = append(append(entries, demands...), e)
	return r.record(ctx, entries...)
}

// demandsEntry records the site's demands when they changed.
func (r *Run) demandsEntry(ctx context.Context) ([]ledger.Entry, error) {
	have, err := ledger.Catalog{Store: r.ledger}.Demands(ctx)
	if err != nil {
		return nil, err
	}
	was, err := ledger.Canonical(have)
	if err != nil {
		return nil, err
	}
	is, err := ledger.Canonical(r.cfg.Demands)
	if err != nil || string(was) == string(is) {
		return nil, err
	}
	e, err := ledger.NewEntry(ledger.SiteDemand, r.header.Began, "", "", r.cfg.Demands)
	return []ledger.Entry{e}, err
}

func (r *Run) record(ctx context.Context, entries ...ledger.Entry) error {
	if _, err := r.ledger.Record(ctx, entries...); err != nil {
		return ledgerError(err)
	}
	return nil
}

func ledgerError(err error) error {
	var newer *ledger.NewerError
	if errors.As(err, &newer) {
		return err
	}
	return &failure.Error{Code: failure.Ledger, Doing: "record in the ledger", Said: err.Error(), Cause: err}
}

// execute runs main, cleans up, judges and records the end.
func (r *Run) execute(ctx context.Context) (*Outcome, error) {
	started := r.engine.Now()
	ctx, r.stop = context.WithCancelCause(ctx)
	defer r.stop(nil)
	wall := r.limits.Wall - r.spent
	ctx, cancel := r.clock.Within(ctx, wall, limitError("the running time", r.limits.Wall, "--max-time"))
	defer cancel()
	r.observe(Event{Kind: EventRun, Time: started, Text: r.header.ID})
	value, err := watched(ctx, r.meter, r.stop, func() (starlark.Value, error) { return r.main(ctx) })
	out := &Outcome{Run: r.header.ID, Value: value, Err: err}
	if r.cfg.Mode == Plan {
		return r.planned(out), nil
	}
	if interrupted(ctx, err) {
		out.Result, out.Err = ledger.Interrupted, err
		return out, r.ledger.Flush(context.WithoutCancel(ctx))
	}
	out.Elapsed = r.engine.Now().Sub(started) + r.spent
	return out, r.finish(context.WithoutCancel(ctx), out)
}

// interrupted tells a run that was told to stop from one that hit its limits.
func interrupted(ctx context.Context, err error) bool {
	return err != nil && (errors.Is(context.Cause(ctx), ErrInterrupted) || errors.Is(err, ErrInterrupted))
}

func (r *Run) planned(out *Outcome) *Outcome {
	var end *planEnd
	if errors.As(out.Err, &end) {
		out.PlanEnd, out.Err = out.Err.Error(), nil
	}
	out.Result = ledger.OK
	if out.Err != nil {
		out.Result = ledger.Failed
	}
	return out
}

func (r *Run) finish(ctx context.Context, out *Outcome) error {
	r.cleanUp(ctx, r.header.ID)
	if err := r.ledger.Flush(ctx); err != nil {
		return ledgerError(err)
	}
	if r.cfg.Mode != Fake { // the ledger of a test never leaves memory
		r.sound(ctx)
	}
	out.Findings = r.findings
	protects, none := r.cfg.Program.Protects(r.cfg.Demands)
	if none {
		out.Findings = append(out.Findings, empty())
	}
	if r.cfg.Complete != nil {
		more, err := r.cfg.Complete(ctx, ledger.Catalog{Store: r.ledger}, r.cfg.Demands,
			ledger.Judged{Run: r.header.ID, Protects: protects, Since: r.since, Now: r.engine.Now()})
		if err != nil {
			return fmt.Errorf("judge the run: %w", err)
		}
		out.Findings = append(out.Findings, more...)
	}
	out.Result = worst(out.Err, out.Findings)
	end := ledger.RunOutcome{Result: out.Result, Findings: out.Findings, Ended: r.engine.Now().UTC(), Nanos: int64(out.Elapsed)}
	if out.Err != nil {
		end.Failure = failureOf(out.Err)
	}
	e, err := ledger.NewEntry(ledger.RunEnd, end.Ended, r.header.ID, "", end)
	if err != nil {
		return err
	}
	return r.record(ctx, e)
}

// sound checks what this run wrote, that it extends what was there, and some of
// that. The effects of a run are done all the same: the finding says so.
func (r *Run) sound(ctx context.Context) {
	rep, err := ledger.Check(ctx, r.ledger, ledger.Part{Before: r.before, From: r.before.Size, Older: 1})
	if f := rep.Finding(err, r.header.Lab); f != nil {
		r.find(*f)
	}
}

// believed refuses to go by a record that is damaged: what it does not tell would be
// done a second time.
func believed(ctx context.Context, cfg Config) error {
	rep, err := ledger.Verify(ctx, cfg.Ledger, nil)
	if f := rep.Finding(err, cfg.Header.Lab); f != nil {
		return &failure.Error{Code: failure.Ledger, Doing: "go by the record of a run", Said: f.Text,
			Hint: f.Type + "; then begin anew: runner exec"}
	}
	return nil
}

func worst(err error, findings []ledger.Finding) string {
	result := ledger.OK
	for _, f := range findings {
		if f.Severity == ledger.Failed {
			return ledger.Failed
		}
		result = ledger.DegradedRun
	}
	if err != nil {
		return ledger.Failed
	}
	return result
}

func (r *Run) find(f ledger.Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings = append(r.findings, f)
}

func failureOf(err error) *ledger.Failure {
	f := &ledger.Failure{Message: err.Error(), Code: failure.CodeOf(err).Name}
	var t *Trace
	if errors.As(err, &t) {
		f.Position, f.Message = t.Position().String(), t.Err.Error()
	}
	var e *failure.Error
	if errors.As(err, &e) {
		f.Hint = e.Hint
		bare := *e
		bare.Hint, bare.Code = "", failure.Code{}
		if error(e) == err || t != nil && error(e) == t.Err {
			f.Message = bare.Error()
		} else if e.Hint != "" { // it is wrapped: the hint stands for itself
			f.Message = strings.Replace(f.Message, "\nhint: "+e.Hint, "", 1)
		}
	}
	return f
}

// main calls the policy's main in the root branch.
func (r *Run) main(ctx context.Context) (v starlark.Value, err error) {
	fn := r.cfg.Call
	if fn == nil {
		if fn, err = r.cfg.Program.Main(); err != nil {
			return nil, err
		}
	}
	var kwargs []starlark.Tuple
	for _, k := range sortedKeys(r.cfg.Args) {
		if !hasParam(fn, k) {
			return nil, fmt.Errorf("main of %s has no argument %q\nhint: it takes %s", r.cfg.Program.Graph.Entry.Name, k, paramList(fn))
		}
		kwargs = append(kwargs, starlark.Tuple{starlark.String(k), starlark.String(r.cfg.Args[k])})
	}
	b := &branch{run: r}
	return b.call(ctx, fn, nil, kwargs)
}
