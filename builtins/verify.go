package builtins

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/world"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

type verifyArgs struct {
	Copies []ledger.Copy `star:"copies" doc:"what copy returned"`
	Level  string        `star:"level?" doc:"stored, read or opened; default: what the asset demands of the target, else read"`
}

func verifyDeclaration() runtime.Declaration {
	return runtime.Reusable[verifyArgs]{Reuse: proofsStand, Primitive: runtime.Primitive[verifyArgs]{
		Name: "verify", Kind: runtime.Read, Resume: runtime.Retry, Returns: "list of proofs",
		Doc: "verify: prove copies by reading them back.\n\n" +
			"stored: the target acknowledges all bytes. read: every byte is read back past any cache, SHA-256 equal. opened: decrypted where sealed and the whole structure parsed, in the same pass (every extent and cluster of a VMA, every entry of a tar, zstd checksums). " +
			"A copy that fails is damaged from then on: its earlier proofs are void.",
		Example: `verify(copies = copy(artifact = snapshot_vm(guest = "erp")), level = "read")`,
		Codes:   append(world.TargetCodes(), runtime.Code{Name: "E_ARCHIVE_MISSING", Doc: "an archive that is counted in place is not there"}, runtime.Code{Name: "E_PVE_DOWN", Doc: "the node that holds a copy cannot be reached"}, runtime.Code{Name: "E_PVE_SSH", Doc: "the node that holds a copy cannot be read from here"}),
		Retries: runtime.Retries{Attempts: 3, Wait: retryWait},
		Fake:    fakeVerify, Run: verify,
	}}
}

func (a *verifyArgs) level(w *world.World, c ledger.Copy) (int, error) {
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

// proving collects what becomes of each copy.
type proving struct {
	mu     sync.Mutex
	proofs []ledger.Proof
	res    runtime.Result
	first  error
	at     int
}

func (p *proving) add(i int, proof ledger.Proof, damaged string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.proofs[i] = proof
		return
	}
	if damaged != "" {
		p.res.Facts.Damaged = append(p.res.Facts.Damaged, damaged)
	}
	if p.first == nil || i < p.at {
		p.first, p.at = err, i
	}
}

func (p *proving) end(copies []ledger.Copy) (runtime.Result, error) {
	made := []ledger.Proof{}
	for _, proof := range p.proofs {
		if proof.Copy != "" {
			made = append(made, proof)
		}
	}
	p.res.Facts.Proofs, p.res.Value = made, made
	return p.res, p.first
}

const readBacks = 4 // at once: they lie on different devices

func verify(ctx context.Context, s *runtime.Step, a *verifyArgs) (runtime.Result, error) {
	w := world.Of(s)
	ids, err := w.Identities(ctx)
	if err != nil {
		return runtime.Result{}, err
	}
	p := &proving{proofs: make([]ledger.Proof, len(a.Copies))}
	slots := make(chan struct{}, readBacks)
	var wg sync.WaitGroup
	for i, c := range a.Copies {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			proof, damaged, err := prove(ctx, s, w, a, c, ids)
			p.add(i, proof, damaged, err)
		}()
	}
	wg.Wait()
	if ctx.Err() != nil {
		return p.res, context.Cause(ctx)
	}
	return p.end(a.Copies)
}

// prove reads one copy back. damaged is its id when what is there is not what was
// written.
func prove(ctx context.Context, s *runtime.Step, w *world.World, a *verifyArgs, c ledger.Copy, ids []age.Identity) (ledger.Proof, string, error) {
	level, err := a.level(w, c)
	if err != nil {
		return ledger.Proof{}, "", err
	}
	origins, err := originsOf(ctx, s, c)
	if err != nil {
		return ledger.Proof{}, "", err
	}
	t, err := w.OpenTarget(ctx, s, c.Target, origins...)
	if err != nil {
		return ledger.Proof{}, "", about(c, err)
	}
	defer t.Close()
	v, err := t.Verify(ctx, c, level, ids, world.Open)
	err = about(c, world.TargetError(err))
	switch code := runtime.CodeOf(err); {
	case code == "E_DAMAGED" || code == "E_NOT_FOUND" || code == "E_BAD_MANIFEST" || code == "E_ARCHIVE_MISSING":
		return ledger.Proof{}, c.ID, err
	case err != nil:
		return ledger.Proof{}, "", err
	}
	return proofOf(s, c, v.Level, v.Bytes, v.Nanos, v.Note), "", nil
}

// about names the item in an error that speaks of a copy.
func about(c ledger.Copy, err error) error {
	own, ok := err.(*runtime.Error)
	if !ok {
		return err
	}
	named := *own
	named.Doing = fmt.Sprintf("verify the copy of %s of %s: %s", c.Item, c.Taken.Format("2006-01-02T15:04:05Z"), own.Doing)
	return &named
}

// originsOf says where an artifact lies that is counted in place.
func originsOf(ctx context.Context, s *runtime.Step, c ledger.Copy) ([]map[string]string, error) {
	if !c.InPlace {
		return nil, nil
	}
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	art, found, err := catalog.Artifact(ctx, c.Artifact)
	if err != nil || !found {
		return nil, err
	}
	return []map[string]string{world.Origin(art)}, nil
}

func proofOf(s *runtime.Step, c ledger.Copy, level int, bytes, nanos int64, note string) ledger.Proof {
	return ledger.Proof{Copy: c.ID, Artifact: c.Artifact, Asset: c.Asset, Item: c.Item, Target: c.Target, Level: level,
		At: s.Now(), Run: s.Run, Step: s.ID, Bytes: bytes, Nanos: nanos, Note: note}
}

// proofsStand tells a retry whether the proofs of an earlier run still hold.
func proofsStand(ctx context.Context, s *runtime.Step, _ *verifyArgs, value json.RawMessage) (bool, error) {
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

func fakeVerify(_ context.Context, s *runtime.Step, a *verifyArgs) (runtime.Result, error) {
	p := &proving{proofs: make([]ledger.Proof, len(a.Copies))}
	for i, c := range a.Copies {
		if err := s.Fault("target", c.Target); err != nil {
			damaged := ""
			if runtime.CodeOf(err) == "E_DAMAGED" {
				damaged = c.ID
			}
			p.add(i, ledger.Proof{}, damaged, about(c, err))
			continue
		}
		level, err := a.level(world.Of(s), c)
		if err != nil {
			return runtime.Result{}, err
		}
		p.add(i, proofOf(s, c, level, c.Bytes, int64(c.Bytes), ""), "", nil)
	}
	return p.end(a.Copies)
}
