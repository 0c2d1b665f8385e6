package prune

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/kinds"
	"github.com/neosofia/runner/builtins/internal/target"

	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Prune removes what the rules let go, or says what would go.
func Prune(ctx context.Context, s *runtime.Step, a *Request) (runtime.Result, error) {
	emptied := map[string]bool{}
	r, err := pruneWith(ctx, s, a, pruneOrphans, func(ctx context.Context, c ledger.Copy) (was bool, err error) {
		w := systems.Of(s)
		placed, err := systems.Placed(ctx, s, c)
		if err != nil {
			return false, err
		}
		t, err := w.OpenTarget(ctx, s, c.Target, placed...)
		if err != nil {
			return false, err
		}
		defer t.Close()
		release, err := s.Hold(ctx, "target:"+c.Target)
		if err != nil {
			return false, err
		}
		defer release()
		was, err = t.Remove(ctx, c)
		if failure.Is(err, target.CodeNotFound) {
			return false, nil
		}
		emptied[c.Target] = emptied[c.Target] || was
		return was, err
	})
	for _, name := range slices.Sorted(maps.Keys(emptied)) {
		if emptied[name] && err == nil {
			err = maintain(ctx, s, name)
		}
	}
	return r, err
}

// Pretend does what Prune does, and removes nothing.
func Pretend(ctx context.Context, s *runtime.Step, a *Request) (runtime.Result, error) {
	return pruneWith(ctx, s, a, nil, func(_ context.Context, c ledger.Copy) (bool, error) { return true, s.Fault("target", c.Target) })
}

// Request is what a policy asks for; prune documents its arguments.
type Request struct {
	Asset         string
	Keep          []string
	OlderThan     time.Duration
	Item          string
	KeepOnStorage int
	Target        string
	Apply         bool
}

// goes is one row of what prune returns.
type goes struct {
	Copy   string    `json:"copy"`
	Item   string    `json:"item"`
	Target string    `json:"target"`
	Taken  time.Time `json:"taken"`
	Why    string    `json:"why"`
}

// StarlarkType names the type in policies.
func (goes) StarlarkType() string { return "removal" }

// told is the line of a removal for who reads.
func (g goes) reported() string {
	return fmt.Sprintf("%s on %s, taken %s: %s", g.Item, g.Target, g.Taken.UTC().Format(time.RFC3339), g.Why)
}

// remover removes a copy; was says that it was there.
type remover func(ctx context.Context, c ledger.Copy) (was bool, err error)

// besides removes what is not a copy.
type besides func(ctx context.Context, s *runtime.Step, a *Request, in Input, res *runtime.Result) ([]goes, error)

func pruneWith(ctx context.Context, s *runtime.Step, a *Request, more besides, remove remover) (runtime.Result, error) {
	if a.Asset == "" && a.Target != "" {
		return pruneTarget(ctx, s, a, remove)
	}
	in, plan, findings, err := planPrune(ctx, s, a)
	res := runtime.Result{Value: []goes{}, Facts: ledger.Facts{Findings: findings}}
	if err != nil || plan.Refused != "" {
		return res, err
	}
	rows, err := pruneCopies(ctx, s, a, plan, &res, remove)
	if err == nil && more != nil && a.Target == "" {
		var others []goes
		others, err = more(ctx, s, a, in, &res)
		rows = append(rows, others...)
	}
	res.Value = rows
	return res, err
}

func pruneCopies(ctx context.Context, s *runtime.Step, a *Request, plan Choice, res *runtime.Result, remove remover) ([]goes, error) {
	rows := []goes{}
	for _, r := range plan.Removals {
		if len(rows) == plan.Limit {
			break
		}
		row := goes{r.Copy.ID, r.Copy.Item, r.Copy.Target, r.Copy.Taken, r.Why}
		switch {
		case !a.Apply:
			s.Log("would remove %s", row.reported())
		case stillNeeded(r, res.Facts.Removed):
			continue // what needs it could not be removed before it
		default:
			went, err := dropCopy(ctx, s, a, r.Copy, row, res, remove)
			if err != nil {
				return rows, err // what follows is for the next run
			}
			if !went {
				continue
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// dropCopy removes one, with a record before it. Of what somebody else removed the record
// does not say that we did, unless an earlier attempt of the step set out to.
func dropCopy(ctx context.Context, s *runtime.Step, a *Request, c ledger.Copy, row goes, res *runtime.Result, remove remover) (bool,
	error) {
	key := ledger.MarkRemove + row.Copy
	tried := s.Marked(key) != ""
	if err := s.Mark(ctx, key, row.reported()); err != nil {
		return false, err
	}
	was, err := remove(ctx, c)
	gone, found, err := removed(s, a.Asset, row, err)
	res.Facts.Findings = append(res.Facts.Findings, found...)
	if err != nil || !gone {
		return false, err
	}
	res.Facts.Removed = append(res.Facts.Removed, row.Copy)
	if was || tried {
		s.Log("removed %s", row.reported())
		return true, nil
	}
	row.Why = "it was not there any more: no longer listed"
	s.Log("%s", row.reported())
	return true, s.Mark(ctx, key, row.reported())
}

// removed judges how a removal ended. A medium that is away, and what is not to be
// removed by us, hold up nothing else.
func removed(s *runtime.Step, asset string, row goes, err error) (gone bool, findings []ledger.Finding, failed error) {
	switch {
	case err == nil:
		return true, nil, nil
	case failure.Is(err, target.CodeMediaAbsent, target.CodeDown):
		s.Log("%s of %s stays for now: %s", row.Target, row.Item, failure.OneLine(err))
		return false, nil, nil
	case failure.Is(err, failure.Refused):
		return false, []ledger.Finding{{Severity: ledger.DegradedRun, Asset: asset, Item: row.Item, Target: row.Target,
			Text: failure.OneLine(err)}}, nil
	}
	return false, nil, err
}

// Preview is what a plan shows: the same, without doing it.
func Preview(ctx context.Context, s *runtime.Step, a *Request) error {
	only := *a
	only.Apply = false
	r, err := Prune(ctx, s, &only)
	if rows, ok := r.Value.([]goes); ok && err == nil {
		sentAgain(ctx, s, rows)
	}
	return err
}

// stillNeeded reports whether a copy that needs this one is still there.
func stillNeeded(r Removal, removed []string) bool {
	for _, id := range r.After {
		if !slices.Contains(removed, id) {
			return true
		}
	}
	return false
}

// planPrune reads what exists and lets package retire choose.
func planPrune(ctx context.Context, s *runtime.Step, a *Request) (in Input, choice Choice, findings []ledger.Finding, err error) {
	w := systems.Of(s)
	row, ok := w.Site.Demands.Asset(a.Asset)
	if a.Asset == "" {
		return in, choice, nil, errors.New("say which asset, or target = … for all that lies on one")
	}
	if !ok {
		return in, choice, nil, fmt.Errorf("the site has no asset %q", a.Asset)
	}
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return in, choice, nil, err
	}
	copies, err := catalog.WholeCopies(ctx, ledger.Query{Asset: a.Asset, Item: a.Item})
	if err != nil {
		return in, choice, nil, err
	}
	all := len(copies)
	copies = slices.DeleteFunc(copies, func(c ledger.Proven) bool { return c.Borrowed() })
	if n := all - len(copies); n > 0 {
		s.Log("%d archives of %s that adopt counted are left alone, and stand for none of runner's own: they are foreign, or of a lost ledger", n,
			a.Asset)
	}
	arts, err := catalog.Artifacts(ctx, ledger.Query{Asset: a.Asset, Item: a.Item})
	if err != nil {
		return in, choice, nil, err
	}
	gone, total, err := shareOf(ctx, catalog, a.Asset, s.Run)
	if err != nil {
		return in, choice, nil, err
	}
	seen, err := Times(ctx, catalog, s.Run, s.Now(), copies)
	if err != nil {
		return in, choice, nil, err
	}
	keep, err := a.keeps(s.Now(), arts, copies)
	if err != nil {
		return in, choice, nil, err
	}
	in = Input{Demand: row, Copies: copies, Artifacts: arts, Keep: keep, Batch: batches, KeepOnStorage: a.KeepOnStorage,
		Now: s.Now(), Seen: seen, Leap: Leap(w.Site.Demands), Gone: gone, Total: total, Due: func(name string) time.Duration {
			t, _ := w.Site.Demands.Target(name)
			return t.Due + t.Grace
		}}
	choice = Choose(in)
	leaveKept(s, &choice)
	if a.Target != "" {
		choice.Removals = slices.DeleteFunc(choice.Removals, func(r Removal) bool { return r.Copy.Target != a.Target })
	}
	if choice.Refused != "" {
		text := "nothing of " + a.Asset + " was pruned: " + choice.Refused
		s.Log("%s", text)
		return in, choice, []ledger.Finding{{Severity: ledger.DegradedRun, Asset: a.Asset, Text: text}}, nil
	}
	for _, note := range choice.Notes {
		s.Log("%s", strings.TrimSpace(note))
	}
	return in, choice, nil, nil
}

// keeps are the artifacts that the rule names, or those that are young enough; where
// one target is to be like the others, those of which another one has a copy.
func (a *Request) keeps(now time.Time, arts []ledger.Artifact, copies []ledger.Proven) ([]string, error) {
	if a.Target != "" && a.OlderThan == 0 && a.Keep == nil {
		var keep []string
		for _, c := range copies {
			if c.Target != a.Target {
				keep = append(keep, c.Artifact)
			}
		}
		return keep, nil
	}
	if (a.OlderThan > 0) == (a.Keep != nil) {
		return nil, errors.New("say either keep = [...], which may be empty, or older_than = \"90d\"")
	}
	if a.OlderThan == 0 {
		return a.Keep, nil
	}
	var keep []string
	for _, art := range arts {
		if now.Sub(art.Created) <= a.OlderThan {
			keep = append(keep, art.ID)
		}
	}
	return keep, nil
}

// batches tells the kinds whose artifacts are parts of one stream.
func batches(name string) bool {
	k, _ := kinds.Find(name)
	return k.Batch
}

// shareOf counts the copies of an asset, and those of it that this run removed.
func shareOf(ctx context.Context, catalog ledger.Catalog, asset, run string) (gone, total int, err error) {
	arts, err := catalog.Artifacts(ctx, ledger.Query{Asset: asset})
	if err != nil {
		return 0, 0, err
	}
	targets := map[string]bool{}
	copies, err := catalog.Copies(ctx, ledger.Query{Asset: asset})
	if err != nil {
		return 0, 0, err
	}
	for _, c := range copies {
		if targets[c.Target] = true; !c.Borrowed() {
			total++
		}
	}
	own := map[string]bool{} // a removed copy's row no longer tells its asset; its id does
	for _, a := range arts {
		for t := range targets {
			own[ledger.CopyID(a.ID, t)] = true
		}
	}
	err = catalog.Rows(ctx, ledger.Query{Kind: ledger.RowRemoved, Run: run}, func(r ledger.Row) error {
		if own[r.ID] {
			gone++
		}
		return nil
	})
	return gone, total, err
}
