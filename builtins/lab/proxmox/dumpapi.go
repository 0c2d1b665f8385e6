package proxmox

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
)

// postVzdump checks what PVE checks before the task; the rest fails in it.
func (c *Cluster) postVzdump(r *request) (any, error) {
	if !r.user.token.Root || r.user.name != "root@pam" {
		for _, k := range []string{"dumpdir", "tmpdir", "script", "job-id"} {
			if r.get(k) != "" {
				return nil, badParam(k, "Only root may set this option.")
			}
		}
	}
	for _, k := range []string{"exclude-path", "stdexcludes"} {
		if v := r.get(k); v != "" && v != "1" {
			return nil, notServed("POST", r.path+" with "+k)
		}
	}
	switch all, ids, pool := r.bool("all"), r.get("vmid") != "", r.get("pool") != ""; {
	case all && ids:
		return nil, badParam("all", "option conflicts with option 'vmid'")
	case pool && (all || ids):
		return nil, badParam("pool", "option conflicts with option 'vmid'")
	case !all && !ids && !pool:
		return nil, badParam("vmid", "property is missing")
	}
	if err := c.vzdumpRights(r); err != nil {
		return nil, err
	}
	here, external, err := c.selectGuests(r.s, r.node(), r.params)
	if err != nil {
		return nil, err
	}
	if len(here) == 0 && len(external) > 0 {
		return "OK", nil
	}
	id := ""
	if list := splitList(r.get("vmid")); len(list) == 1 {
		id = list[0]
	}
	args := map[string][]string{}
	for k, v := range r.params {
		if k != "node" {
			args[k] = v
		}
	}
	return c.start(r.node(), "vzdump", id, r.user.name, args)
}

// vzdumpRights checks in the order of PVE's code.
func (c *Cluster) vzdumpRights(r *request) error {
	store := r.get("storage")
	if store == "" {
		store = "local"
	}
	if r.s.Storages[store] != nil || !r.user.token.Root {
		if err := r.user.need("/storage/"+store, "Datastore.AllocateSpace"); err != nil {
			return err
		}
	}
	if r.get("prune-backups") != "" {
		if err := r.user.need("/storage/"+store, "Datastore.Allocate"); err != nil {
			return err
		}
	}
	for _, k := range []string{"bwlimit", "ionice", "performance"} {
		if r.get(k) != "" {
			if err := r.user.need("/", "Sys.Modify"); err != nil {
				return err
			}
		}
	}
	for _, v := range splitList(r.get("vmid")) {
		if err := r.user.need("/vms/"+v, "VM.Backup"); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) getDefaults(r *request) (any, error) {
	id := r.get("storage")
	if id == "" {
		id = "local"
	}
	if !auditStorage(r.user, id) {
		return nil, forbidden("/storage/"+id, "Datastore.Audit|Datastore.AllocateSpace")
	}
	st, err := c.storage(r.s, id)
	if err != nil {
		return nil, err
	}
	rule := st.Prune
	if rule == "" {
		rule = "keep-all=1"
	}
	return map[string]any{
		"all": 0, "bwlimit": 0, "compress": "0", "dumpdir": st.Path + "/dump", "fleecing": map[string]any{"enabled": 0}, "ionice": 7,
		"lockwait": 180, "mailnotification": "always", "mode": "snapshot", "notification-mode": "auto",
		"performance": map[string]any{"max-workers": 16, "pbs-entries-max": 1048576}, "pigz": 0, "prune-backups": rule, "quiet": 0,
		"remove": 1, "stdexcludes": 1, "stop": 0, "stopwait": 10, "storage": id, "zstd": 1,
	}, nil
}

func (c *Cluster) getExtractConfig(r *request) (any, error) {
	volid := r.get("volume")
	a, err := c.archive(r.s, r.node(), volid)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	store, _, _ := strings.Cut(volid, ":")
	if !c.mayRead(r.user, store, a) {
		return nil, forbidden("/vms/"+strconv.Itoa(a.vmid), "VM.Backup")
	}
	if err != nil {
		return nil, failf("volume '%s' does not exist", volid)
	}
	text, err := c.archiveConfig(a)
	if err != nil {
		return nil, failf("%s", err)
	}
	return text, nil
}
