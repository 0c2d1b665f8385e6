package checkpoints

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// divergedError says that a target holds the evidence of a ledger that this one does
// not continue.
type divergedError struct{ there, here int64 }

func (e *divergedError) Error() string {
	return fmt.Sprintf("it holds one of %d entries that this ledger (%d entries) does not continue: it is kept", e.there, e.here)
}

// command is what joins the two.
func (e *divergedError) command() string {
	if e.here == 0 {
		return "runner ledger rebuild"
	}
	return "runner ledger continue --reason \"what happened to this machine\""
}

// Evidence is what targets say of a ledger.
type Evidence struct {
	Heads   map[string]ledger.Head // by where they were found
	Missing []string               // what must be there by the ledger's own words, and is not
	Notes   []string               // targets that were not asked, and why

	Verifiers              []string // of the keys that sign the ledger's checkpoints
	Checkpoints, Manifests int      // that Heads are of
}

// ReadEvidence reads the checkpoints that runs of this ledger left on targets, and
// what must lie beside them; with manifests, also the heads in those of its copies: a
// manifest carries that of the moment when its copy began. A checkpoint is missing
// where an ended run left copies, and no other place; one that is not signed by
// verifier, or where that is "" by a key that the ledger names, is as good as missing.
func ReadEvidence(ctx context.Context, w *systems.Systems, l *ledger.Ledger, host string, manifests bool, verifier string) (Evidence,
	error) {
	out := Evidence{Heads: map[string]ledger.Head{}}
	know, err := readKnown(ctx, ledger.Catalog{Store: l}, host)
	if err != nil {
		return out, err
	}
	out.Verifiers = know.verifiers
	if verifier != "" { // somebody brought it from elsewhere: the ledger's own word is not asked for
		know.verifiers, know.signed = []string{verifier}, 0
	}
	w.EachTarget(ctx, nil, func(ctx context.Context, name string, t *target.Target, err error) func() {
		here := Evidence{Heads: map[string]ledger.Head{}}
		var texts map[string]string
		if err == nil {
			texts, err = t.Checkpoints(ctx)
		}
		if err == nil {
			err = know.read(ctx, &here, name, t, texts, manifests)
		}
		spec, _ := w.Site.Target(name)
		away := !manifests && spec != nil && spec.Offline && failure.Is(err, target.CodeMediaAbsent) // as it should be
		if err != nil && !away {
			here.Notes = append(here.Notes, fmt.Sprintf("%s was not asked: %v", name, err))
		}
		return func() { out.add(here) }
	})
	slices.Sort(out.Missing)
	slices.Sort(out.Notes)
	return out, nil
}

// add joins what one target says.
func (e *Evidence) add(o Evidence) {
	maps.Copy(e.Heads, o.Heads)
	e.Missing, e.Notes = append(e.Missing, o.Missing...), append(e.Notes, o.Notes...)
	e.Checkpoints, e.Manifests = e.Checkpoints+o.Checkpoints, e.Manifests+o.Manifests
}

// known is what a ledger says of the evidence that it left.
type known struct {
	hosts  map[string]bool            // that runs of it were on
	left   map[string]map[string]bool // target -> hosts whose ended runs left copies there
	copies map[string]bool            // by id

	folders map[string]bool // of its copies: target/ref
	runs    map[string]bool // by id

	verifiers []string // of the keys that signed its checkpoints
	signed    int64    // entries that it had before the first of them
	gap       int64    // entries of the longest ledger that this one was joined to; 0: none
}

func readKnown(ctx context.Context, c ledger.Catalog, host string) (*known, error) {
	k := &known{hosts: map[string]bool{host: true}, left: map[string]map[string]bool{}, copies: map[string]bool{}, runs: map[string]bool{},
		folders: map[string]bool{}}
	runs, err := ledger.All[ledger.Run](ctx, c.Store, ledger.Query{Kind: ledger.RowRun})
	if err != nil {
		return nil, err
	}
	ended, on := map[string]bool{}, map[string]string{}
	ends, err := ledger.All[ledger.RunOutcome](ctx, c.Store, ledger.Query{Kind: ledger.RowRunEnd})
	if err != nil {
		return nil, err
	}
	at := 0
	if err := c.Rows(ctx, ledger.Query{Kind: ledger.RowRunEnd}, func(r ledger.Row) error {
		ended[r.ID] = ends[at].Result != ledger.Interrupted // such a run left nothing behind
		at++
		return ctx.Err()
	}); err != nil {
		return nil, err
	}
	for _, r := range runs {
		k.hosts[r.Host], k.runs[r.ID] = true, true
		if ended[r.ID] {
			on[r.ID] = r.Host
		}
	}
	keys, err := ledger.All[ledger.CheckpointKey](ctx, c.Store, ledger.Query{Kind: ledger.RowWitness})
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		k.verifiers = append(k.verifiers, key.Verifier)
		if i == 0 || key.Size < k.signed {
			k.signed = key.Size
		}
	}
	// The run that made a copy leaves the checkpoint beside it, whatever made the artifact.
	if err := c.Rows(ctx, ledger.Query{Kind: ledger.RowCopy}, func(r ledger.Row) error {
		var cp ledger.Copy
		if err := json.Unmarshal(r.Body, &cp); err != nil {
			return err
		}
		k.copies[cp.ID], k.folders[cp.Target+"/"+cp.Ref] = true, true
		if h, found := on[r.Run]; found && !cp.InPlace {
			if k.left[cp.Target] == nil {
				k.left[cp.Target] = map[string]bool{}
			}
			k.left[cp.Target][h] = true
		}
		return ctx.Err()
	}); err != nil {
		return nil, err
	}
	err = c.Entries(ctx, ledger.Filter{Type: ledger.Junction}, func(e ledger.Entry) error {
		var gap ledger.LedgerGap
		if err := e.Decode(&gap); err != nil {
			return err
		}
		k.gap = max(k.gap, gap.Size, 1)
		return ctx.Err()
	})
	return k, err
}

func (k *known) read(ctx context.Context, out *Evidence, name string, t *target.Target, texts map[string]string, manifests bool) error {
	for _, host := range slices.Sorted(maps.Keys(k.hosts)) {
		head, found, bad := headOf(texts, host)
		for _, err := range bad {
			out.Missing = append(out.Missing, fmt.Sprintf("%s: %v", name, err))
		}
		if found {
			if wrong := k.unwitnessed(head.Head, head.text); wrong != "" {
				out.Missing = append(out.Missing, fmt.Sprintf("%s holds a checkpoint of %s of %d entries: %s", name, host, head.Size, wrong))
			}
			from := name
			if len(k.hosts) > 1 {
				from += " of " + host
			}
			out.Heads[from] = head.Head
			out.Checkpoints++
		}
		if !k.left[name][host] {
			continue
		}
		if !found && len(bad) == 0 {
			out.Missing = append(out.Missing, fmt.Sprintf("%s holds no checkpoint of %s, whose runs left copies there: it was removed, or could "+
				"not be left", name, host))
		}
		proofs := func(n string) bool { return n == host+proofsOf || strings.HasPrefix(n, host+proofsOf+"-") }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(texts)), proofs) {
			out.Missing = append(out.Missing, fmt.Sprintf("%s holds no list of the proofs of %s beside its copies: it was removed, or could not "+
				"be left", name, host))
		}
	}
	if !manifests {
		return nil
	}
	list, bad, err := t.List(ctx)
	for _, b := range bad {
		text := fmt.Sprintf("%s: %v", name, b)
		bad := (*target.BadFolder)(nil)
		if !errors.As(b, &bad) || !k.folders[name+"/"+bad.Folder] { // somebody else's, maybe
			out.Notes = append(out.Notes, text)
		} else {
			out.Missing = append(out.Missing, text)
		}
	}
	for _, m := range list {
		host, reported := m.Fields[hostField]
		ours := k.hosts[host] || !reported && k.gap == 0 && k.copies[ledger.CopyID(m.Artifact.ID, name)]
		head, err := m.Tree.Head()
		// What a run of the lost part wrote, the gap accounts for.
		lost := !k.runs[m.Fields["run"]] && head.Size <= k.gap
		if ours && !lost && err == nil && head.Size > 0 {
			out.Heads[name+" in "+m.Copy.Ref+"/manifest.json"] = head
			out.Manifests++
		}
	}
	return err
}

// hostField is where a manifest says which host wrote it.
const hostField = "host"

// Findings words for status what targets hold of a ledger that this one lost.
func (e Evidence) Findings(ctx context.Context, l *ledger.Ledger) (found []ledger.Finding, err error) {
	head, err := l.Head(ctx)
	if err != nil {
		return nil, err
	}
	var most int64
	for _, h := range e.Heads {
		ours, err := ledger.Extends(ctx, l, h)
		if err != nil {
			return nil, err
		}
		if !ours {
			most = max(most, h.Size)
		}
	}
	if most > 0 {
		d := &divergedError{most, head.Size}
		found = append(found, ledger.Finding{Severity: ledger.DegradedRun, Type: d.command(),
			Text: fmt.Sprintf("the targets hold the evidence of %d entries that this ledger, of %d entries, does not continue: it was lost, or "+
				"is older than they are", most, head.Size)})
	}
	for _, m := range e.Missing {
		found = append(found, ledger.Finding{Severity: ledger.DegradedRun, Text: "evidence is missing: " + m, Type: "runner ledger verify"})
	}
	return found, nil
}
