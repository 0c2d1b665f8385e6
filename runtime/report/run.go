package report

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// Run is the record of one run.
type Run struct {
	V        int                `json:"v"` // of this encoding: 1
	Header   ledger.Run         `json:"run"`
	Result   string             `json:"result"` // "ok", "degraded", "failed", "interrupted", or "not ended"
	Outcome  *ledger.RunOutcome `json:"outcome,omitempty"`
	Resumed  int                `json:"resumed,omitempty"` // times
	Steps    []StepLine         `json:"steps"`
	Items    []ItemLine         `json:"items"`
	Removed  []string           `json:"removed,omitempty"` // ids of copies
	Removals []Removal          `json:"removals,omitempty"`
	Damaged  []string           `json:"damaged,omitempty"`
	Findings []ledger.Finding   `json:"findings,omitempty"` // why it is not ok
	Next     string             `json:"next,omitempty"`     // what to type to do what is missing
	Correct  string             `json:"correct,omitempty"`  // position of a mistake in the policy: that is to be mended first
}

// Also adds what came to light after the run's end: a run that was ok is degraded by it.
func (r *Run) Also(found []ledger.Finding) {
	r.Findings = append(r.Findings, found...)
	if len(found) > 0 && r.Result == ledger.OK {
		r.Result = ledger.DegradedRun
	}
}

// StepLine is one step with all its attempts.
type StepLine struct {
	ID        string          `json:"id"`
	Primitive string          `json:"primitive"`
	Kind      string          `json:"kind"`
	Args      json.RawMessage `json:"args,omitempty"`
	Position  string          `json:"position,omitempty"`
	Attempts  int             `json:"attempts"`
	Began     time.Time       `json:"began"`
	Nanos     int64           `json:"nanos"` // of all attempts
	Result    string          `json:"result"`
	Failure   *ledger.Failure `json:"failure,omitempty"` // of the last attempt
	Reused    string          `json:"reused,omitempty"`  // the run whose outcome still stands
}

// ItemLine is what the run did for one item.
type ItemLine struct {
	Asset    string           `json:"asset"`
	Item     string           `json:"item"`
	Artifact *ledger.Artifact `json:"artifact,omitempty"` // nil: none was made
	Copies   []CopyLine       `json:"copies,omitempty"`
	Gaps     []ledger.Gap     `json:"gaps,omitempty"`
	Nanos    int64            `json:"nanos"`            // of the steps that did it
	Reused   bool             `json:"reused,omitempty"` // the artifact is of an earlier run
	Free     bool             `json:"free,omitempty"`   // the site demands no copy of it
	Erases   []Erased         `json:"erases,omitempty"` // guests that a recovery of this host erases
}

// CopyLine is one copy with the best proof that holds of it.
type CopyLine struct {
	CopyStatus
	ID     string `json:"id"`
	Sealed bool   `json:"sealed,omitempty"`
	Gone   bool   `json:"gone,omitempty"`  // it does not exist any more
	Nanos  int64  `json:"nanos,omitempty"` // that reading it back took
}

// Removal is something that the run removed.
type Removal struct {
	ID   string `json:"id"`   // of the copy, or the name of what is none
	What string `json:"what"` // item, target, time and reason; the id where that was not recorded
}

// NotEnded is the result of a run without an end: it is running, or it died.
const NotEnded = "not ended"

// NewRun reads the record of a run. Proofs are those that hold now.
func NewRun(ctx context.Context, c ledger.Catalog, id string) (*Run, error) {
	r := &runReader{out: &Run{V: 1, Result: NotEnded, Steps: []StepLine{}, Items: []ItemLine{}}, steps: map[string]*StepLine{},
		items: map[[2]string]*ItemLine{}, copies: map[string]ledger.Copy{}, marks: map[string]string{}}
	found, err := ledger.One(ctx, c.Store, ledger.Query{Kind: ledger.RowRun, ID: id}, &r.out.Header)
	if err != nil {
		return nil, fmt.Errorf("read run %s: %w", id, err)
	}
	if !found {
		return nil, fmt.Errorf("no run %s is recorded\nhint: runner runs lists them", id)
	}
	if err := c.Entries(ctx, ledger.Filter{Run: id}, func(e ledger.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return r.entry(e)
	}); err != nil {
		return nil, fmt.Errorf("read run %s: %w", id, err)
	}
	if err := r.proofs(ctx, c); err != nil {
		return nil, fmt.Errorf("read the proofs of run %s: %w", id, err)
	}
	r.finish()
	return r.out, nil
}

type runReader struct {
	out    *Run
	steps  map[string]*StepLine
	items  map[[2]string]*ItemLine // asset, item
	copies map[string]ledger.Copy  // by id
	marks  map[string]string       // of removals, by id
}

func (r *runReader) entry(e ledger.Entry) error {
	switch e.Type {
	case ledger.RunResume:
		r.out.Resumed++
	case ledger.RunEnd:
		r.out.Outcome = new(ledger.RunOutcome)
		return e.Decode(r.out.Outcome)
	case ledger.StepBegin:
		var b ledger.Begin
		if err := e.Decode(&b); err != nil {
			return err
		}
		s := r.step(e, b)
		s.Attempts, s.Result, s.Failure = s.Attempts+1, NotEnded, nil
	case ledger.StepMark:
		var m ledger.Mark
		if err := e.Decode(&m); err != nil {
			return err
		}
		r.mark(m)
	case ledger.StepEnd:
		var end ledger.End
		if err := e.Decode(&end); err != nil {
			return err
		}
		r.end(e, end)
	}
	return nil
}

func (r *runReader) mark(m ledger.Mark) {
	if id, ok := strings.CutPrefix(m.Key, ledger.MarkRemove); ok {
		r.marks[id] = m.Value
	} else if name, ok := strings.CutPrefix(m.Key, ledger.MarkRemoved); ok {
		r.out.Removals = append(r.out.Removals, Removal{name, m.Value})
	}
}

func (r *runReader) step(e ledger.Entry, b ledger.Begin) *StepLine {
	s := r.steps[e.Step]
	if s == nil {
		s = &StepLine{ID: e.Step, Began: e.Time}
		r.steps[e.Step] = s
	}
	s.Primitive, s.Kind, s.Args, s.Position = b.Primitive, b.Kind, b.Args, b.Position
	return s
}

func (r *runReader) end(e ledger.Entry, end ledger.End) {
	s := r.steps[e.Step]
	if end.Call != nil {
		s = r.step(e, *end.Call)
		s.Attempts++
		if s.Attempts == 1 {
			s.Began = e.Time.Add(-time.Duration(end.Nanos))
		}
	} else if s == nil {
		s = r.step(e, ledger.Begin{})
	}
	s.Nanos, s.Result, s.Failure, s.Reused = s.Nanos+end.Nanos, ledger.OK, end.Failure, end.Reused
	if !end.OK {
		s.Result = ledger.Failed
	}
	r.facts(end)
}

// item returns the line of an item.
func (r *runReader) item(asset, name string) *ItemLine {
	k := [2]string{asset, name}
	if r.items[k] == nil {
		r.items[k] = &ItemLine{Asset: asset, Item: name}
	}
	return r.items[k]
}

func (r *runReader) facts(end ledger.End) {
	touched := map[*ItemLine]bool{}
	f := end.Facts
	for _, a := range reusedArtifacts(end) {
		it := r.item(a.Asset, a.Item)
		it.Artifact, it.Reused = &a, true
	}
	for _, a := range f.Artifacts {
		it := r.item(a.Asset, a.Item)
		it.Artifact, it.Reused, touched[it] = &a, false, true
	}
	for _, c := range f.Copies {
		touched[r.item(c.Asset, c.Item)] = true
		r.copies[c.ID] = c
	}
	for _, p := range f.Proofs {
		touched[r.item(p.Asset, p.Item)] = true
		if _, known := r.copies[p.Copy]; !known {
			r.copies[p.Copy] = ledger.Copy{ID: p.Copy, Artifact: p.Artifact, Asset: p.Asset, Item: p.Item, Target: p.Target}
		}
	}
	for _, x := range f.Expected {
		r.item(x.Asset, x.Name)
	}
	for it := range touched {
		it.Nanos += end.Nanos
	}
	r.out.Removed = append(r.out.Removed, f.Removed...)
	for _, id := range f.Removed {
		what := r.marks[id]
		if what == "" {
			what = id
		}
		r.out.Removals = append(r.out.Removals, Removal{id, what})
	}
	r.out.Damaged = append(r.out.Damaged, f.Damaged...)
}

// reusedArtifacts are those that a retry took over, if the step returned any: one, or a
// list of them.
func reusedArtifacts(end ledger.End) (out []ledger.Artifact) {
	type recorded struct {
		Type string `json:"$type"`
		ledger.Artifact
	}
	if end.Reused == "" {
		return nil
	}
	var list []recorded
	if json.Unmarshal(end.Value, &list) != nil {
		var one recorded
		if json.Unmarshal(end.Value, &one) != nil {
			return nil
		}
		list = []recorded{one}
	}
	for _, a := range list {
		if a.Type == a.StarlarkType() {
			out = append(out, a.Artifact)
		}
	}
	return out
}

// proofs adds the copies that stand for the artifacts, and what is proven now.
func (r *runReader) proofs(ctx context.Context, c ledger.Catalog) error {
	d, err := c.Demands(ctx)
	if err != nil {
		return err
	}
	for _, it := range r.items {
		a, known := d.Asset(it.Asset)
		it.Free = !known || len(a.On) == 0 && a.Copies == 0
		if it.Artifact != nil {
			if it.Erases, err = erased(ctx, c, d, it.Artifact.Created, it.Artifact); err != nil {
				return err
			}
		}
		set, err := newestSet(ctx, c, it.Artifact)
		if err != nil {
			return err
		}
		have, err := c.WholeCopies(ctx, ledger.Query{Asset: it.Asset, Item: it.Item})
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, p := range have {
			_, ours := r.copies[p.ID]
			if ours || it.Artifact != nil && p.Artifact == it.Artifact.ID {
				seen[p.ID] = true
				line := CopyLine{CopyStatus: copyStatus(p), ID: p.ID, Sealed: len(p.SealedTo) > 0, Nanos: p.Nanos}
				if it.Artifact != nil && p.Artifact == it.Artifact.ID && set != "" && set != it.Artifact.Declared[ledger.DeclaredSet] {
					line.Proof += superseded
				}
				it.Copies = append(it.Copies, line)
			}
		}
		for id, cp := range r.copies {
			if cp.Asset == it.Asset && cp.Item == it.Item && !seen[id] {
				line := CopyLine{CopyStatus: copyStatus(ledger.Proven{Copy: cp, Level: -1}), ID: id, Sealed: len(cp.SealedTo) > 0, Gone: true}
				line.Proof = "removed since"
				it.Copies = append(it.Copies, line)
			}
		}
		sort.Slice(it.Copies, func(a, b int) bool {
			x, y := it.Copies[a], it.Copies[b]
			if x.Target != y.Target {
				return x.Target < y.Target
			}
			return x.ID < y.ID
		})
	}
	return nil
}

func (r *runReader) finish() {
	for _, s := range r.steps {
		r.out.Steps = append(r.out.Steps, *s)
	}
	slices.SortFunc(r.out.Steps, func(a, b StepLine) int { return compareSteps(a.ID, b.ID) })
	for _, it := range r.items {
		if it.Artifact != nil {
			it.Gaps = it.Artifact.Gaps
		}
		r.out.Items = append(r.out.Items, *it)
	}
	slices.SortFunc(r.out.Items, func(a, b ItemLine) int { return strings.Compare(a.Asset+"\x00"+a.Item, b.Asset+"\x00"+b.Item) })
	if o := r.out.Outcome; o != nil {
		r.out.Result, r.out.Findings = resultOf(*o), o.Findings
	}
	if r.out.Result == ledger.Failed || r.out.Result == ledger.DegradedRun {
		r.out.Next = "runner " + r.out.verb("retry") + " " + clean(r.out.Header.ID)
		if f := r.failure(); f != nil && f.Code == "" && f.Position != "" && !strings.Contains(f.Message, "fail: ") {
			r.out.Next = "runner " + r.out.verb("exec") + " " + clean(r.out.Header.Path)
			r.out.Correct = clean(f.Position)
		}
	}
}

// failure is that of the run itself.
func (r *runReader) failure() *ledger.Failure {
	if r.out.Outcome == nil {
		return nil
	}
	return r.out.Outcome.Failure
}

// compareSteps orders ids as the policy calls: "/2" before "/10", "/2[1]/0"
// after "/2[0]/7", clean-up last.
func compareSteps(a, b string) int {
	split := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("/[]", r) })
	}
	x, y := split(a), split(b)
	for i := range min(len(x), len(y)) {
		n, nerr := strconv.Atoi(x[i])
		m, merr := strconv.Atoi(y[i])
		switch {
		case nerr == nil && merr == nil && n != m:
			return n - m
		case nerr == nil && merr != nil:
			return -1
		case nerr != nil && merr == nil:
			return 1
		case x[i] != y[i]:
			return strings.Compare(x[i], y[i])
		}
	}
	return len(x) - len(y)
}
