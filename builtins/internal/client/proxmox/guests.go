package proxmox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

// Int decodes numbers that come as 1, "1" or true.
type Int int64

// UnmarshalJSON implements json.Unmarshaler.
func (i *Int) UnmarshalJSON(raw []byte) error {
	text := strings.Trim(string(raw), `"`)
	switch text {
	case "true":
		*i = 1
		return nil
	case "false", "null", "":
		*i = 0
		return nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		*i = Int(n)
		return nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err == nil && !(f > -1<<63 && f < 1<<63) { // also what is not a number
		err = fmt.Errorf("%.40q is not a number that can be", text)
	}
	if err == nil {
		*i = Int(f)
	}
	return err
}

// Guest is a VM or a container.
type Guest struct {
	VMID     Int    `json:"vmid"`
	Name     string `json:"name"`
	Type     string `json:"type"` // "qemu" or "lxc"
	Node     string `json:"node"`
	Status   string `json:"status"`
	Template Int    `json:"template"`
	Lock     string `json:"lock"`
	Tags     string `json:"tags"` // "a;b"
	Pool     string `json:"pool"` // in the list of the cluster alone: see Pools
}

// TagList are the tags of a guest: Proxmox writes them with semicolons, and reads others.
func (g Guest) TagList() []string {
	return strings.FieldsFunc(g.Tags, func(r rune) bool { return r == ';' || r == ',' || r == ' ' })
}

// Pools are the pools that guests are in, by VMID; the lists of nodes do not have them.
func (c *Client) Pools(ctx context.Context) (map[Int]string, error) {
	var all []Guest
	if err := c.Get(ctx, "/cluster/resources?type=vm", &all); err != nil {
		return nil, err
	}
	out := map[Int]string{}
	for _, g := range all {
		if g.Pool != "" {
			out[g.VMID] = g.Pool
		}
	}
	return out, nil
}

func (g Guest) path() string {
	return fmt.Sprintf("/nodes/%s/%s/%d", url.PathEscape(g.Node), g.Type, g.VMID)
}

func vmPath(id Int) string { return fmt.Sprintf("/vms/%d", id) }

// Guests lists every guest of the cluster that the token may see, by VMID; those
// of a node that is down with the status "node down".
func (c *Client) Guests(ctx context.Context) ([]Guest, error) {
	nodes, err := c.nodes(ctx)
	if err != nil {
		return nil, err
	}
	var out []Guest
	down := map[string]bool{}
	for _, n := range nodes {
		if n.Status != "online" {
			down[n.Node] = true
			continue
		}
		for _, typ := range []string{"qemu", "lxc"} {
			var list []Guest
			if err := c.Get(ctx, "/nodes/"+url.PathEscape(n.Node)+"/"+typ, &list); err != nil {
				return nil, err
			}
			for _, g := range list {
				g.Node, g.Type = n.Node, typ
				out = append(out, g)
			}
		}
	}
	if len(down) > 0 {
		// The cluster remembers the guests of a node that is down. They are listed,
		// so that each fails by itself and the others get their backups.
		var all []Guest
		if err := c.Get(ctx, "/cluster/resources?type=vm", &all); err != nil {
			return nil, err
		}
		for _, g := range all {
			if down[g.Node] {
				g.Status = "node down"
				out = append(out, g)
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].VMID < out[j].VMID })
	return out, nil
}

// member is a node of the cluster, with the status "online" when it answers.
type member struct{ Node, Status string }

// nodes lists those of the cluster. Proxmox says "unknown" where pvestatd brought no
// figures for five minutes, and it hangs whenever a storage does: such a node is asked
// whether it answers.
func (c *Client) nodes(ctx context.Context) ([]member, error) {
	var list []member
	if err := c.Get(ctx, "/nodes", &list); err != nil {
		return nil, err
	}
	for i, n := range list {
		if n.Status != "unknown" {
			continue
		}
		err := c.Get(ctx, "/nodes/"+url.PathEscape(n.Node)+"/version", new(map[string]any))
		var api *Error
		if down := errors.As(err, &api) && api.lost(); err != nil && !down {
			return nil, err
		} else if !down {
			list[i].Status = "online"
		}
	}
	return list, nil
}

// Online lists the nodes that are up.
func (c *Client) Online(ctx context.Context) ([]string, error) {
	nodes, err := c.nodes(ctx)
	if err != nil {
		return nil, err
	}
	var up []string
	for _, n := range nodes {
		if n.Status == "online" {
			up = append(up, n.Node)
		}
	}
	return up, nil
}

// OnlyNode returns the node that is online, if there is one alone.
func (c *Client) OnlyNode(ctx context.Context) (string, error) {
	up, err := c.Online(ctx)
	if err != nil {
		return "", err
	}
	if len(up) != 1 {
		return "", fmt.Errorf("%d nodes are online: %s", len(up), strings.Join(up, ", "))
	}
	return up[0], nil
}

// SeesAllGuests reports whether the token may audit every guest: lists are
// filtered by permission, without a word.
func (c *Client) SeesAllGuests(ctx context.Context) (bool, error) {
	perms, err := c.Permissions(ctx)
	if err != nil {
		return false, err
	}
	// A path with entries of its own does not inherit: one guest or pool without
	// the privilege is one that the lists leave out.
	for path, privileges := range perms {
		if _, ok := privileges["VM.Audit"]; !ok && (strings.HasPrefix(path, "/vms/") || strings.HasPrefix(path, "/pool/")) {
			return false, nil
		}
	}
	if own, ok := perms["/vms"]; ok {
		return own["VM.Audit"] != 0, nil
	}
	return perms["/"]["VM.Audit"] != 0, nil
}

// Permissions maps path to privilege to "propagates".
func (c *Client) Permissions(ctx context.Context) (map[string]map[string]Int, error) {
	perms := map[string]map[string]Int{}
	return perms, c.Get(ctx, "/access/permissions", &perms)
}

// Find returns the guest of that name or VMID.
func (c *Client) Find(ctx context.Context, nameOrID string) (Guest, error) {
	all, err := c.Guests(ctx)
	if err != nil {
		return Guest{}, err
	}
	var found []Guest
	for _, g := range all {
		if g.Name == nameOrID || fmt.Sprint(g.VMID) == nameOrID {
			found = append(found, g)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Guest{}, &NoGuestError{nameOrID, len(all)}
	}
	return Guest{}, fmt.Errorf("%d guests are named %s: name the VMID", len(found), nameOrID)
}

// NoGuestError says that a guest is not there, or that the token does not see it.
type NoGuestError struct {
	Guest string
	Seen  int
}

func (e *NoGuestError) Error() string {
	return fmt.Sprintf("no guest %s among the %d that the token sees", e.Guest, e.Seen)
}

// GuestConfig returns the configuration: key to value, numbers as text.
func (c *Client) GuestConfig(ctx context.Context, g Guest) (map[string]string, error) {
	var raw map[string]json.RawMessage
	if err := c.Get(ctx, g.path()+"/config", &raw); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for k, v := range raw {
		var s string
		if json.Unmarshal(v, &s) != nil {
			s = string(v)
		}
		out[k] = s
	}
	return out, nil
}

// Status is the state of a guest.
type Status struct {
	Status string `json:"status"`
	Lock   string `json:"lock"`
	Agent  Int    `json:"agent"`
}

// GuestStatus returns the current state.
func (c *Client) GuestStatus(ctx context.Context, g Guest) (Status, error) {
	var s Status
	return s, c.Get(ctx, g.path()+"/status/current", &s)
}

// Moved reports that a guest is not where it was: it moved, or it is gone.
func Moved(err error) bool {
	return err != nil && strings.Contains(err.Error(), "does not exist") && strings.Contains(err.Error(), "Configuration file")
}

// Destroy removes a stopped guest with its disks.
func (c *Client) Destroy(ctx context.Context, g Guest) (UPID, error) {
	q := "?purge=1&destroy-unreferenced-disks=1"
	var id string
	if err := c.Delete(ctx, g.path()+q, &id); err != nil {
		return "", err
	}
	return asUPID(id)
}

// NextID returns a free VMID. It is not a reservation.
func (c *Client) NextID(ctx context.Context) (int64, error) {
	var id Int
	return int64(id), c.Get(ctx, "/cluster/nextid", &id)
}

// Version returns the release, "9.2.11".
func (c *Client) Version(ctx context.Context) (string, error) {
	var v struct {
		Version string `json:"version"`
	}
	return v.Version, c.Get(ctx, "/version", &v)
}
