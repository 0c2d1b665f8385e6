package builtins

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/retire"
	"github.com/neosofia/runner/builtins/internal/site"
	"github.com/neosofia/runner/builtins/internal/world"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// orphan is an archive of runner's own that is no copy.
type orphan struct {
	retire.Archive
	run    string
	target string
	origin map[string]string // as world.RemoveArchive wants it
}

// hoard is what was found on the storages of an asset's systems.
type hoard struct {
	s       *runtime.Step
	a       *pruneArgs
	catalog ledger.Catalog
	copies  map[string]bool // volumes that are copies
	own     int             // archives that carry a token of runner
	orphans []orphan
	foreign []string // of runs that this ledger does not know
}

// pruneOrphans removes, or tells of, archives that are no copies. An archive of a
// run that this ledger does not know is another host's, or that of a ledger that
// was lost: it is never removed.
func pruneOrphans(ctx context.Context, s *runtime.Step, a *pruneArgs, in retire.Input, res *runtime.Result) ([]goes, error) {
	h, err := newHoard(ctx, s, a)
	if err != nil {
		return nil, err
	}
	for _, sys := range world.Of(s).Site.Proxmox {
		if sys.Asset != a.Asset {
			continue
		}
		if err := h.system(ctx, sys.Name); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			text := "archives of " + sys.Name + " that are no copies were not looked for: " + runtime.OneLine(err)
			s.Log("%s", text)
			res.Facts.Findings = append(res.Facts.Findings, ledger.Finding{Severity: ledger.DegradedRun, Asset: a.Asset, Text: text})
		}
	}
	return h.remove(ctx, in, res)
}

func newHoard(ctx context.Context, s *runtime.Step, a *pruneArgs) (*hoard, error) {
	h := &hoard{s: s, a: a, copies: map[string]bool{}}
	var err error
	if h.catalog, err = s.Catalog(ctx); err != nil {
		return nil, err
	}
	copies, err := h.catalog.Copies(ctx, ledger.Query{})
	for _, c := range copies {
		if c.InPlace {
			h.copies[c.Ref] = true
		}
	}
	return h, err
}

// system looks through the storages that receive archives, on every node.
func (h *hoard) system(ctx context.Context, name string) error {
	c, sys, err := world.Of(h.s).Proxmox(ctx, name)
	if err != nil {
		return world.PVEError(name, "connect", err)
	}
	nodes, err := c.Online(ctx)
	if err != nil {
		return world.PVEError(name, "list nodes", err)
	}
	targets := storagesOf(h.s, sys)
	seen := map[string]bool{} // shared storages
	for _, node := range nodes {
		list, err := c.Storages(ctx, node)
		if err != nil {
			return world.PVEError(name, "list the storages of "+node, err)
		}
		for _, st := range list {
			target, ours := targets[st.Name]
			if !ours || st.Active == 0 || seen[st.Name] {
				continue
			}
			seen[st.Name] = st.Shared != 0
			vols, err := c.Archives(ctx, node, st.Name, 0)
			if err != nil {
				return world.PVEError(name, "list archives on "+st.Name+" of "+node, err)
			}
			for _, v := range vols {
				origin := map[string]string{"system": name, "node": node, "storage": st.Name, "volid": v.VolID}
				if err := h.volume(ctx, v, target, origin); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// storagesOf maps the storages that a system's archives lie on to the target that
// counts them.
func storagesOf(s *runtime.Step, sys *site.Proxmox) map[string]string {
	out := map[string]string{sys.Storage: "storage " + sys.Storage}
	for _, t := range world.Of(s).Site.Targets {
		place, ok := strings.CutPrefix(t.URL, "pve://")
		system, storage, both := strings.Cut(place, "/")
		switch {
		case ok && both && system == sys.Name:
			out[storage] = t.Name
		case ok && !both && len(world.Of(s).Site.Proxmox) == 1:
			out[place] = t.Name
		}
	}
	return out
}

// volume sorts one archive.
func (h *hoard) volume(ctx context.Context, v proxmox.Volume, target string, origin map[string]string) error {
	run, step, ok := tokenIn(v.Notes)
	if !ok {
		return nil
	}
	h.own++
	if h.copies[v.VolID] || run == h.s.Run || v.Protected != 0 {
		return nil
	}
	known, done, began, err := h.through(ctx, run)
	switch {
	case err != nil:
		return err
	case !known:
		h.foreign = append(h.foreign, v.VolID)
		return nil
	case !done:
		return nil // it is running, or can be resumed
	}
	o := orphan{run: run, target: target, origin: origin}
	o.origin["token"] = "runner:" + run + step
	o.Archive = retire.Archive{Name: v.VolID, Taken: began, Dated: time.Unix(int64(v.CTime), 0)}
	if o.Item, o.Taken, err = h.made(ctx, run, step, v, began); err != nil || o.Item == "" {
		return err
	}
	if h.a.Item == "" || h.a.Item == o.Item {
		h.orphans = append(h.orphans, o)
	}
	return nil
}

// tokenIn finds the token of a step in notes: the only one there.
func tokenIn(notes string) (run, step string, ok bool) {
	for _, word := range strings.FieldsFunc(notes, func(r rune) bool { return unicode.IsSpace(r) || r == '\'' || r == '"' }) {
		text, is := strings.CutPrefix(word, "runner:")
		if !is {
			continue
		}
		name, rest, whole := strings.Cut(text, "/")
		if !whole || name == "" || ok {
			return "", "", false
		}
		run, step, ok = name, "/"+rest, true
	}
	return run, step, ok
}

// through tells whether the ledger knows a run, and whether it will make nothing
// more of what it left: it ended, or it is dead and its policy has run since.
func (h *hoard) through(ctx context.Context, id string) (known, done bool, began time.Time, err error) {
	var run ledger.Run
	if known, err = ledger.One(ctx, h.catalog, ledger.Query{Kind: ledger.RowRun, ID: id}, &run); err != nil || !known {
		return false, false, time.Time{}, err
	}
	var end ledger.RunOutcome
	if done, err = ledger.One(ctx, h.catalog, ledger.Query{Kind: ledger.RowRunEnd, ID: id}, &end); err != nil || done {
		return true, done, run.Began, err
	}
	if h.s.Alive(id) {
		return true, false, run.Began, nil
	}
	runs, err := ledger.All[ledger.Run](ctx, h.catalog, ledger.Query{Kind: ledger.RowRun})
	if err != nil {
		return true, false, run.Began, err
	}
	for _, later := range slices.Backward(runs) {
		if later.Policy != run.Policy || !later.Began.After(run.Began) {
			continue
		}
		if done, err = ledger.One(ctx, h.catalog, ledger.Query{Kind: ledger.RowRunEnd, ID: later.ID}, &end); err != nil || done {
			return true, done, run.Began, err
		}
	}
	return true, false, run.Began, nil
}

// made tells what a step saved, and when, by the ledger: "" when it knows of no
// such step, or it is not of this asset.
func (h *hoard) made(ctx context.Context, run, step string, v proxmox.Volume, began time.Time) (string, time.Time, error) {
	art, found, err := h.catalog.Artifact(ctx, ledger.ArtifactID(run, step))
	if err != nil {
		return "", began, err
	}
	if found {
		if art.Asset != h.a.Asset {
			return "", began, nil
		}
		return art.Item, art.Created, nil
	}
	var guest string
	err = h.catalog.Entries(ctx, ledger.Filter{Run: run, Type: ledger.StepBegin}, func(e ledger.Entry) error {
		var b ledger.Begin
		if e.Step != step {
			return nil
		}
		if err := e.Decode(&b); err != nil || b.Primitive != "snapshot_vm" {
			return err
		}
		var args struct{ Guest string }
		if err := json.Unmarshal(b.Args, &args); err != nil {
			return err
		}
		guest = args.Guest
		return nil
	})
	if err != nil || guest != strconv.FormatInt(int64(v.VMID), 10) {
		return guest, began, err
	}
	arts, err := h.catalog.Artifacts(ctx, ledger.Query{Asset: h.a.Asset})
	for _, a := range slices.Backward(arts) { // it was named by its number
		if a.Origin["vmid"] == guest {
			return a.Item, began, err
		}
	}
	return "", began, err
}

// markOrphans counts those that earlier attempts of the step removed.
const markOrphans = "orphans"

func (h *hoard) remove(ctx context.Context, in retire.Input, res *runtime.Result) ([]goes, error) {
	if len(h.foreign) > 0 {
		h.s.Log("%d archives carry tokens of runs that this ledger does not know: another host's, or those of a lost ledger; they are never removed here: %s", len(h.foreign), strings.Join(h.foreign[:min(5, len(h.foreign))], ", "))
	}
	if len(h.orphans) == 0 {
		return nil, nil
	}
	by := map[string]orphan{}
	var list []retire.Archive
	for _, o := range h.orphans {
		by[o.Name] = o
		list = append(list, o.Archive)
	}
	gone, _ := strconv.Atoi(h.s.Marked(markOrphans))
	chosen, limit := retire.Orphans(in, list, h.own, gone)
	h.s.Log("%d archives of runner's own are no copies; %d of them can go, %d in this run", len(list), len(chosen), min(limit, len(chosen)))
	var rows []goes
	for _, c := range chosen {
		if len(rows) == limit {
			break
		}
		o := by[c.Name]
		row := goes{o.Name, o.Item, o.target, o.Taken, o.Why(o.run)}
		if !h.a.Apply {
			h.s.Log("would remove %s (%s)", row.told(), o.Name)
			rows = append(rows, row)
			continue
		}
		went, err := h.drop(ctx, o, row, res)
		if err != nil {
			return rows, err
		}
		if !went {
			continue
		}
		rows = append(rows, row)
		gone++
		if err := h.s.Mark(ctx, markOrphans, fmt.Sprint(gone)); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// drop removes one, with a record before and behind it.
func (h *hoard) drop(ctx context.Context, o orphan, row goes, res *runtime.Result) (bool, error) {
	if err := h.s.Mark(ctx, ledger.MarkRemove+o.Name, row.told()); err != nil {
		return false, err
	}
	went, found, err := removed(h.s, h.a.Asset, row, world.Of(h.s).RemoveArchive(ctx, h.s, o.origin))
	res.Facts.Findings = append(res.Facts.Findings, found...)
	if err != nil || !went {
		return false, err
	}
	h.s.Log("removed %s (%s)", row.told(), o.Name)
	return true, h.s.Mark(ctx, ledger.MarkRemoved+o.Name, row.told())
}
