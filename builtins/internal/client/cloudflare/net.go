package cloudflare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/cloudflare/cloudflare-go/v7/firewall"
	"github.com/cloudflare/cloudflare-go/v7/option"
	"github.com/cloudflare/cloudflare-go/v7/page_rules"
	"github.com/cloudflare/cloudflare-go/v7/rules"
	"github.com/cloudflare/cloudflare-go/v7/rulesets"

	"github.com/neosofia/runner/builtins/internal/format/strictjson"
)

// NetExport is what an account and zones hold beside DNS records: what is let
// through, and to where. Objects are canonical JSON, in a stable order. A tunnel's
// token is never read: a new one is made with a new tunnel.
type NetExport struct {
	Account         string            `json:"account"` // id
	Lists           []List            `json:"lists"`
	Rulesets        []json.RawMessage `json:"rulesets"` // of the account, with rules; of managed ones id and version
	AccessRules     []json.RawMessage `json:"access_rules"`
	Tunnels         []Tunnel          `json:"tunnels"`
	Routes          []json.RawMessage `json:"routes"`
	VirtualNetworks []json.RawMessage `json:"virtual_networks"`
	Zones           []NetZone         `json:"zones"`
	Missing         []Missing         `json:"missing"`
}

// List is a list of addresses, hosts or redirects with its items.
type List struct {
	List  json.RawMessage   `json:"list"`
	Items []json.RawMessage `json:"items"`
}

// Tunnel is a tunnel with its ingress rules.
type Tunnel struct {
	Tunnel json.RawMessage `json:"tunnel"`
	Config json.RawMessage `json:"config,omitempty"` // none: the tunnel's own machine has them
}

// NetZone is what one zone holds.
type NetZone struct {
	Name        string            `json:"name"`
	ID          string            `json:"id"`
	Rulesets    []json.RawMessage `json:"rulesets"`
	AccessRules []json.RawMessage `json:"access_rules"`
	PageRules   []json.RawMessage `json:"page_rules"`
}

// JSON is the export as one document, the same for the same state.
func (x NetExport) JSON() ([]byte, error) {
	raw, err := marshal(x)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", " "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// maxExport bounds a document that is read back.
const maxExport = 64 << 20

// ReadNet reads what JSON has written, completely.
func ReadNet(r io.Reader) (NetExport, error) {
	var x NetExport
	if err := strictjson.Read(r, maxExport, &x); err != nil {
		return x, fmt.Errorf("read networking export: %w", err)
	}
	return x, nil
}

// Networking reads the account that has the zones, and the zones. account may be
// "": then it is the one of the first zone.
func (s *Session) Networking(ctx context.Context, account string, names []string) (NetExport, error) {
	x := NetExport{Account: account}
	for _, name := range names {
		z, err := s.find(ctx, name, account)
		if err != nil {
			return x, err
		}
		if x.Account == "" {
			x.Account = z.Account
		}
		x.Zones = append(x.Zones, NetZone{Name: z.Name, ID: z.ID})
	}
	if err := ids(x.Account); err != nil {
		return x, err
	}
	for _, read := range []func(context.Context, *NetExport) error{s.accountRules, s.tunnels} {
		if err := read(ctx, &x); err != nil {
			return x, err
		}
	}
	for i := range x.Zones {
		if err := s.zoneRules(ctx, &x, &x.Zones[i]); err != nil {
			return x, err
		}
	}
	return x, nil
}

// without notes a part that is not to be had; other errors stay.
func (x *NetExport) without(part string, err error) error {
	why, ok := absent(err)
	if !ok {
		return err
	}
	x.Missing = append(x.Missing, Missing{part, why})
	return nil
}

// owner is an account or a zone.
type owner struct{ account, zone string }

func (o owner) String() string {
	if o.zone != "" {
		return "zone " + o.zone
	}
	return "account " + o.account
}

// part reads one list into place: canonical, in order.
func (x *NetExport) part(name string, into *[]json.RawMessage, list []json.RawMessage, err error, without ...string) error {
	if err != nil {
		return x.without(name, err)
	}
	for i, raw := range list {
		if list[i], err = Canonical(raw, without...); err != nil {
			return err
		}
	}
	*into, err = sorted(list, idOf)
	return err
}

func (s *Session) accountRules(ctx context.Context, x *NetExport) error {
	o := owner{account: x.Account}
	sets, err := s.rulesets(ctx, o)
	if err := x.part("rulesets of the account", &x.Rulesets, sets, err); err != nil {
		return err
	}
	access, err := s.accessRules(ctx, o)
	if err := x.part("access rules of the account", &x.AccessRules, access, err); err != nil {
		return err
	}
	svc := rules.NewListService(s.c.opts...)
	lists, err := s.whole(ctx, library(func(ctx context.Context, opts ...option.RequestOption) (any, error) {
		var p rules.ListListParams
		p.AccountID.Value, p.AccountID.Present = x.Account, true
		return svc.List(ctx, p, opts...)
	}))
	var plain []json.RawMessage
	if err := x.part("lists", &plain, lists, err); err != nil {
		return err
	}
	for _, raw := range plain {
		l := List{List: raw}
		id, err := idOf(raw)
		if err == nil {
			err = ids(id)
		}
		if err != nil {
			return err
		}
		items, err := s.cursors(ctx, "items of list "+id, library(func(ctx context.Context, opts ...option.RequestOption) (any, error) {
			var p rules.ListItemListParams
			p.AccountID.Value, p.AccountID.Present = x.Account, true
			return svc.Items.List(ctx, id, p, opts...)
		}))
		if err := x.part("items of list "+id, &l.Items, items, err); err != nil {
			return err
		}
		x.Lists = append(x.Lists, l)
	}
	return nil
}

func (s *Session) zoneRules(ctx context.Context, x *NetExport, z *NetZone) error {
	o := owner{zone: z.ID}
	sets, err := s.rulesets(ctx, o)
	if err := x.part("rulesets of "+z.Name, &z.Rulesets, sets, err); err != nil {
		return err
	}
	access, err := s.accessRules(ctx, o)
	if err := x.part("access rules of "+z.Name, &z.AccessRules, access, err); err != nil {
		return err
	}
	svc := page_rules.NewPageRuleService(s.c.opts...)
	list, err := s.whole(ctx, library(func(ctx context.Context, opts ...option.RequestOption) (any, error) {
		var p page_rules.PageRuleListParams
		p.ZoneID.Value, p.ZoneID.Present = z.ID, true
		return svc.List(ctx, p, opts...)
	}))
	return x.part("page rules of "+z.Name, &z.PageRules, list, err)
}

// rulesets reads all rulesets of an owner with their rules: the list leaves them
// out. An unused phase has no ruleset, and is in no list. Managed rulesets are the
// vendor's: what they are is kept, not what is in them.
func (s *Session) rulesets(ctx context.Context, o owner) ([]json.RawMessage, error) {
	svc := rulesets.NewRulesetService(s.c.opts...)
	return settled(ctx, s, "rulesets of "+o.String(), func() ([]json.RawMessage, error) {
		list, err := s.cursors(ctx, "rulesets of "+o.String(), library(func(ctx context.Context, opts ...option.RequestOption) (any, error) {
			var p rulesets.RulesetListParams
			p.AccountID.Value, p.AccountID.Present = o.account, o.account != ""
			p.ZoneID.Value, p.ZoneID.Present = o.zone, o.zone != ""
			return svc.List(ctx, p, opts...)
		}))
		if err != nil {
			return nil, err
		}
		for i, raw := range list {
			var r struct{ ID, Kind string }
			if err := json.Unmarshal(raw, &r); err != nil {
				return nil, &Error{Kind: Answer, Text: "a ruleset cannot be read", Cause: err}
			}
			if err := ids(r.ID); err != nil {
				return nil, err
			}
			if r.Kind == "managed" {
				if list[i], err = Canonical(raw, "last_updated", "rules"); err != nil {
					return nil, err
				}
				continue
			}
			list[i], err = s.object(ctx, library(func(ctx context.Context, opts ...option.RequestOption) (any, error) {
				var p rulesets.RulesetGetParams
				p.AccountID.Value, p.AccountID.Present = o.account, o.account != ""
				p.ZoneID.Value, p.ZoneID.Present = o.zone, o.zone != ""
				return svc.Get(ctx, r.ID, p, opts...)
			}))
			if kind, is := KindOf(err); is && kind == NotFound {
				return nil, &errMoved{"ruleset " + r.ID + " of the list is gone"}
			}
			if err != nil {
				return nil, err
			}
		}
		return list, nil
	})
}

func (s *Session) accessRules(ctx context.Context, o owner) ([]json.RawMessage, error) {
	svc := firewall.NewAccessRuleService(s.c.opts...)
	return s.pages(ctx, "access rules of "+o.String(), 100, library(func(ctx context.Context, opts ...option.RequestOption) (any, error) {
		var p firewall.AccessRuleListParams
		p.AccountID.Value, p.AccountID.Present = o.account, o.account != ""
		p.ZoneID.Value, p.ZoneID.Present = o.zone, o.zone != ""
		return svc.List(ctx, p, opts...)
	}))
}

// tunnels reads tunnels with their ingress rules, routes and virtual networks. What
// of a tunnel says who is connected just now is left out.
func (s *Session) tunnels(ctx context.Context, x *NetExport) error {
	list, err := s.pages(ctx, "tunnels", 100, s.plain("accounts", x.Account, "cfd_tunnel"), "is_deleted", "false")
	var tunnels []json.RawMessage
	if err := x.part("tunnels", &tunnels, list, err, "status", "connections", "conns_active_at", "conns_inactive_at"); err != nil {
		return err
	}
	for _, raw := range tunnels {
		t := Tunnel{Tunnel: raw}
		id, err := idOf(raw)
		if err == nil {
			err = ids(id)
		}
		if err != nil {
			return err
		}
		t.Config, err = s.object(ctx, s.plain("accounts", x.Account, "cfd_tunnel", id, "configurations"))
		if err := x.without("ingress rules of tunnel "+id, err); err != nil {
			return err
		}
		x.Tunnels = append(x.Tunnels, t)
	}
	routes, err := s.pages(ctx, "routes", 100, s.plain("accounts", x.Account, "teamnet", "routes"), "is_deleted", "false")
	if err := x.part("routes", &x.Routes, routes, err); err != nil {
		return err
	}
	networks, err := s.list(ctx, s.plain("accounts", x.Account, "teamnet", "virtual_networks"), "is_deleted", "false")
	return x.part("virtual networks", &x.VirtualNetworks, networks.Result, err)
}
