package proxmox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// What changes by itself, or says where an entry stands in its list.
func volatile() []string { return []string{"digest", "pos", "pending", "state", "active", "exists"} }

// part is one request of an export, and what its answer is.
type part struct {
	name    string
	path    string
	ordered bool
	object  bool // one object, not a list
	// more lists what has to be asked for each entry.
	more func(entry json.RawMessage) []part
	// optional says that older versions, or a node without the feature, answer 501,
	// 404 or 400 and mean that there is none.
	optional bool
	secrets  bool // entries may hold passwords and keys, which are not exported
}

// secretField reports names of SDN's fields that hold what its plugins log in with:
// the token of a NetBox or phpIPAM, the key of a PowerDNS.
func secretField(name string) bool {
	name = strings.ToLower(name)
	if name == "key" || name == "psk" {
		return true
	}
	return slices.ContainsFunc([]string{"token", "passw", "passphrase", "secret", "private", "api-key", "api_key", "apikey"},
		func(w string) bool { return strings.Contains(name, w) })
}

// exportAtOnce is how many requests of an export are on the way.
const exportAtOnce = 8

// Firewall exports what filters and routes packets: the firewall of cluster, nodes
// and guests, SDN, and the nodes' networks. Parts that the token may not read are
// in Missing. Guests are those that exist: Proxmox answers for others, too, as if
// they had no rules. Nodes that are not online, and their guests, are in Missing, too.
func (c *Client) Firewall(ctx context.Context, progress func(done, total int)) (*ruleset.Document, error) {
	guests, err := c.Guests(ctx)
	if err != nil {
		return nil, err
	}
	nodes, err := c.nodes(ctx)
	if err != nil {
		return nil, err
	}
	parts := clusterParts()
	d := &ruleset.Document{System: c.name, Vendor: "proxmox"}
	down := map[string]string{}
	for _, n := range nodes {
		if n.Status != "online" {
			down[n.Node] = "node " + n.Node + " is " + n.Status
			for _, p := range nodeParts(n.Node) {
				d.Miss(p.name, down[n.Node])
			}
			continue
		}
		parts = append(parts, nodeParts(n.Node)...)
	}
	for _, g := range guests {
		if why := down[g.Node]; why != "" {
			for _, p := range guestParts(g) {
				d.Miss(p.name, why)
			}
			continue
		}
		parts = append(parts, guestParts(g)...)
	}
	type guest struct {
		VMID Int    `json:"vmid"`
		Name string `json:"name"`
		Type string `json:"type"`
	}
	var list []guest
	for _, g := range guests {
		list = append(list, guest{g.VMID, g.Name, g.Type})
	}
	if err := ruleset.Add(d, "guests", false, list); err != nil {
		return nil, err
	}
	hidden, _, err := c.Hidden(ctx, guests, nil)
	if err != nil {
		return nil, err
	}
	for _, id := range hidden {
		d.Miss(fmt.Sprintf("guest/%d", id), Right{vmPath(id), []string{"VM.Audit"}}.Refusal()+": the guest is in no list")
	}
	x := &export{c: c, d: d, progress: progress, may: map[string]bool{}}
	if err := x.run(ctx, parts); err != nil {
		return nil, err
	}
	return d, nil
}

func fw(scope, path string, withGroups bool) []part {
	base := path + "/firewall"
	entries := func(kind, key string, ordered bool) func(json.RawMessage) []part {
		return func(e json.RawMessage) []part {
			var m map[string]any
			_ = json.Unmarshal(e, &m) // an entry without a name has nothing behind it
			name, _ := m[key].(string)
			if name == "" {
				return nil
			}
			return []part{{name: scope + "/" + kind + "/" + name, path: base + "/" + kind + "/" + url.PathEscape(name), ordered: ordered}}
		}
	}
	out := []part{
		{name: scope + "/options", path: base + "/options", object: true},
		{name: scope + "/rules", path: base + "/rules", ordered: true},
	}
	if scope[:4] != "node" {
		out = append(out, part{name: scope + "/aliases", path: base + "/aliases"},
			part{name: scope + "/ipset", path: base + "/ipset", more: entries("ipset", "name", false)})
	}
	if withGroups {
		out = append(out, part{name: scope + "/groups", path: base + "/groups", more: entries("groups", "group", true)})
	}
	return out
}

func clusterParts() []part {
	out := fw("cluster", "/cluster", true)
	for _, kind := range []string{"zones", "controllers", "ipams", "dns"} {
		out = append(out, part{name: "sdn/" + kind, path: "/cluster/sdn/" + kind, secrets: true})
	}
	return append(out,
		part{name: "sdn/vnets", path: "/cluster/sdn/vnets", more: func(e json.RawMessage) []part {
			var v struct{ Vnet string }
			_ = json.Unmarshal(e, &v) // a vnet without a name has nothing behind it
			if v.Vnet == "" {
				return nil
			}
			base := "/cluster/sdn/vnets/" + url.PathEscape(v.Vnet)
			return []part{
				{name: "sdn/vnets/" + v.Vnet + "/subnets", path: base + "/subnets"},
				{name: "sdn/vnets/" + v.Vnet + "/options", path: base + "/firewall/options", object: true, optional: true},
				{name: "sdn/vnets/" + v.Vnet + "/rules", path: base + "/firewall/rules", ordered: true, optional: true},
			}
		}},
		part{name: "sdn/fabrics", path: "/cluster/sdn/fabrics/all", object: true, optional: true, secrets: true},
		part{name: "sdn/prefix-lists", path: "/cluster/sdn/prefix-lists", optional: true},
		part{name: "sdn/route-maps", path: "/cluster/sdn/route-maps/entries", optional: true})
}

func nodeParts(node string) []part {
	out := fw("node/"+node, "/nodes/"+url.PathEscape(node), false)
	return append(out, part{name: "node/" + node + "/network", path: "/nodes/" + url.PathEscape(node) + "/network"})
}

func guestParts(g Guest) []part {
	return fw(fmt.Sprintf("guest/%d", g.VMID), fmt.Sprintf("/nodes/%s/%s/%d", url.PathEscape(g.Node), g.Type, g.VMID), false)
}

// export runs the requests, a few at once.
type export struct {
	c        *Client
	progress func(done, total int)

	mu          sync.Mutex
	may         map[string]bool // path -> whether what is filtered by a right there is whole
	d           *ruleset.Document
	done, total int
	err         error
}

func (x *export) run(ctx context.Context, parts []part) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	x.total += len(parts)
	queue := make(chan part)
	var wg sync.WaitGroup
	for range exportAtOnce {
		wg.Go(func() {
			for p := range queue {
				if err := x.one(ctx, p); err != nil {
					x.mu.Lock()
					if x.err == nil {
						x.err = err
					}
					x.mu.Unlock()
					cancel()
				}
			}
		})
	}
	for _, p := range parts {
		select {
		case queue <- p:
		case <-ctx.Done():
		}
	}
	close(queue)
	wg.Wait()
	if x.err != nil {
		return x.err
	}
	return context.Cause(ctx)
}

// one asks for a part, and for what is behind its entries.
func (x *export) one(ctx context.Context, p part) error {
	right, filtered, err := x.filtered(ctx, p)
	if err != nil {
		return fmt.Errorf("read the rights to %s: %w", p.name, err)
	}
	if filtered {
		return x.miss(p, right.Refusal()+": Proxmox leaves out what the token may not see, and says nothing")
	}
	entries, err := x.ask(ctx, p)
	var api *Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &api) && p.optional && (api.Status == 501 || api.Status == 404 || api.Status == 400):
		return x.add(p, nil)
	case errors.As(err, &api) && strings.Contains(api.Error(), "invalid vnet"):
		return x.miss(p, "the vnet was made and not applied yet ("+api.Error()+"): pvesh set /cluster/sdn applies it")
	case errors.As(err, &api) && (api.Status == 403 || api.Status == 501 || api.Status == 500 && !strings.Contains(api.Error(), "timeout")):
		return x.miss(p, api.Error())
	case err != nil:
		return fmt.Errorf("read %s: %w", p.name, err)
	}
	if err := x.add(p, entries); err != nil || p.more == nil {
		return err
	}
	for _, e := range entries {
		for _, m := range p.more(e) {
			x.mu.Lock()
			x.total++
			x.mu.Unlock()
			if err := x.one(ctx, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// miss notes a part that could not be read: the others are worth having.
func (x *export) miss(p part, why string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.d.Miss(p.name, why)
	x.reported()
	return nil
}

// filtered reports the right whose lack would make an answer shorter than the truth.
func (x *export) filtered(ctx context.Context, p part) (Right, bool, error) {
	right, ok := filterOf(p.path)
	if !ok {
		return right, false, nil
	}
	x.mu.Lock()
	may, asked := x.may[right.Path]
	x.mu.Unlock()
	if !asked {
		var err error
		if may, err = x.c.May(ctx, right); err != nil {
			return right, false, err
		}
		x.mu.Lock()
		x.may[right.Path] = may
		x.mu.Unlock()
	}
	return right, !may, nil
}

func (x *export) ask(ctx context.Context, p part) ([]json.RawMessage, error) {
	if p.object {
		var one json.RawMessage
		if err := x.c.Get(ctx, p.path, &one); err != nil {
			return nil, err
		}
		return []json.RawMessage{one}, nil
	}
	var list []json.RawMessage
	err := x.c.Get(ctx, p.path, &list)
	return list, err
}

func (x *export) add(p part, entries []json.RawMessage) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reported()
	for i := range entries {
		if !p.secrets {
			break
		}
		clean, gone, err := ruleset.Redact(entries[i], secretField)
		if err != nil {
			return fmt.Errorf("read %s: %w", p.name, err)
		}
		for _, field := range gone {
			what := p.name + " " + field
			if !slices.ContainsFunc(x.d.Missing, func(m ruleset.Missing) bool { return m.Part == what }) {
				x.d.Miss(what, "it is a secret, and not exported: keep it in the keyring, and set it by hand after a recovery")
			}
		}
		entries[i] = clean
	}
	return ruleset.Add(x.d, p.name, p.ordered, entries, volatile()...)
}

func (x *export) reported() {
	x.done++
	if x.progress != nil {
		x.progress(x.done, x.total)
	}
}
