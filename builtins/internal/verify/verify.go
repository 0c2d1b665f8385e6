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
	proofs []ledger.Proof
	errs   []error
	gone   []bool // foreign ones that their own retention removed
	res    runtime.Result
}

func newProving(copies []ledger.Copy) *proving {
	return &proving{copies: copies, proofs: make([]ledger.Proof, len(copies)), errs: make([]error, len(copies)),
		gone: make([]bool, len(copies))}
}

func (p *proving) add(i int, proof ledger.Proof, damaged string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proofs[i], p.errs[i] = proof, err
	if damaged != "" {
		p.res.Facts.Damaged = append(p.res.Facts.Damaged, damaged)
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
			made = append(made, p.proofs[i])
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
			proof, damaged, err := prove(ctx, s, w, a, c, ids)
			if c.Foreign && failure.Is(err, target.CodeArchiveMissing) {
				if gone, gerr := w.Gone(ctx, s, c); gone && gerr == nil {
					p.vanish(s, i)
					return
				}
			}
			p.add(i, proof, damaged, err)
		}()
	}
	wg.Wait()
	if ctx.Err() != nil {
		return p.res, context.Cause(ctx)
	}
	return p.end(s.Attempt)
}

// prove reads one copy back. damaged is its id when what is there is not what was
// written.
func prove(ctx context.Context, s *runtime.Step, w *systems.Systems, a *Request, c ledger.Copy, ids []age.Identity) (ledger.Proof, string,
	error) {
	level, err := a.level(w, c)
	if err != nil {
		return ledger.Proof{}, "", err
	}
	if had, found, err := earlier(ctx, s, c, level); err != nil || found {
		return had, "", err
	}
	placed, err := systems.Placed(ctx, s, c)
	if err != nil {
		return ledger.Proof{}, "", err
	}
	t, err := w.OpenTarget(ctx, s, c.Target, placed...)
	if err != nil {
		return ledger.Proof{}, "", about(c, err)
	}
	defer t.Close()
	v, err := t.Verify(ctx, c, level, ids, kinds.Checker(c.Kind))
	err = about(c, err)
	switch {
	case failure.Is(err, target.CodeDamaged, target.CodeNotFound, target.CodeBadManifest, target.CodeArchiveMissing):
		return ledger.Proof{}, c.ID, err
	case err != nil:
		return ledger.Proof{}, "", err
	}
	return proofOf(s, c, v.Level, v.Bytes, v.Nanos, v.Note), "", nil
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
func Pretend(_ context.Context, s *runtime.Step, a *Request) (runtime.Result, error) {
	p := newProving(a.Copies)
	for i, c := range a.Copies {
		if err := s.Fault("target", c.Target); err != nil {
			damaged := ""
			if failure.Is(err, target.CodeDamaged) {
				damaged = c.ID
			}
			p.add(i, ledger.Proof{}, damaged, about(c, err))
			continue
		}
		level, err := a.level(systems.Of(s), c)
		if err != nil {
			return runtime.Result{}, err
		}
		p.add(i, proofOf(s, c, level, c.Bytes, int64(c.Bytes), ""), "", nil)
	}
	return p.end(s.Attempt)
}
