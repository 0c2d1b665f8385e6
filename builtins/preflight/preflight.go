// Package preflight tries everything that a night will need: rights, storages, ways to
// archives, hosts, keys, space. All faults are found at once.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/neosofia/runner/builtins/capacity"
	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/guests"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// Needs is what policies are going to do.
type Needs struct {
	Guests   bool // guests of Proxmox are saved
	Firewall bool // firewalls are exported, of Proxmox, hosts, Cloudflare and consoles
	Zones    bool // DNS zones are exported
	Images   bool // rescue images of hosts are made
	Logs     bool // logs of hosts are shipped
	Files    bool // files of hosts are saved
	Restores bool // guests are brought back by way of the API

	FilesAsset string   // the asset of files, where policies name none
	Paths      []string // of this machine, as policies name them
}

// Fault is something that would keep a night from its work, or, as a note, something to
// know before it. Untried says that what is behind it was not looked at: a host was down.
type Fault struct {
	System string `json:"system"`
	Text   string `json:"text"`
	Hint   string `json:"hint,omitempty"`
	Note   bool   `json:"note,omitempty"`

	Untried bool `json:"untried,omitempty"`
}

// Night tries everything that the policies will need of the site's systems, and changes
// nothing: of Proxmox the token and its rights, guest by guest, the storage, the way to
// the archives; of others the login or the secret. It goes on after a fault: all are reported
// at once.
func Night(ctx context.Context, w *systems.Systems, catalog ledger.Catalog, needs Needs) []Fault {
	out := others(ctx, w, needs)
	shared, err := lookAtDisks(ctx, w, catalog, needs)
	if err != nil {
		out = append(out, FaultOf("this machine", err))
	}
	out = append(out, shared...)
	out = append(out, budgets(ctx, catalog, w.Site.Demands, now())...)
	if !needs.Guests && !needs.Firewall && !needs.Restores {
		return out
	}
	for _, sys := range w.Site.Proxmox {
		n := &night{w: w, sys: sys, catalog: catalog}
		ctx, cancel := within(ctx)
		if err := n.look(ctx, needs); err != nil {
			n.fail(proxmox.Explain(sys.Name, "ask what the night will need", err))
		}
		cancel()
		out = append(out, n.faults...)
	}
	return out
}

// within bounds the look at one system.
func within(ctx context.Context) (context.Context, context.CancelFunc) {
	return runtime.RealClock{}.Within(ctx, 2*time.Minute, errors.New("it did not answer within two minutes"))
}

func now() time.Time { return runtime.RealClock{}.Now() }

// night is the look at one system.
type night struct {
	w       *systems.Systems
	sys     *site.Proxmox
	c       *proxmox.Client
	catalog ledger.Catalog
	items   map[proxmox.Int]string // that the copies of guests are recorded under
	faults  []Fault
}

func (n *night) add(note bool, hint, format string, args ...any) {
	n.faults = append(n.faults, Fault{System: n.sys.Name, Text: fmt.Sprintf(format, args...), Hint: hint, Note: note})
}

func (n *night) fail(err error) {
	n.faults = append(n.faults, FaultOf(n.sys.Name, err))
}

// lacks says of a right that is missing, and for what.
func (n *night) lacks(ctx context.Context, what string, rights ...proxmox.Right) error {
	for _, r := range rights {
		may, err := n.c.May(ctx, r)
		if err != nil {
			return err
		}
		if !may {
			n.add(false, proxmox.RightHint(n.sys.TokenID, r.Refusal()), "%s: %s", what, r.Refusal())
		}
	}
	return nil
}

func right(path string, privileges ...string) proxmox.Right {
	return proxmox.Right{Path: path, Privileges: privileges}
}

func (n *night) look(ctx context.Context, needs Needs) (err error) {
	if n.c, _, err = n.w.Proxmox(ctx, n.sys.Name); err != nil {
		return err
	}
	if _, err := n.c.Version(ctx); err != nil {
		return err
	}
	if err := n.lacks(ctx, "guests are not listed without it", right("/vms", "VM.Audit")); err != nil {
		return err
	}
	all := len(n.faults) == 0
	if needs.Firewall {
		if err := n.lacks(ctx, "the export of the firewall is not whole without it", right("/", "Sys.Audit"),
			right("/sdn/zones", "SDN.Audit", "SDN.Allocate")); err != nil {
			return err
		}
	}
	if needs.Restores {
		if err := n.restores(ctx); err != nil {
			return err
		}
	}
	if !needs.Guests {
		return nil
	}
	list, err := n.c.Guests(ctx)
	if err != nil {
		return err
	}
	roster, err := guests.Foresee(ctx, n.w, n.catalog, n.c, n.sys, list)
	if err != nil {
		return err
	}
	n.items = map[proxmox.Int]string{}
	for _, g := range roster.Guests {
		n.items[g.VMID] = g.Item
	}
	var hidden []proxmox.Int
	if all { // without the right to all, every one would be reported
		if hidden, _, err = n.c.Hidden(ctx, list, nil); err != nil {
			return err
		}
	}
	for _, id := range hidden {
		if _, excused := n.w.Site.Demands.Excused(fmt.Sprint(id), now()); !excused {
			r := right(fmt.Sprintf("/vms/%d", id), "VM.Audit")
			n.add(false, proxmox.RightHint(n.sys.TokenID, r.Refusal()), "guest %d exists, and the token may not see it: it is not saved: %s", id,
				r.Refusal())
		}
	}
	if err := n.lacks(ctx, "no archive can be made or read without it",
		right("/storage/"+n.sys.Storage, "Datastore.AllocateSpace")); err != nil {
		return err
	}
	n.sorted(roster.Guests)
	return errors.Join(n.guests(ctx, list), n.storage(ctx, list))
}

// restores looks for the rights that make a guest, wherever the token has them: for
// which VMID and on which bridge is seen when it is done.
func (n *night) restores(ctx context.Context) error {
	perms, err := n.c.Permissions(ctx)
	if err != nil {
		return err
	}
	anywhere := func(privilege string, below ...string) bool {
		for at, have := range perms {
			if _, has := have[privilege]; has && slices.ContainsFunc(below,
				func(b string) bool { return at == "/" || strings.HasPrefix(at+"/", b+"/") }) {
				return true
			}
		}
		return false
	}
	for _, want := range []struct {
		right proxmox.Right
		also  string
	}{{right("/vms", "VM.Allocate"), "/pool"}, {right("/sdn/zones/localnetwork", "SDN.Use"), "/sdn"}} {
		if r := want.right; !anywhere(r.Privileges[0], r.Path, want.also) {
			n.add(false, proxmox.RightHint(n.sys.TokenID, r.Refusal()), "restore_vm makes no guest without it: %s", r.Refusal())
		}
	}
	return nil
}

// guests looks at the right to save each guest, and at what a restore of each would want.
func (n *night) guests(ctx context.Context, guests []proxmox.Guest) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var unsaved, privileged, bound []string
	var failed error
	slots := make(chan struct{}, 8)
	for _, g := range guests {
		if n.excused(g) || g.Status == "node down" {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			may, err := n.c.May(ctx, right(fmt.Sprintf("/vms/%d", g.VMID), "VM.Backup"))
			config := map[string]string{}
			if err == nil && g.Type == "lxc" {
				config, err = n.c.GuestConfig(ctx, g)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil && failed == nil {
				failed = err
			}
			who := fmt.Sprintf("%d (%s)", g.VMID, g.Name)
			if !may && err == nil {
				unsaved = append(unsaved, fmt.Sprint(g.VMID))
			}
			if g.Type == "lxc" && err == nil && config["unprivileged"] != "1" {
				privileged = append(privileged, who)
			}
			if hasBind(config) {
				bound = append(bound, who)
			}
		})
	}
	wg.Wait()
	for _, list := range [][]string{unsaved, privileged, bound} {
		slices.Sort(list)
	}
	if len(unsaved) > 0 {
		r := right("/vms/"+unsaved[0], "VM.Backup")
		if len(unsaved) > 1 {
			r.Path = "/vms"
		}
		n.add(false, proxmox.RightHint(n.sys.TokenID, r.Refusal()), "no backup of guest %s is allowed: %s", strings.Join(unsaved, ", "),
			r.Refusal())
	}
	if len(privileged) > 0 {
		n.add(true, restoreHint, "restore_vm of a privileged container wants Sys.Modify on /, which a token better has not: %s",
			strings.Join(privileged, ", "))
	}
	if len(bound) > 0 {
		n.add(true, restoreHint, "Proxmox lets root@pam alone restore a container with a bind mount: %s", strings.Join(bound, ", "))
	}
	return failed
}

// restoreHint is the way that needs no token.
const restoreHint = "as root on the node: pct restore NEWID ARCHIVE --storage STORAGE (runner recover --commands prints it)"

func hasBind(config map[string]string) bool {
	for key, value := range config {
		if strings.HasPrefix(key, "mp") && strings.HasPrefix(value, "/") {
			return true
		}
	}
	return false
}

// storage looks at the one that receives archives, on every node that has guests, and at
// the way by which they are read.
func (n *night) storage(ctx context.Context, guests []proxmox.Guest) error {
	name := n.sys.Storage
	folder, ferr := n.c.StorageFolder(ctx, name)
	need, err := n.lastNight(ctx, guests)
	if err != nil {
		return err
	}
	var nodes []string
	for _, g := range guests {
		if g.Status != "node down" && !slices.Contains(nodes, g.Node) {
			nodes = append(nodes, g.Node)
		}
	}
	for _, node := range nodes {
		st, err := n.c.StorageOf(ctx, node, name)
		if err != nil {
			n.fail(err)
			continue
		}
		where := "storage " + name + " on " + node
		switch {
		case st.Enabled == 0:
			n.add(false, "pvesm set "+name+" --disable 0", "%s is disabled", where)
			continue
		case st.Active == 0:
			n.add(false, "pvesm status on the node", "%s is not mounted", where)
			continue
		case !slices.Contains(strings.Split(st.Content, ","), "backup"):
			n.add(false, "pvesm set "+name+" --content "+st.Content+",backup", "%s is not for backups: its content is %s", where, st.Content)
			continue
		case st.Avail < max(need[node], 1):
			n.add(false, "free space there: prune(…, apply = True), keep_on_storage",
				"%s has %.1f GiB free, and the newest archives of its guests have %.1f GiB", where, capacity.GiB(st.Avail), capacity.GiB(need[node]))
		}
		if err := n.limits(ctx, node, where); err != nil {
			return err
		}
		if ferr != nil {
			continue
		}
		if err := n.w.ReachArchives(ctx, n.sys.Name, node, path.Join(folder, "dump")); err != nil {
			n.fail(err)
		}
	}
	if ferr != nil && len(nodes) > 0 {
		n.fail(ferr)
	}
	return n.jobs(ctx)
}

// limits looks at what the storage and the node set for every vzdump.
func (n *night) limits(ctx context.Context, node, where string) error {
	keep, err := n.c.PruneOf(ctx, node, n.sys.Storage)
	if err != nil {
		return err
	}
	if keep != "" && keep != "keep-all=1" {
		n.add(false, "pvesm set "+n.sys.Storage+" --prune-backups keep-all=1, and let runner prune",
			"%s keeps %s by its own rule: vzdump makes no archive beyond it, and other jobs remove by it", where, keep)
	}
	d, err := n.c.BackupDefaults(ctx, node, n.sys.Storage)
	if err != nil {
		return err
	}
	if len(d.ExcludePath) > 0 {
		n.add(true, "accept_gap(…) in site.star, or take it out there", "/etc/vzdump.conf of %s leaves files of every container out: %s", node,
			strings.Join(d.ExcludePath, ", "))
	}
	return nil
}

// jobs looks at the cluster's own jobs, which may remove runner's archives: they count
// the archives of a guest, whoever made them.
func (n *night) jobs(ctx context.Context) error {
	list, err := n.c.Jobs(ctx)
	var api *proxmox.Error
	if errors.As(err, &api) && api.Status == 403 {
		n.add(true, proxmox.RightHint(n.sys.TokenID, api.Error()), "whether a job of Proxmox itself prunes on %s cannot be seen: %s",
			n.sys.Storage, api.Error())
		return nil
	}
	if err != nil {
		return err
	}
	for _, j := range list {
		var keep []string
		for k, v := range j.Prune {
			keep = append(keep, k+"="+v)
		}
		slices.Sort(keep)
		if text := strings.Join(keep, ","); j.Storage == n.sys.Storage && !j.Off() && text != "" && text != "keep-all=1" {
			n.add(true, "give that job a storage of its own, or --prune-backups keep-all=1",
				"Proxmox's own job %s prunes on %s (%s): it removes archives of runner, too", j.ID, j.Storage, text)
		}
	}
	return nil
}

// lastNight sums the newest archives of the guests of each node.
func (n *night) lastNight(ctx context.Context, guests []proxmox.Guest) (map[string]int64, error) {
	var arts []ledger.Artifact
	for _, asset := range n.w.Site.GuestAssets(n.sys) {
		list, err := n.catalog.Artifacts(ctx, ledger.Query{Asset: asset})
		if err != nil {
			return nil, err
		}
		arts = append(arts, list...)
	}
	slices.SortStableFunc(arts, func(a, b ledger.Artifact) int { return a.Created.Compare(b.Created) })
	bytes := map[string]int64{} // the newest of each VMID is the last
	for _, a := range arts {
		bytes[a.Origin.Number] = a.Bytes
	}
	out := map[string]int64{}
	for _, g := range guests {
		if !n.excused(g) {
			out[g.Node] += bytes[fmt.Sprint(g.VMID)]
		}
	}
	return out, nil
}
