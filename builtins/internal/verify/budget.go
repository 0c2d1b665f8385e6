package verify

import (
	"context"
	"fmt"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/words"
)

// pass reads one copy back with what the night's read budget leaves. What does not fit goes
// on the next night, at the stored file where this one stops; its proof is as old as the
// first byte.
type pass struct {
	s      *runtime.Step
	w      *systems.Systems
	c      ledger.Copy
	level  int
	budget *systems.Budget
	had    ledger.Reading // where an earlier night stopped; Next 0: it begins
	held   bool           // an earlier proof still holds: nothing is lost when this pass does not end tonight
}

func newPass(ctx context.Context, s *runtime.Step, w *systems.Systems, c ledger.Copy, level int, b *systems.Budget) (*pass, error) {
	p := &pass{s: s, w: w, c: c, level: level, budget: b}
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	row, _ := w.Site.Demands.Asset(c.Asset)
	proofs, err := catalog.Proofs(ctx, ledger.Query{Ref: c.ID})
	if err != nil {
		return nil, err
	}
	for _, f := range proofs {
		p.held = p.held || f.Level >= level && (row.Reread == 0 || s.Now().Sub(f.At) <= row.Reread)
	}
	passes, err := catalog.Readings(ctx, ledger.Query{Ref: c.ID})
	for _, r := range passes {
		if level == ledger.Read && r.Next < len(c.Files) && (row.Reread == 0 || s.Now().Sub(r.Since) < row.Reread) {
			p.had = r
		}
	}
	return p, err
}

// bytes of the stored files from one on.
func (p *pass) bytes(from int) (sum int64) {
	for _, f := range p.c.Files[from:] {
		sum += f.Size
	}
	return sum
}

// take takes what the rest of the pass needs, and tells whether it ends tonight.
func (p *pass) take() (took int64, whole bool) {
	need := p.bytes(p.had.Next)
	took = p.budget.Take(need)
	if took < need && p.level > ledger.Read { // a copy is opened from its first byte to its last, or not at all
		p.budget.Give(took)
		return 0, false
	}
	return took, took == need
}

// stop says how far the pass came tonight.
func (p *pass) stop(next int, part target.Verified) (outcome, error) {
	since := p.had.Since
	if p.had.Next == 0 {
		since = p.s.Now()
	}
	if next == len(p.c.Files) {
		proof := proofOf(p.s, p.c, ledger.Read, part.Bytes, part.Nanos, "")
		proof.At, proof.Ended = since, proof.At
		return outcome{proof: &proof}, nil
	}
	var out outcome
	if next > p.had.Next {
		out.reading = &ledger.Reading{Copy: p.c.ID, Asset: p.c.Asset, Item: p.c.Item, Target: p.c.Target, Since: since, Next: next,
			At: p.s.Now(), Bytes: part.Bytes, Run: p.s.Run, Step: p.s.ID}
	}
	all := p.bytes(0)
	done := fmt.Sprintf("%s of %s of it were read back", words.Size(all-p.bytes(next)), words.Size(all))
	if p.held {
		p.s.Log("%s on %s: %s; the next night goes on", p.c.Item, p.c.Target, done)
		return out, nil
	}
	spec, _ := p.w.Site.Target(p.c.Target)
	hint := "the next night goes on with it; if every night ends so, raise read_budget in target(name = \"" + p.c.Target + "\"): runner " +
		"check POLICY.star says how much it takes"
	if p.level > ledger.Read {
		hint = "a copy is opened in one go: where read_budget is less than " + words.Size(all) + ", demand \"read\" of it, or raise it"
	}
	return out, &failure.Error{Code: target.CodeReadBudget, System: "target " + p.c.Target, Doing: "read it back",
		Said: fmt.Sprintf("what proofs may read there in a night (%s) is spent: %s", words.Size(spec.ReadBudget), done),
		Hint: hint}
}
