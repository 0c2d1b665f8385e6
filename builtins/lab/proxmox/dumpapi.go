package proxmox

import (
	"errors"
	"io/fs"
	"os"
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
	if v := r.get("stdexcludes"); v != "" && v != "1" {
		return nil, notServed("POST", r.path+" with stdexcludes")
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
	if len(here) == 1 {
		id = strconv.Itoa(here[0])
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
	return nil // VM.Backup is looked at in the task
}

func (c *Cluster) getDefaults(r *request) (any, error) {
	id := r.get("storage")
	if id == "" {
		id = "local"
	}
	if !auditStorage(r.user, id) {
		return nil, forbidden("/storage/"+id, "Datastore.Audit|Datastore.AllocateSpace")
	}
	st := r.s.Storages[id]
	switch {
	case st == nil:
		return nil, failf("storage '%s' does not exist", id)
	case !st.holds("backup"):
		return nil, failf("can't use storage '%s' for backups - wrong content type", id)
	}
	rule := st.Prune
	if rule == "" {
		rule = "keep-all=1"
	}
	set, err := c.vzdumpConf(r.node())
	if err != nil {
		return nil, err
	}
	out := map[string]any{
		"all": 0, "bwlimit": 0, "compress": "0", "dumpdir": st.Path + "/dump", "fleecing": map[string]any{"enabled": 0}, "ionice": 7,
		"lockwait": 180, "mailnotification": "always", "mode": "snapshot", "notification-mode": "auto",
		"performance": map[string]any{"max-workers": 16, "pbs-entries-max": 1048576}, "pigz": 0, "prune-backups": rule, "quiet": 0,
		"remove": 1, "stdexcludes": 1, "stop": 0, "stopwait": 10, "storage": id, "zstd": 1,
	}
	for k, v := range set {
		out[k] = v
	}
	if !r.user.has("/", "Sys.Audit") {
		for _, k := range []string{"dumpdir", "ionice", "tmpdir", "script"} {
			delete(out, k)
		}
	}
	return out, nil
}

// vzdumpConf reads a node's /etc/vzdump.conf: "key: value" lines. The values of
// exclude-path stand there apart by blanks, and become one text with commas.
func (c *Cluster) vzdumpConf(node string) (map[string]string, error) {
	raw, err := os.ReadFile(c.node(node, "etc/vzdump.conf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		if value = strings.TrimSpace(value); key == "exclude-path" {
			value = strings.Join(quotedWords(value), ",")
		}
		out[key] = value
	}
	return out, nil
}

// quotedWords splits at blanks that stand in no double quotes.
func quotedWords(s string) []string {
	quoted := false
	words := strings.FieldsFunc(s, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], `"`, "")
	}
	return words
}

func (c *Cluster) getExtractConfig(r *request) (any, error) {
	volid := r.get("volume")
	switch m := volumePattern.FindStringSubmatch(volid); {
	case m == nil:
		return nil, failf("Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.")
	case !strings.HasPrefix(m[2], "backup/"):
		return nil, failf("unable to use volume %s - content type needs to be 'backup'", volid)
	}
	a, err := c.archive(r.s, r.node(), volid)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	store, _, _ := strings.Cut(volid, ":")
	if rerr := c.needVolume(r.user, store, a); rerr != nil {
		return nil, rerr
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
