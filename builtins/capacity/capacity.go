// Package capacity says how full targets and storages are, and when they will be.
package capacity

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Fullness is how long the space of a target will last. Targets on one device
// fill it together: each of them tells the growth of all.
type Fullness struct {
	Target string   `json:"target"`
	Node   string   `json:"node,omitempty"` // of a storage that each node has for itself
	With   []string `json:"with,omitempty"` // other targets on its device
	Free   int64    `json:"free"`
	Total  int64    `json:"total"`
	PerDay int64    `json:"per_day"` // bytes that came in a day of the last 30, less what was pruned; not above 0: it does not grow
	Days   float64  `json:"days"`    // -1: it does not grow, or growth is unknown
	Known  bool     `json:"known"`   // growth is known
	Error  string   `json:"error,omitempty"`
	Code   string   `json:"code,omitempty"` // of the error
	Hint   string   `json:"hint,omitempty"`

	refused bool
	device  string // its identity; "": that of no other
}

// fail notes why a target could not be asked.
func (f *Fullness) fail(err error) {
	f.Error = strings.Split(err.Error(), "\n")[0]
	f.refused = failure.Is(err, target.CodeBadTarget, ssh.CodeHostKey, target.CodeDenied, target.CodeNoSFTP, keyring.CodeSecret,
		proxmox.CodeCert, proxmox.CodeAuth)
	var e *failure.Error
	if errors.As(err, &e) {
		f.Code, f.Hint = e.Code.Name, e.Hint
	}
}

// Refused reports whether the site and the target disagree: waiting does not mend
// that, as it does where a medium is away or a server is down.
func (f Fullness) Refused() bool { return f.refused }

// Text is a line for the operator.
func (f Fullness) Text() string {
	name := f.Target
	if f.Node != "" {
		name += " on " + f.Node
	}
	if len(f.With) > 0 {
		name += " (one device with " + strings.Join(f.With, ", ") + ")"
	}
	free := fmt.Sprintf("%s: %.1f of %.1f GiB free", name, GiB(f.Free), GiB(f.Total))
	switch {
	case f.Error != "":
		return fmt.Sprintf("%s could not be asked: %s", name, strings.TrimPrefix(f.Error, "target "+f.Target+": "))
	case f.Total < 0:
		return name + " does not report its space"
	case !f.Known:
		return free + "; how fast it fills is not known yet"
	case f.Days < 0:
		return free + "; it does not grow"
	}
	return fmt.Sprintf("%s, %.1f GiB a day: %.0f days until it is full", free, GiB(f.PerDay), f.Days)
}

// GiB is a size for people.
func GiB(n int64) float64 { return float64(n) / (1 << 30) }

// DaysUntilFull asks every target for its space, storages of Proxmox by its API,
// and divides it by what the device grew lately. l may be nil.
func DaysUntilFull(ctx context.Context, w *systems.Systems, l *ledger.Ledger, now time.Time) []Fullness {
	out := storages(ctx, w)
	w.EachTarget(ctx, nil, func(ctx context.Context, name string, t *target.Target, err error) func() {
		f := Fullness{Target: name, Days: -1}
		if err == nil {
			f.device = t.Device().ID
			err = t.Answers(ctx)
		}
		if err == nil {
			f.Free, f.Total, err = t.Space(ctx)
		}
		if err != nil {
			f.fail(err)
		}
		return func() { out = append(out, f) }
	})
	sort.Slice(out, func(i, j int) bool {
		return out[i].Target < out[j].Target || out[i].Target == out[j].Target && out[i].Node < out[j].Node
	})
	if l == nil {
		return out
	}
	stays, err := staysOf(ctx, ledger.Catalog{Store: l}, now)
	if err != nil {
		for i := range out {
			if out[i].Error == "" {
				out[i].fail(err)
			}
		}
		return out
	}
	grow(out, stays, now)
	return out
}

// storages asks for the space of those that hold archives in place.
func storages(ctx context.Context, w *systems.Systems) []Fullness {
	var out []Fullness
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, spec := range w.Site.Targets {
		if !spec.Place.InPlace {
			continue
		}
		system, name := spec.Place.Storage()
		wg.Add(1)
		go func() {
			defer wg.Done()
			ctx, cancel := runtime.RealClock{}.Within(ctx, time.Minute, errors.New("it did not answer within a minute"))
			defer cancel()
			list, err := storage(ctx, w, spec.Name, system, name)
			if err != nil {
				f := Fullness{Target: spec.Name, Days: -1}
				f.fail(err)
				list = append(list, f)
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, list...)
		}()
	}
	wg.Wait()
	return out
}

// storage is the space of one on every node that is up, or once where they share it.
func storage(ctx context.Context, w *systems.Systems, label, system, name string) ([]Fullness, error) {
	c, sys, err := w.Proxmox(ctx, system)
	if err != nil {
		return nil, proxmox.Explain(system, "connect", err)
	}
	nodes, err := c.Online(ctx)
	if err != nil {
		return nil, proxmox.Explain(sys.Name, "list nodes", err)
	}
	var out []Fullness
	for _, node := range nodes {
		list, err := c.Storages(ctx, node)
		if err != nil {
			return out, proxmox.Explain(sys.Name, "list the storages of "+node, err)
		}
		for _, st := range list {
			if st.Name != name || st.Active == 0 {
				continue
			}
			origin := ledger.Origin{System: sys.Name, Node: node, Storage: name}
			if folder, err := c.StorageFolder(ctx, name); err == nil {
				origin.Path = path.Join(folder, "dump", "archive")
			}
			f := Fullness{Target: label, Node: node, Free: st.Avail, Total: st.Total, Days: -1, device: w.ArchiveDevice(origin).ID}
			if st.Shared != 0 {
				f.Node = ""
				return []Fullness{f}, nil
			}
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no node that is up shows storage %s, mounted", name)
	}
	return out, nil
}

// window is what is looked back on.
const window = 30 * 24 * time.Hour

// stay is the time that a copy spent, or spends, on its target.
type stay struct {
	target, node, device string // device "": not recorded
	bytes                int64
	came                 time.Time
	went                 time.Time // zero: it is there
}

// staysOf lists the copies that are there, and those that were removed within the
// window. Of the latter the ledger keeps the artifact: its size stands for theirs.
func staysOf(ctx context.Context, c ledger.Catalog, now time.Time) ([]stay, error) {
	arts, err := c.Artifacts(ctx, ledger.Query{})
	if err != nil {
		return nil, err
	}
	nodes := make(map[string]string, len(arts))
	for _, a := range arts {
		nodes[a.ID] = a.Origin.Node
	}
	copies, err := c.Copies(ctx, ledger.Query{})
	if err != nil {
		return nil, err
	}
	targets := map[string]bool{}
	var out []stay
	for _, x := range copies {
		if targets[x.Target] = true; x.Borrowed() {
			continue // it was there before it was counted, and its retention is somebody else's
		}
		out = append(out, stay{target: x.Target, node: nodes[x.Artifact], device: x.Device.ID, bytes: x.Bytes, came: x.Created})
	}
	gone := map[string]time.Time{}
	err = c.Rows(ctx, ledger.Query{Kind: ledger.RowRemoved}, func(r ledger.Row) error {
		if now.Sub(r.Time) <= window {
			gone[r.ID] = r.Time
		}
		return nil
	})
	if err != nil || len(gone) == 0 {
		return out, err
	}
	for _, a := range arts {
		for t := range targets {
			if at, ok := gone[ledger.CopyID(a.ID, t)]; ok {
				out = append(out, stay{target: t, node: nodes[a.ID], bytes: a.Bytes, came: a.Created, went: at})
			}
		}
	}
	return out, nil
}

// holds reports whether a stay is, or was, on the device of f.
func (f Fullness) holds(s stay) bool {
	return s.target == f.Target && (f.Node == "" || s.node == "" || s.node == f.Node) &&
		(s.device == "" || f.device == "" || s.device == f.device)
}

// grow computes the growth of each device: what came in the window and is there,
// less what was there before the window and went in it.
func grow(list []Fullness, stays []stay, now time.Time) {
	for i := range list {
		f := &list[i]
		if f.Error != "" {
			continue
		}
		group := []Fullness{*f}
		for j, o := range list {
			if j != i && o.Error == "" && f.device != "" && o.device == f.device {
				group = append(group, o)
				f.With = append(f.With, o.Target)
			}
		}
		mine := slices.DeleteFunc(slices.Clone(stays), func(s stay) bool {
			return !slices.ContainsFunc(group, func(g Fullness) bool { return g.holds(s) })
		})
		f.rate(mine, now)
	}
}

func (f *Fullness) rate(stays []stay, now time.Time) {
	var came, went int64
	oldest := now
	for _, s := range stays {
		if s.came.Before(oldest) {
			oldest = s.came
		}
		switch fresh := now.Sub(s.came) <= window; {
		case fresh && s.went.IsZero():
			came += s.bytes
		case !fresh && !s.went.IsZero():
			went += s.bytes
		}
	}
	days := min(now.Sub(oldest), window).Hours() / 24
	if days < 1 || f.Total < 0 {
		return
	}
	f.Known = true
	f.PerDay = int64(float64(came-went) / days)
	// A night more or less at the window's edges is not a growth.
	if edge := came / 20; came-went > edge && f.PerDay > 0 {
		f.Days = float64(f.Free) / float64(f.PerDay)
	}
}
