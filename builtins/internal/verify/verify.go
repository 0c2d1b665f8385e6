package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/neosofia/runner/builtins/internal/kinds"
	"github.com/neosofia/runner/builtins/internal/target"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

func (a *Request) level(w *systems.Systems, c ledger.Copy) (int, error) {
	if a.Level != "" {
		level, ok := ledger.ParseLevel(a.Level)
		if !ok || level > ledger.Opened {
			return 0, fmt.Errorf("level %q: verify reaches stored, read or opened", a.Level)
		}
		return level, nil
	}
	row, _ := w.Site.Demands.Asset(c.Asset)
	for _, d := range row.On {
		if d.Target == c.Target {
			return d.Level, nil
		}
	}
	return ledger.Read, nil
}

// Request is what a policy asks for; verify documents its arguments.
type Request struct {
	Copies []ledger.Copy
	Level  string
}

// proving collects what becomes of each copy.
type proving struct {
	mu     sync.Mutex
	copies []ledger.Copy
	proofs []*ledger.Proof
	errs   []error
	gone   []bool // foreign ones that their own retention removed
	res    runtime.Result
}

// outcome is what one copy adds to the ledger.
type outcome struct {
	proof   *ledger.Proof   // nil: none was made
	reading *ledger.Reading // how far it was read, where the night's budget ended before the copy
	damaged string          // its id, when what is there is not what was written
}

func newProving(copies []ledger.Copy) *proving {
	return &proving{copies: copies, proofs: make([]*ledger.Proof, len(copies)), errs: make([]error, len(copies)),
		gone: make([]bool, len(copies))}
}

func (p *proving) add(i int, o outcome, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proofs[i], p.errs[i] = o.proof, err
	if o.damaged != "" {
		p.res.Facts.Damaged = append(p.res.Facts.Damaged, o.damaged)
	}
	if o.reading != nil {
		p.res.Facts.Readings = append(p.res.Facts.Readings, *o.reading)
	}
}

func (p *proving) vanish(s *runtime.Step, i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone[i] = true
	systems.Vanish(s, p.copies[i], &p.res.Facts)
}

// end makes the result. One error is the call's: one that another attempt may
// mend, as long as there is one, else the first. The others are findings.
func (p *proving) end(attempt int) (runtime.Result, error) {
	made := []ledger.Proof{}
	first, soft := -1, -1
	for i, err := range p.errs {
		if p.gone[i] {
			continue
		}
		if err == nil {
			if p.proofs[i] != nil {
				made = append(made, *p.proofs[i])
			}
			continue
		}
		var own *failure.Error
		if soft < 0 && errors.As(err, &own) && own.Temporary {
			soft = i
		}
		if first < 0 {
			first = i
		}
	}
	p.res.Facts.Proofs, p.res.Value = made, made
	switch {
	case first < 0:
		return p.res, nil
	case soft >= 0 && attempt < Attempts:
		return p.res, p.errs[soft]
	}
	for i, err := range p.errs {
		if c := p.copies[i]; err != nil && i != first {
			p.res.Facts.Findings = append(p.res.Facts.Findings, ledger.Finding{Severity: ledger.Failed, Asset: c.Asset, Item: c.Item,
				Target: c.Target, Text: failure.OneLine(err)})
		}
	}
	return p.res, p.errs[first]
}

const (
	readBacks = 4 // at once: they lie on different devices
	Attempts  = 3
)

// Verify proves copies by reading them back.
func Verify(ctx context.Context, s *runtime.Step, a *Request) (runtime.Result, error) {
	w := systems.Of(s)
	ids, err := w.Identities(ctx)
	if err != nil {
		return runtime.Result{}, err
	}
	p := newProving(a.Copies)
	slots := make(chan struct{}, readBacks)
	var wg sync.WaitGroup
	for i, c := range a.Copies {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			o, err := prove(ctx, s, w, a, c, ids)
			if c.Foreign && failure.Is(err, target.CodeArchiveMissing) {
				if gone, gerr := w.Gone(ctx, s, c); gone && gerr == nil {
					p.vanish(s, i)
					return
				}
			}
			p.add(i, o, err)
		}()
	}
	wg.Wait()
	if ctx.Err() != nil {
		return p.res, context.Cause(ctx)
	}
	return p.end(s.Attempt)
}

// prove reads one copy back, as far as the night's read budget goes.
func prove(ctx context.Context, s *runtime.Step, w *systems.Systems, a *Request, c ledger.Copy, ids []age.Identity) (outcome, error) {
	level, err := a.level(w, c)
	if err != nil {
		return outcome{}, err
	}
	if had, found, err := earlier(ctx, s, c, level); err != nil || found {
		return outcome{proof: &had}, err
	}
	if level >= ledger.Read {
		budget, err := w.ReadBudget(ctx, s, c.Target)
		if err != nil {
			return outcome{}, err
		}
		if budget != nil {
			return within(ctx, s, w, c, level, ids, budget)
		}
	}
	return look(ctx, s, w, c, func(t *target.Target) (outcome, error) {
		v, err := t.Verify(ctx, c, level, ids, kinds.Checker(c.Kind))
		proof := proofOf(s, c, v.Level, v.Bytes, v.Nanos, v.Note)
		return outcome{proof: &proof}, err
	})
}

// within reads one copy back with what is left of the night's budget. What was taken of it
// and not read is given back, whatever kept the reading from its end.
func within(ctx context.Context, s *runtime.Step, w *systems.Systems, c ledger.Copy, level int, ids []age.Identity,
	b *systems.Budget) (outcome, error) {
	p, err := newPass(ctx, s, w, c, level, b)
	if err != nil {
		return outcome{}, err
	}
	took, whole := p.take()
	if took == 0 && !whole {
		o, err := p.stop(p.had.Next, target.Verified{})
		return o, about(c, err)
	}
	var read int64
	o, err := look(ctx, s, w, c, func(t *target.Target) (outcome, error) {
		if !whole || p.had.Next > 0 {
			next, part, err := t.ReadPart(ctx, c, p.had.Next, took)
			if read = part.Bytes; err != nil {
				return outcome{}, err
			}
			return p.stop(next, part)
		}
		v, err := t.Verify(ctx, c, level, ids, kinds.Checker(c.Kind))
		read = v.Bytes
		proof := proofOf(s, c, v.Level, v.Bytes, v.Nanos, v.Note)
		return outcome{proof: &proof}, err
	})
	b.Give(took - read)
	return o, err
}

// look opens the target of a copy, and words what is found there.
func look(ctx context.Context, s *runtime.Step, w *systems.Systems, c ledger.Copy,
	at func(*target.Target) (outcome, error)) (outcome, error) {
	placed, err := systems.Placed(ctx, s, c)
	if err != nil {
		return outcome{}, err
	}
	t, err := w.OpenTarget(ctx, s, c.Target, placed...)
	if err != nil {
		return outcome{}, about(c, err)
	}
	defer t.Close()
	o, err := at(t)
	switch err = about(c, err); {
	case failure.Is(err, target.CodeDamaged, target.CodeNotFound, target.CodeBadManifest, target.CodeArchiveMissing):
		return outcome{damaged: c.ID}, err
	case err != nil:
		return outcome{reading: o.reading}, err
	}
	return o, nil
}

// earlier finds the proof that an attempt of this very step made before: what was
// read is not read again because another target was away.
func earlier(ctx context.Context, s *runtime.Step, c ledger.Copy, level int) (ledger.Proof, bool, error) {
	if s.Attempt == 1 {
		return ledger.Proof{}, false, nil
	}
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return ledger.Proof{}, false, err
	}
	var had ledger.Proof
	found, err := ledger.One(ctx, catalog, ledger.Query{Kind: ledger.RowProof, ID: proofOf(s, c, level, 0, 0, "").ID()}, &had)
	return had, found, err
}

// about names the item in an error that speaks of a copy.
func about(c ledger.Copy, err error) error {
	var own *failure.Error
	if !errors.As(err, &own) {
		return err
	}
	named := *own
	named.Doing = fmt.Sprintf("verify the copy of %s of %s: %s", c.Item, c.Taken.Format("2006-01-02T15:04:05Z"), own.Doing)
	return &named
}

func proofOf(s *runtime.Step, c ledger.Copy, level int, bytes, nanos int64, note string) ledger.Proof {
	return ledger.Proof{Copy: c.ID, Artifact: c.Artifact, Asset: c.Asset, Item: c.Item, Target: c.Target, Level: level,
		At: s.Now(), Run: s.Run, Step: s.ID, Bytes: bytes, Nanos: nanos, Note: note}
}

// Stand tells a retry whether the proofs of an earlier run still hold.
func Stand(ctx context.Context, s *runtime.Step, value json.RawMessage) (bool, error) {
	var proofs []ledger.Proof
	if err := json.Unmarshal(value, &proofs); err != nil {
		return false, err
	}
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return false, err
	}
	for _, p := range proofs {
		have, err := catalog.Proofs(ctx, ledger.Query{ID: p.ID()})
		if err != nil || len(have) == 0 {
			return false, err
		}
	}
	return len(proofs) > 0, nil
}

// Pretend gives the proofs that a policy test expects.
func Pretend(ctx context.Context, s *runtime.Step, a *Request) (runtime.Result, error) {
	p := newProving(a.Copies)
	for i, c := range a.Copies {
		if err := s.Fault("target", c.Target); err != nil {
			damaged := ""
			if failure.Is(err, target.CodeDamaged) {
				damaged = c.ID
			}
			p.add(i, outcome{damaged: damaged}, about(c, err))
			continue
		}
		level, err := a.level(systems.Of(s), c)
		if err != nil {
			return runtime.Result{}, err
		}
		o, err := pretend(ctx, s, c, level)
		p.add(i, o, about(c, err))
	}
	return p.end(s.Attempt)
}

// pretend reads what the night's read budget allows.
func pretend(ctx context.Context, s *runtime.Step, c ledger.Copy, level int) (outcome, error) {
	w := systems.Of(s)
	proof := proofOf(s, c, level, c.Bytes, int64(c.Bytes), "")
	b, err := w.ReadBudget(ctx, s, c.Target)
	if err != nil || b == nil || level < ledger.Read {
		return outcome{proof: &proof}, err
	}
	p, err := newPass(ctx, s, w, c, level, b)
	if err != nil {
		return outcome{}, err
	}
	took, _ := p.take()
	next := target.Fit(c.Files, p.had.Next, took)
	read := p.bytes(p.had.Next) - p.bytes(next)
	b.Give(took - read)
	o, err := p.stop(next, target.Verified{Level: ledger.Read, Bytes: read, Nanos: read})
	if o.proof != nil {
		o.proof.Level = level
	}
	return o, err
}
