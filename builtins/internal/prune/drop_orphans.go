package prune

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// markOrphans counts the archives that earlier attempts of the step set out to
// remove: after a crash the share of one run is not begun anew.
const markOrphans = "orphans"

// pruneOrphans removes, or says of, archives that are not copies.
func pruneOrphans(ctx context.Context, s *runtime.Step, a *Request, in Input, res *runtime.Result) ([]goes, error) {
	h, err := lookThrough(ctx, s, a.Asset, a.Item)
	if err != nil {
		return nil, err
	}
	for _, m := range h.Missed {
		text := "archives that are not copies were not looked for on " + m
		s.Log("%s", text)
		res.Facts.Findings = append(res.Facts.Findings, ledger.Finding{Severity: ledger.DegradedRun, Asset: a.Asset, Text: text})
	}
	for _, c := range h.Vanished {
		if !slices.Contains(res.Facts.Removed, c.ID) { // by this very step
			systems.Vanish(s, c, &res.Facts)
		}
	}
	if n := len(h.Foreign); n > 0 {
		s.Log("%d archives carry tokens of runs that this ledger does not know: another host's, or those of a lost ledger; they are never "+
			"removed here: %s", n, strings.Join(h.Foreign[:min(5, n)], ", "))
	}
	if len(h.Orphans) == 0 {
		return nil, nil
	}
	by := map[string]orphan{}
	var list []Archive
	for _, o := range h.Orphans {
		by[o.Name] = o
		list = append(list, o.Archive)
	}
	tried, _ := strconv.Atoi(s.Marked(markOrphans))
	chosen, limit := Orphans(in, list, h.Own, tried)
	s.Log("%d archives of runner's own are not copies; %d of them can go, %d in this run", len(list), len(chosen), min(limit, len(chosen)))
	var rows []goes
	for _, c := range chosen {
		if len(rows) == limit {
			break
		}
		o := by[c.Name]
		row := goes{o.Name, o.Item, o.Target, o.Taken, o.Why(o.Run)}
		tried++
		went, err := dropOrphan(ctx, s, a, o, row, res, tried)
		if err != nil {
			return rows, err
		}
		if went {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// dropOrphan removes one, the nth of the step, with a record before and behind it.
func dropOrphan(ctx context.Context, s *runtime.Step, a *Request, o orphan, row goes, res *runtime.Result, nth int) (bool, error) {
	if !a.Apply {
		s.Log("would remove %s (%s)", row.reported(), o.Name)
		return true, nil
	}
	if err := s.Mark(ctx, markOrphans, strconv.Itoa(nth)); err != nil {
		return false, err
	}
	if err := s.Mark(ctx, ledger.MarkRemove+o.Name, row.reported()); err != nil {
		return false, err
	}
	_, err := systems.Of(s).RemoveArchive(ctx, s, o.Origin, o.Token)
	went, found, err := removed(s, a.Asset, row, err)
	res.Facts.Findings = append(res.Facts.Findings, found...)
	if err != nil || !went {
		return false, err
	}
	s.Log("removed %s (%s)", row.reported(), o.Name)
	return true, s.Mark(ctx, ledger.MarkRemoved+o.Name, row.reported())
}
