package proxmox

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Right is a privilege on a path; any one of the privileges does.
type Right struct {
	Path       string
	Privileges []string
}

func (r Right) String() string { return r.Path + ", " + strings.Join(r.Privileges, "|") }

// Refusal words a right that is missing as Proxmox itself does where it refuses.
func (r Right) Refusal() string { return "Permission check failed (" + r.String() + ")" }

// Filters are the calls that answer with less than there is, and no word, where a right
// is missing: what they list is believed to be all only where it is there. A "*" stands
// for a name in the path of the call. Other calls refuse (403).
func Filters() map[string]Right {
	sdn := []string{"SDN.Audit", "SDN.Allocate"}
	storage := []string{"Datastore.Audit", "Datastore.AllocateSpace"}
	return map[string]Right{
		"/nodes/*/qemu":                {"/vms", []string{"VM.Audit"}},
		"/nodes/*/lxc":                 {"/vms", []string{"VM.Audit"}},
		"/cluster/resources":           {"/vms", []string{"VM.Audit"}},
		"/cluster/sdn/zones":           {"/sdn/zones", sdn},
		"/cluster/sdn/vnets":           {"/sdn/zones", sdn},
		"/cluster/sdn/vnets/*/subnets": {"/sdn/zones", sdn},
		"/cluster/sdn/controllers":     {"/sdn/controllers", sdn},
		"/cluster/sdn/ipams":           {"/sdn/ipams", sdn},
		"/cluster/sdn/dns":             {"/sdn/dns", sdn},
		"/cluster/sdn/fabrics/all":     {"/sdn/fabrics", sdn},
		"/cluster/sdn/prefix-lists":    {"/sdn", sdn},
		"/cluster/sdn/route-maps":      {"/sdn", sdn},
		"/nodes/*/network":             {"/sdn/zones/localnetwork", []string{"SDN.Audit", "SDN.Use"}},
		"/nodes/*/tasks":               {"/nodes/*", []string{"Sys.Audit"}},
		"/storage":                     {"/storage", storage},
		"/nodes/*/storage":             {"/storage", storage},
		"/nodes/*/storage/*/content":   {"/vms", []string{"VM.Backup"}},
	}
}

// filterOf is the right that a list needs to be whole; ok is false for a call that
// refuses by itself.
func filterOf(path string) (Right, bool) {
	path, _, _ = strings.Cut(path, "?")
	words := strings.Split(path, "/")
	for call, right := range Filters() {
		if want := strings.Split(call, "/"); fits(want, words) {
			if node := len(words) > 2 && words[1] == "nodes"; node {
				right.Path = strings.Replace(right.Path, "*", words[2], 1)
			}
			return right, true
		}
	}
	return Right{}, false
}

func fits(want, words []string) bool {
	if len(want) != len(words) && !(len(words) > len(want) && want[len(want)-1] == "route-maps") {
		return false
	}
	for i := range want {
		if want[i] != "*" && want[i] != words[i] {
			return false
		}
	}
	return true
}

// May reports whether the token has a right. A path is answered whether it exists or not.
func (c *Client) May(ctx context.Context, r Right) (bool, error) {
	perms := map[string]map[string]Int{}
	if err := c.Get(ctx, "/access/permissions?path="+url.QueryEscape(r.Path), &perms); err != nil {
		return false, err
	}
	for _, p := range r.Privileges {
		if _, ok := perms[r.Path][p]; ok {
			return true, nil
		}
	}
	return false, nil
}

// Taken reports whether a VMID is in use, be its guest visible or not.
func (c *Client) Taken(ctx context.Context, vmid Int) (bool, error) {
	err := c.Get(ctx, fmt.Sprintf("/cluster/nextid?vmid=%d", vmid), new(Int))
	var api *Error
	if errors.As(err, &api) && api.Status == 400 && strings.Contains(api.Errors["vmid"], "already exists") {
		return true, nil
	}
	return false, err
}
