package prune

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// The storages of Proxmox hold archives that runner made and that are not copies: their run
// died before they were counted, they were refused, or a further attempt took their
// place. Nothing reads them again. And there is the opposite: copies that lie in place,
// and whose archive somebody else removed.
//
// An archive is runner's own when its notes carry the token of a step, and only that one.
// It is an orphan when the ledger knows that step, nothing counts the archive, and the run
// will make nothing more of it: it ended, or it is dead and its policy has run since. An
// archive of a run that this ledger does not know is another host's, or that of a ledger
// that was lost: it is named, and left alone.

// orphan is an archive of runner's own that is not a copy.
type orphan struct {
	Archive
	Run    string
	Target string // that counts archives of its storage, or the storage
	Origin ledger.Origin
	Token  string // that its notes carry
}

// storage is what was found on the storages of an asset's systems.
type storage struct {
	Own     int // archives that carry a token of runner
	Orphans []orphan
	Foreign []string // volumes of runs that this ledger does not know
	Missed  []string // systems that could not be asked, with the reason

	Vanished []ledger.Copy // in place, and not there any more: somebody else removed the archive

	s       *runtime.Step
	asset   string
	item    string
	catalog ledger.Catalog
	copies  map[string]bool // volumes that are copies
	counted []ledger.Copy   // copies in place that count
}

// lookThrough looks through the storages of an asset's systems; item "" means all. A
// system that does not answer is among Missed.
func lookThrough(ctx context.Context, s *runtime.Step, asset, item string) (*storage, error) {
	h := &storage{s: s, asset: asset, item: item, copies: map[string]bool{}}
	var err error
	if h.catalog, err = s.Catalog(ctx); err != nil {
		return nil, err
	}
	copies, err := h.catalog.ProvenCopies(ctx, ledger.Query{})
	if err != nil {
		return nil, err
	}
	for _, c := range copies {
		if !c.InPlace {
			continue
		}
		h.copies[c.Ref] = true
		if c.Asset == asset && c.Level >= ledger.Stored && (item == "" || c.Item == item) {
			h.counted = append(h.counted, c.Copy)
		}
	}
	for _, sys := range systems.Of(s).Site.Proxmox {
		if !slices.Contains(systems.Of(s).Site.GuestAssets(sys), asset) {
			continue
		}
		if err := h.system(ctx, sys.Name); ctx.Err() != nil {
			return nil, context.Cause(ctx)
		} else if err != nil {
			h.Missed = append(h.Missed, sys.Name+": "+failure.OneLine(err))
		}
	}
	return h, nil
}

// system looks through the storages that receive archives, on every node.
func (h *storage) system(ctx context.Context, name string) error {
	c, sys, err := systems.Of(h.s).Proxmox(ctx, name)
	if err != nil {
		return proxmox.Explain(name, "connect", err)
	}
	nodes, err := c.Online(ctx)
	if err != nil {
		return proxmox.Explain(name, "list nodes", err)
	}
	targets := storagesOf(h.s, sys.Name, sys.Storage)
	seen := map[string]bool{} // shared storages
	for _, node := range nodes {
		list, err := c.Storages(ctx, node)
		if err != nil {
			return proxmox.Explain(name, "list the storages of "+node, err)
		}
		for _, st := range list {
			target, ours := targets[st.Name]
			if !ours || st.Active == 0 || seen[st.Name] {
				continue
			}
			seen[st.Name] = st.Shared != 0
			vols, err := c.Archives(ctx, node, st.Name, 0)
			if err != nil {
				return proxmox.Explain(name, "list archives on "+st.Name+" of "+node, err)
			}
			if err := h.vanished(ctx, c, name, node, st.Name, vols); err != nil {
				return proxmox.Explain(name, "look for archives on "+st.Name+" of "+node, err)
			}
			for _, v := range vols {
				origin := ledger.Origin{System: name, Node: node, Storage: st.Name, Volume: v.VolID}
				if err := h.volume(ctx, v, target, origin); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// vanished finds copies that lie in place on a storage and are not in its list. The list
// leaves out what the token may not see: each is asked for.
func (h *storage) vanished(ctx context.Context, c *proxmox.Client, system, node, storage string, vols []proxmox.Volume) error {
	var gone []ledger.Copy
	for _, cp := range h.counted {
		art, found, err := h.catalog.Artifact(ctx, cp.Artifact)
		if err != nil {
			return err
		}
		o := art.Origin
		if !found || o.System != system || o.Node != node || o.Storage != storage ||
			slices.ContainsFunc(vols, func(v proxmox.Volume) bool { return v.VolID == o.Volume }) {
			continue
		}
		if _, err := c.Archive(ctx, node, o.Volume); proxmox.Gone(err) {
			gone = append(gone, cp)
		}
	}
	if len(vols) == 0 && len(gone) > 1 { // a folder whose disk is not mounted looks so
		h.s.Log("storage %s of %s lists no archive, and %d copies should lie there: is its disk mounted? none of them is treated as removed",
			storage, node, len(gone))
		return nil
	}
	h.Vanished = append(h.Vanished, gone...)
	return nil
}

// storagesOf maps the storages that a system's archives lie on to the target that
// counts them.
func storagesOf(s *runtime.Step, name, receives string) map[string]string {
	out := map[string]string{receives: "storage " + receives}
	for _, t := range systems.Of(s).Site.Targets {
		system, storage := t.Place.Storage()
		if t.Place.InPlace && (system == name || system == "" && len(systems.Of(s).Site.Proxmox) == 1) {
			out[storage] = t.Name
		}
	}
	return out
}

// volume sorts one archive.
func (h *storage) volume(ctx context.Context, v proxmox.Volume, target string, origin ledger.Origin) error {
	run, step, ok := ledger.TokenIn(v.Notes)
	if !ok {
		return nil
	}
	h.Own++
	if h.copies[v.VolID] || run == h.s.Run || v.Protected != 0 {
		return nil
	}
	known, done, began, err := h.through(ctx, run)
	switch {
	case err != nil:
		return err
	case !known:
		h.Foreign = append(h.Foreign, v.VolID)
		return nil
	case !done:
		return nil // it is running, or can be resumed
	}
	o := orphan{Run: run, Target: target, Origin: origin, Token: ledger.Token(run, step)}
	o.Archive = Archive{Name: v.VolID, Taken: began, Dated: time.Unix(int64(v.CTime), 0)}
	if o.Item, o.Taken, err = h.made(ctx, run, step, v, began); err != nil || o.Item == "" {
		return err
	}
	if h.item == "" || h.item == o.Item {
		h.Orphans = append(h.Orphans, o)
	}
	return nil
}

// through says whether the ledger knows a run, and whether it will make nothing
// more of what it left: it ended, or it is dead and its policy has run since.
func (h *storage) through(ctx context.Context, id string) (known, done bool, began time.Time, err error) {
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

// made says what a step saved, and when, by the ledger: "" when it knows of no
// such step, or it is not of this asset.
func (h *storage) made(ctx context.Context, run, step string, v proxmox.Volume, began time.Time) (string, time.Time, error) {
	art, found, err := h.catalog.Artifact(ctx, ledger.ArtifactID(run, step))
	if err != nil {
		return "", began, err
	}
	if found {
		if art.Asset != h.asset {
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
	arts, err := h.catalog.Artifacts(ctx, ledger.Query{Asset: h.asset})
	for _, a := range slices.Backward(arts) { // it was named by its number
		if a.Origin.Number == guest {
			return a.Item, began, err
		}
	}
	return "", began, err
}
