// Package checkpoints leaves the heads of ledgers on targets, and reads what lies there:
// checkpoints, manifests, which media are attached. A target that cannot be reached is
// reported, never an empty answer.
package checkpoints

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Leave is for the end of a run: on every target that got a copy from it, and is
// still attached, it leaves the ledger's head and the proofs of the copies there,
// and cleans up what broken transfers of earlier runs left behind. What could not be
// left where is a finding: the copies are safe, their evidence has a hole.
func Leave(ctx context.Context, w *systems.Systems, l *ledger.Ledger, host, run string) (found []ledger.Finding, err error) {
	catalog := ledger.Catalog{Store: l}
	if err := w.CleanSpool(ctx, catalog); err != nil {
		return nil, err
	}
	copies, err := catalog.Copies(ctx, ledger.Query{Run: run})
	if err != nil || len(copies) == 0 {
		return nil, err
	}
	var names []string
	for _, c := range copies {
		if !slices.Contains(names, c.Target) {
			names = append(names, c.Target)
		}
	}
	wanted, err := mayResume(ctx, catalog, run)
	if err != nil {
		return nil, err
	}
	signer, err := witness(ctx, w, l, host)
	if err != nil {
		found = append(found, ledger.Finding{Severity: ledger.DegradedRun,
			Text: "the ledger's checkpoints are not signed: " + failure.OneLine(err), Type: "runner secret list"})
	}
	proofs := map[string]string{}
	for _, name := range names {
		if proofs[name], err = proofText(ctx, catalog, name); err != nil {
			return nil, err
		}
	}
	w.EachTarget(ctx, names, func(ctx context.Context, name string, t *target.Target, err error) func() {
		if err == nil {
			err = errors.Join(leaveHead(ctx, t, l, host, signer), t.PutCheckpoint(ctx, host+proofsOf, proofs[name]))
		}
		if err == nil {
			_, err = t.CleanUp(ctx, func(copyID string) bool { keep, ours := wanted[name+copyID]; return keep || !ours })
		}
		if err == nil || failure.Is(err, target.CodeMediaAbsent) {
			return func() {}
		}
		f := ledger.Finding{Severity: ledger.DegradedRun, Target: name, Text: fmt.Sprintf("the ledger's checkpoint was not left on %s: %v", name,
			err), Type: "runner ledger verify"}
		if other := (*divergedError)(nil); errors.As(err, &other) {
			f.Type = other.command()
		}
		return func() { found = append(found, f) }
	})
	return found, nil
}

// LeaveOn leaves the ledger's head and the proofs of its copies on one target.
func LeaveOn(ctx context.Context, w *systems.Systems, l *ledger.Ledger, host, name string) error {
	signer, err := witness(ctx, w, l, host)
	if err != nil {
		return err
	}
	text, err := proofText(ctx, ledger.Catalog{Store: l}, name)
	if err != nil {
		return err
	}
	t, err := w.Target(ctx, name)
	if err != nil {
		return err
	}
	err = errors.Join(leaveHead(ctx, t, l, host, signer), t.PutCheckpoint(ctx, host+proofsOf, text))
	return errors.Join(err, t.Close())
}

// leaveHead writes the head on a target, and nothing over one that is not of this
// ledger: it is the witness that entries were lost.
func leaveHead(ctx context.Context, t *target.Target, l *ledger.Ledger, host, signer string) error {
	texts, err := t.Checkpoints(ctx)
	if err != nil {
		return err
	}
	head, err := l.Head(ctx) // now: another run may just have left its own
	if err != nil {
		return err
	}
	old, found, _ := headOf(texts, host) // one that is damaged witnesses nothing
	if found {
		ours, err := ledger.Extends(ctx, l, old.Head)
		switch {
		case err != nil:
			return err
		case !ours:
			return &divergedError{old.Size, head.Size}
		}
	}
	text := head.Checkpoint()
	if signer != "" {
		if text, err = head.Sign(signer); err != nil {
			return err
		}
	}
	return t.PutCheckpoint(ctx, host, text)
}

// proofsOf marks the note on a target that lists proofs.
const proofsOf = "-proofs"

// mayResume tells, by target and copy id, of every transfer that this ledger can
// have begun whether a retry of this run, or the resumption of another, can still
// take it up. What is not in it is another host's.
func mayResume(ctx context.Context, c ledger.Catalog, run string) (map[string]bool, error) {
	ended := map[string]bool{}
	if err := c.Rows(ctx, ledger.Query{Kind: ledger.RowRunEnd}, func(r ledger.Row) error { ended[r.ID] = true; return nil }); err != nil {
		return nil, err
	}
	for id := run; id != ""; { // a retry goes on with what the runs before it began
		var h ledger.Run
		if _, err := ledger.One(ctx, c.Store, ledger.Query{Kind: ledger.RowRun, ID: id}, &h); err != nil {
			return nil, err
		}
		ended[id] = false
		id = h.RetryOf
	}
	arts, err := c.Artifacts(ctx, ledger.Query{})
	if err != nil {
		return nil, err
	}
	targets := map[string]bool{}
	d, err := c.Demands(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range d.Targets {
		targets[t.Name] = true
	}
	out := map[string]bool{}
	for _, a := range arts {
		for t := range targets {
			out[t+ledger.CopyID(a.ID, t)] = !ended[a.Run]
		}
	}
	return out, nil
}

// maxProofs bounds the note: the newest copies count.
const maxProofs = 600

// proofText lists the copies on a target with their proofs, newest first.
func proofText(ctx context.Context, c ledger.Catalog, name string) (string, error) {
	copies, err := c.ProvenCopies(ctx, ledger.Query{Target: name})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, p := range copies {
		if i == maxProofs {
			break
		}
		if p.Level >= 0 {
			fmt.Fprintf(&b, "%s %s %s\n", p.Artifact, ledger.LevelName(p.Level), p.At.UTC().Format(time.RFC3339))
		}
	}
	return b.String(), nil
}

// checkpoint is a head as it lies on a target.
type checkpoint struct {
	ledger.Head
	text string
}

// headOf is the newest head of a host among checkpoints. Where nothing can be
// replaced there are many, with their times behind the name.
func headOf(texts map[string]string, host string) (head checkpoint, found bool, bad []error) {
	for from, text := range texts {
		at, dated := strings.CutPrefix(from, host+"-")
		if _, err := time.Parse("20060102T150405Z", at); from != host && (!dated || err != nil) {
			continue
		}
		h, err := ledger.ParseCheckpoint(text)
		if err != nil {
			bad = append(bad, fmt.Errorf("checkpoint of %s: %w", from, err))
			continue
		}
		if !found || h.Size > head.Size {
			head, found = checkpoint{h, text}, true
		}
	}
	return head, found, bad
}

// ReadManifests reads the manifests on targets: what a ledger is rebuilt from.
func ReadManifests(ctx context.Context, w *systems.Systems, only []string) (imports []ledger.Import, notes []string, err error) {
	asked := 0
	w.EachTarget(ctx, only, func(ctx context.Context, name string, t *target.Target, terr error) func() {
		var list []target.Manifest
		var bad []error
		if terr == nil {
			list, bad, terr = t.List(ctx)
		}
		if terr != nil {
			return func() { notes = append(notes, fmt.Sprintf("%s was not read: %v", name, terr)) }
		}
		im := ledger.Import{Target: name}
		for _, m := range list {
			m.Copy.Target = name
			m.Copy.ID = ledger.CopyID(m.Artifact.ID, name)
			im.Artifacts = append(im.Artifacts, m.Artifact)
			im.Copies = append(im.Copies, m.Copy)
		}
		return func() {
			asked++
			for _, b := range bad {
				notes = append(notes, fmt.Sprintf("%s: %v", name, b))
			}
			imports = append(imports, im)
		}
	})
	if asked == 0 {
		return nil, notes, fmt.Errorf("no target could be read\n%s", strings.Join(notes, "\n"))
	}
	return imports, notes, nil
}

// ObserveMedia says which offline media are attached right now.
func ObserveMedia(w *systems.Systems) map[string]string {
	out := map[string]string{}
	for _, spec := range w.Site.Targets {
		if !spec.Offline || !spec.Place.Local {
			continue
		}
		t, err := w.Target(context.Background(), spec.Name)
		switch {
		case err == nil:
			out[spec.Name] = "attached"
			t.Close()
		case failure.Is(err, target.CodeMediaAbsent):
			out[spec.Name] = "detached"
		}
	}
	return out
}
