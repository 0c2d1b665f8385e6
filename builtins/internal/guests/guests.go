// Package guests knows the guests of a cluster by what does not change.
//
// A guest's copies are recorded under an item, and that is its name at the time when it
// was first seen. From then on cluster and VMID keep the item: another guest of the same
// name, here or in another cluster, gets its VMID added, and a guest that is renamed
// keeps its history. Where name and VMID disagree, the guest's identity decides (a VM's
// UUID, the MAC addresses of a container): another guest that took an old VMID begins anew.
//
// Proxmox leaves guests out of its lists that the token may not audit. They are looked
// for by their VMIDs, and are in Hidden.
package guests

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Guest is one of a roster.
type Guest struct {
	proxmox.Guest
	Item    string // under which its copies are recorded
	Asset   string // that it belongs to; "": none
	matches []site.Match
}

// Shown is the name that the guest has now, where it is not that of its item.
func (g Guest) Shown() string {
	if g.Name == "" || named(g.Item, g.Guest) {
		return ""
	}
	return g.Name
}

// Roster is the guests of one cluster.
type Roster struct {
	Guests []Guest // by VMID
	Hidden []Guest // in use, and not to be seen: VMID and Item alone
	Whole  bool    // every VMID that could be hidden was asked for

	past past
}

// Read lists the guests that the token sees, with the items that they are.
func Read(ctx context.Context, s *runtime.Step, c *proxmox.Client, sys *site.Proxmox) (*Roster, error) {
	list, err := c.Guests(ctx)
	if err != nil {
		return nil, proxmox.Explain(sys.Name, "list guests", err)
	}
	known, err := systems.Of(s).Once("guests of "+sys.Name+" before "+s.Run, func() (any, error) {
		catalog, err := s.Catalog(ctx)
		if err != nil {
			return nil, err
		}
		return remember(ctx, systems.Of(s), catalog, sys)
	})
	if err != nil {
		return nil, err
	}
	return known.(past).roster(ctx, systems.Of(s).Site, c, sys, list)
}

// Foresee names and sorts guests that were listed, outside a run.
func Foresee(ctx context.Context, w *systems.Systems, catalog ledger.Catalog, c *proxmox.Client, sys *site.Proxmox,
	list []proxmox.Guest) (*Roster, error) {
	known, err := remember(ctx, w, catalog, sys)
	if err != nil {
		return nil, err
	}
	return known.roster(ctx, w.Site, c, sys, list)
}

func (p past) roster(ctx context.Context, here *site.Site, c *proxmox.Client, sys *site.Proxmox, list []proxmox.Guest) (*Roster, error) {
	r := &Roster{past: p}
	if err := r.name(ctx, c, sys, list); err != nil {
		return nil, err
	}
	return r, r.sort(ctx, here, c, sys)
}

// sort finds the asset that each guest belongs to.
func (r *Roster) sort(ctx context.Context, here *site.Site, c *proxmox.Client, sys *site.Proxmox) (err error) {
	pools := map[proxmox.Int]string{}
	if here.UsesPools() {
		if pools, err = c.Pools(ctx); err != nil {
			return proxmox.Explain(sys.Name, "list the pools of guests", err)
		}
	}
	for i := range r.Guests {
		g := &r.Guests[i]
		g.matches = here.Matches(site.Traits{Names: []string{g.Item, g.Name, fmt.Sprint(g.VMID)}, Tags: g.TagList(), Pool: pools[g.VMID]})
		g.Asset = here.AssetOf(sys, g.matches)
	}
	return nil
}

// Look finds what is hidden.
func (r *Roster) Look(ctx context.Context, c *proxmox.Client, sys *site.Proxmox) error {
	var listed []proxmox.Guest
	for _, g := range r.Guests {
		listed = append(listed, g.Guest)
	}
	var also []proxmox.Int
	for id := range r.past.mine {
		also = append(also, id)
	}
	slices.Sort(also)
	hidden, whole, err := c.Hidden(ctx, listed, also)
	if err != nil {
		return proxmox.Explain(sys.Name, "look for guests that the token may not see", err)
	}
	r.Whole = whole
	for _, id := range hidden {
		item := fmt.Sprint(id)
		if was, ok := r.past.mine[id]; ok {
			item = was.item
		}
		r.Hidden = append(r.Hidden, Guest{Guest: proxmox.Guest{VMID: id}, Item: item, Asset: cmp.Or(r.past.mine[id].asset, sys.Asset)})
	}
	return nil
}

// Find returns the guest that a word means: its item, its VMID, or the name that it has
// now, if no other has it.
func (r *Roster) Find(word string) (Guest, bool) {
	for _, means := range []func(g Guest) bool{
		func(g Guest) bool { return g.Item == word },
		func(g Guest) bool { return fmt.Sprint(g.VMID) == word },
		func(g Guest) bool { return g.Name == word },
	} {
		var found []Guest
		for _, g := range r.Guests {
			if means(g) {
				found = append(found, g)
			}
		}
		if len(found) == 1 {
			return found[0], true
		}
	}
	return Guest{}, false
}

// Missing says why a guest is not found: it is not there, or it is hidden.
func (r *Roster) Missing(ctx context.Context, c *proxmox.Client, sys *site.Proxmox, word string) error {
	doing := "find guest " + word
	ids := []proxmox.Int{}
	if n, err := strconv.ParseInt(word, 10, 64); err == nil {
		ids = append(ids, proxmox.Int(n))
	}
	for id, was := range r.past.mine {
		if was.item == word {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		if taken, err := c.Taken(ctx, id); err == nil && taken {
			return hiddenError(sys, doing, id)
		}
	}
	return proxmox.Explain(sys.Name, doing, &proxmox.NoGuestError{Guest: word, Seen: len(r.Guests)})
}

// hiddenError says that a guest is there and not to be seen.
func hiddenError(sys *site.Proxmox, doing string, id proxmox.Int) error {
	right := proxmox.Right{Path: fmt.Sprintf("/vms/%d", id), Privileges: []string{"VM.Audit"}}
	return &failure.Error{Code: proxmox.CodeAuth, System: "proxmox " + sys.Name, Doing: doing,
		Said: fmt.Sprintf("VMID %d is in use by a guest that the token may not see: %s", id, right.Refusal()),
		Hint: proxmox.RightHint(sys.TokenID, right.Refusal())}
}

// name gives every guest its item.
func (r *Roster) name(ctx context.Context, c *proxmox.Client, sys *site.Proxmox, list []proxmox.Guest) error {
	taken := map[string]bool{}
	for item := range r.past.others {
		taken[item] = true
	}
	var fresh []proxmox.Guest
	for _, g := range list {
		was, known := r.past.mine[g.VMID]
		if known && !named(was.item, g) && was.identity != "" {
			config, err := c.GuestConfig(ctx, g)
			if err != nil && !proxmox.Moved(err) {
				return proxmox.Explain(sys.Name, fmt.Sprintf("read the configuration of guest %d, whose name changed", g.VMID), err)
			}
			now := Identity(g.Type, config)
			known = now == "" || Same(was.identity, now)
		}
		if was.item != "" {
			taken[was.item] = true
		}
		if !known {
			fresh = append(fresh, g)
			continue
		}
		r.Guests = append(r.Guests, Guest{Guest: g, Item: was.item})
	}
	for id, was := range r.past.mine {
		if !slices.ContainsFunc(list, func(g proxmox.Guest) bool { return g.VMID == id }) {
			taken[was.item] = true // of a guest that is not there: a new one does not inherit
		}
	}
	for _, g := range fresh {
		r.Guests = append(r.Guests, Guest{Guest: g, Item: newItem(g, list, taken, sys.Name)})
	}
	sort.Slice(r.Guests, func(i, j int) bool { return r.Guests[i].VMID < r.Guests[j].VMID })
	return nil
}

// newItem names a guest that was never recorded: by its name, with its VMID where
// another has that, or had it, and with its cluster where even that is taken.
func newItem(g proxmox.Guest, list []proxmox.Guest, taken map[string]bool, system string) string {
	id := fmt.Sprint(g.VMID)
	names := []string{g.Name, g.Name + "-" + id, g.Name + "-" + id + "@" + system}
	if g.Name == "" {
		names = []string{id, id + "@" + system}
	} else if slices.ContainsFunc(list, func(o proxmox.Guest) bool { return o.Name == g.Name && o.VMID != g.VMID }) {
		names = names[1:]
	}
	for _, n := range names {
		if !taken[n] {
			taken[n] = true
			return n
		}
	}
	return names[len(names)-1]
}

// named reports whether an item is one of those that a guest gets by its name.
func named(item string, g proxmox.Guest) bool {
	id := fmt.Sprint(g.VMID)
	item, _, _ = strings.Cut(item, "@")
	return item == g.Name || item == id || item == g.Name+"-"+id
}

// Identity is what of a configuration stays with the guest, whatever it is called.
func Identity(guestType string, config map[string]string) string {
	if guestType == "qemu" {
		for part := range strings.SplitSeq(config["smbios1"], ",") {
			if uuid, ok := strings.CutPrefix(part, "uuid="); ok {
				return uuid
			}
		}
		return ""
	}
	var macs []string
	for key, value := range config {
		if !strings.HasPrefix(key, "net") {
			continue
		}
		for part := range strings.SplitSeq(value, ",") {
			if mac, ok := strings.CutPrefix(part, "hwaddr="); ok {
				macs = append(macs, strings.ToUpper(mac))
			}
		}
	}
	sort.Strings(macs)
	return strings.Join(macs, " ")
}

// Same reports whether two identities have anything in common.
func Same(a, b string) bool {
	for _, x := range strings.Fields(a) {
		if slices.Contains(strings.Fields(b), x) {
			return true
		}
	}
	return false
}

// past is what the ledger knows of an asset's guests.
type past struct {
	mine   map[proxmox.Int]was // of this cluster
	others map[string]bool     // items of other clusters
}

type was struct{ item, identity, asset string }

func remember(ctx context.Context, w *systems.Systems, catalog ledger.Catalog, sys *site.Proxmox) (past, error) {
	p := past{mine: map[proxmox.Int]was{}, others: map[string]bool{}}
	var arts []ledger.Artifact
	for _, asset := range w.Site.GuestAssets(sys) {
		list, err := catalog.Artifacts(ctx, ledger.Query{Asset: asset})
		if err != nil {
			return p, err
		}
		arts = append(arts, list...)
	}
	slices.SortStableFunc(arts, func(a, b ledger.Artifact) int { return a.Created.Compare(b.Created) })
	var others []string
	for _, o := range w.Site.Proxmox {
		others = append(others, o.Name)
	}
	for _, a := range arts { // the newest of a guest counts
		system, id, ok := sourceOf(a.Source)
		switch {
		case !ok:
		case system == sys.Name, !slices.Contains(others, system): // one that the site does not name was renamed
			p.mine[id] = was{a.Item, a.Origin.Identity, a.Asset}
		default:
			p.others[a.Item] = true
		}
	}
	return p, nil
}

// sourceOf reads "pve:qemu/100".
func sourceOf(source string) (system string, vmid proxmox.Int, ok bool) {
	system, rest, found := strings.Cut(source, ":")
	_, id, both := strings.Cut(rest, "/")
	n, err := strconv.ParseInt(id, 10, 64)
	return system, proxmox.Int(n), found && both && err == nil
}
