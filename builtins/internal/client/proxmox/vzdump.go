package proxmox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// BackupOptions are those of one vzdump.
type BackupOptions struct {
	Storage  string
	Mode     string // "snapshot", "suspend", "stop"
	Notes    string // template; goes into the archive's notes
	BWLimit  int64  // KiB/s; 0 none
	Compress string // "zstd"
}

// Backup starts vzdump of one guest. Retention of the storage is switched off
// (remove=0): what is removed is decided elsewhere.
func (c *Client) Backup(ctx context.Context, g Guest, o BackupOptions) (UPID, error) {
	params := map[string]any{"vmid": fmt.Sprint(g.VMID), "storage": o.Storage, "mode": o.Mode, "compress": o.Compress,
		"remove": 0, "notes-template": escapeNotes(o.Notes)}
	if o.BWLimit > 0 {
		params["bwlimit"] = o.BWLimit
	}
	var id string
	if err := c.Post(ctx, "/nodes/"+url.PathEscape(g.Node)+"/vzdump", params, &id); err != nil {
		return "", err
	}
	return asUPID(id)
}

// escapeNotes writes a text as a notes-template: one line, with backslash escapes.
func escapeNotes(s string) string {
	return strings.NewReplacer("\\", "\\\\", "\n", "\\n").Replace(s)
}

// BackupDefaults are what vzdump does on a node where a request says nothing: the node's
// /etc/vzdump.conf, which no log of a task says of.
type BackupDefaults struct {
	ExcludePath []string          // "exclude-path": a container's what matches are left out
	Stdexcludes bool              // "stdexcludes": /tmp, /var/tmp and pid files of a container are left out
	Set         map[string]string // what differs from a node without that file
}

// plainDefaults are those of a node without /etc/vzdump.conf. What depends on the
// storage, or is sent with every request of ours, is not among them.
func plainDefaults() map[string]string {
	return map[string]string{"bwlimit": "0", "exclude-path": "", "fleecing": `{"enabled":0}`, "ionice": "7", "lockwait": "180",
		"performance": `{"max-workers":16,"pbs-entries-max":1048576}`, "pigz": "0", "script": "", "stdexcludes": "1", "stop": "0",
		"stopwait": "10", "tmpdir": "", "zstd": "1"}
}

// BackupDefaults asks a node for the defaults of vzdump to a storage.
func (c *Client) BackupDefaults(ctx context.Context, node, storage string) (BackupDefaults, error) {
	var raw map[string]json.RawMessage
	if err := c.Get(ctx, "/nodes/"+url.PathEscape(node)+"/vzdump/defaults?storage="+url.QueryEscape(storage), &raw); err != nil {
		return BackupDefaults{}, err
	}
	return defaultsOf(raw), nil
}

func defaultsOf(raw map[string]json.RawMessage) BackupDefaults {
	d := BackupDefaults{Set: map[string]string{}}
	text := map[string]string{}
	for key, plain := range plainDefaults() {
		if text[key] = defaultText(raw[key]); raw[key] != nil && text[key] != plain {
			d.Set[key] = text[key]
		}
	}
	d.Stdexcludes = text["stdexcludes"] != "0"
	for _, p := range strings.FieldsFunc(text["exclude-path"], func(r rune) bool { return r == ',' || r == '\n' || r == 0 }) {
		d.ExcludePath = append(d.ExcludePath, strings.TrimSpace(p))
	}
	return d
}

// defaultText is a value as text: numbers come as strings, too, lists as one string
// with commas or as a list, and the keys of an object in any order.
func defaultText(raw json.RawMessage) string {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return ""
	}
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		var parts []string
		for _, p := range v {
			parts = append(parts, fmt.Sprint(p))
		}
		return strings.Join(parts, ",")
	}
	sorted, err := json.Marshal(v)
	if err != nil {
		return string(raw)
	}
	return string(sorted)
}

// Restore starts the restore of an archive into a new VMID. Params are added as
// they are: overrides of the configuration.
func (c *Client) Restore(ctx context.Context, node, typ, volid string, vmid int64, storage string, params map[string]any) (UPID, error) {
	p := map[string]any{"vmid": vmid, "storage": storage}
	if typ == "lxc" {
		p["ostemplate"], p["restore"] = volid, 1
	} else {
		p["archive"] = volid
	}
	for k, v := range params {
		p[k] = v
	}
	var raw json.RawMessage
	if err := c.Post(ctx, "/nodes/"+url.PathEscape(node)+"/"+typ, p, &raw); err != nil {
		return "", err
	}
	var id string
	if err := json.Unmarshal(raw, &id); err != nil {
		return "", &NoTaskError{Answer: string(raw)}
	}
	return asUPID(id)
}
