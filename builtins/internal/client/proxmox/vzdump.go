package proxmox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
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

// Volume is an archive on a storage.
type Volume struct {
	VolID     string `json:"volid"`
	Size      int64  `json:"size"`
	CTime     Int    `json:"ctime"`
	VMID      Int    `json:"vmid"`
	Subtype   string `json:"subtype"`
	Format    string `json:"format"`
	Notes     string `json:"notes"` // the first line only, in lists
	Protected Int    `json:"protected"`
	Path      string `json:"path"` // of one volume only
}

func storagePath(node, storage string) string {
	return "/nodes/" + url.PathEscape(node) + "/storage/" + url.PathEscape(storage)
}

// Archives lists the archives of a guest (0: of all) on a storage of a node.
func (c *Client) Archives(ctx context.Context, node, storage string, vmid Int) ([]Volume, error) {
	q := "?content=backup"
	if vmid > 0 {
		q += fmt.Sprintf("&vmid=%d", vmid)
	}
	var out []Volume
	return out, c.Get(ctx, storagePath(node, storage)+"/content"+q, &out)
}

// Archive returns one archive, with its path and full notes.
func (c *Client) Archive(ctx context.Context, node, volid string) (Volume, error) {
	storage, _, ok := strings.Cut(volid, ":")
	if !ok {
		return Volume{}, fmt.Errorf("bad volume id %q", volid)
	}
	v := Volume{VolID: volid}
	err := c.Get(ctx, storagePath(node, storage)+"/content/"+url.PathEscape(volid), &v)
	v.VolID = volid
	return v, err
}

// Gone reports that a volume is not there.
func Gone(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "volume_size_info") || strings.Contains(err.Error(), "no such volume") || strings.Contains(err.Error(), "does not exist"))
}

// RemoveArchive starts the removal of an archive. An empty UPID means that it is
// done. Removing one that is not there ends well, too.
func (c *Client) RemoveArchive(ctx context.Context, node, volid string) (UPID, error) {
	storage, _, _ := strings.Cut(volid, ":")
	var id *string
	if err := c.Delete(ctx, storagePath(node, storage)+"/content/"+url.PathEscape(volid), &id); err != nil || id == nil {
		return "", err
	}
	return asUPID(*id)
}

// Storage is the state of a storage on a node.
type Storage struct {
	Name    string `json:"storage"`
	Type    string `json:"type"`
	Content string `json:"content"`
	Active  Int    `json:"active"`
	Enabled Int    `json:"enabled"`
	Shared  Int    `json:"shared"`
	Avail   int64  `json:"avail"`
	Total   int64  `json:"total"`
}

// Storages lists the storages that a node shows to the token.
func (c *Client) Storages(ctx context.Context, node string) ([]Storage, error) {
	var list []Storage
	return list, c.Get(ctx, "/nodes/"+url.PathEscape(node)+"/storage", &list)
}

// StorageOf returns the state of a storage on a node.
func (c *Client) StorageOf(ctx context.Context, node, storage string) (Storage, error) {
	list, err := c.Storages(ctx, node)
	if err != nil {
		return Storage{}, err
	}
	for _, s := range list {
		if s.Name == storage {
			return s, nil
		}
	}
	return Storage{}, fmt.Errorf("node %s shows no storage %s: it does not exist there, or the token lacks Datastore.Audit on /storage/%s", node, storage, storage)
}

// StorageFolder returns the folder of a storage that is one. The list shows it to
// who may audit the storage; the single entry would need Datastore.Allocate.
func (c *Client) StorageFolder(ctx context.Context, storage string) (string, error) {
	var list []struct {
		Storage string `json:"storage"`
		Path    string `json:"path"`
	}
	if err := c.Get(ctx, "/storage", &list); err != nil {
		return "", err
	}
	for _, s := range list {
		if s.Storage == storage && s.Path != "" {
			return s.Path, nil
		}
	}
	return "", fmt.Errorf("storage %s is no folder that the token may see: archives cannot be put there", storage)
}

// ArchiveConfig returns the guest's configuration inside an archive.
func (c *Client) ArchiveConfig(ctx context.Context, node, volid string) (string, error) {
	var text string
	return text, c.Get(ctx, "/nodes/"+url.PathEscape(node)+"/vzdump/extractconfig?volume="+url.QueryEscape(volid), &text)
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

// Log is what the log of a vzdump of one guest says.
type Log struct {
	Path        string // of the archive on its node
	Finished    bool   // "Finished Backup of VM n"
	Failure     string // "Backup of VM n failed - …"
	Mode        string
	Running     bool     // the guest ran
	Frozen      bool     // the agent froze its file systems
	FreezeNote  string   // why it did not
	SizeText    string   // "archive file size: 36KB"
	Excluded    []string // disks and mount points that were left out, with the reason
	Disks       []string // "scsi0 … 1G"
	Transferred string
	Warnings    []string
}

var (
	logArchive  = pattern(`creating (?:vzdump )?\S*\s*archive '([^']+)'`)
	logFinished = pattern(`^INFO: Finished Backup of VM (\d+) \(`)
	logFailed   = pattern(`^ERROR: Backup of VM (\d+) failed - (.*)`)
	logStart    = pattern(`^INFO: Starting Backup of VM (\d+) \((\w+)\)`)
	logInclude  = pattern(`^INFO: include disk '(\w+)' '[^']*'\s*(\S*)`)
	logExclude  = pattern(`^INFO: exclude disk '(\w+)' '[^']*' \((.*)\)`)
	logMount    = pattern(`^INFO: excluding (.*?mount point \w+)(?: \('([^']*)'\))? from backup(?: \((.*)\))?`)
	logSize     = pattern(`^INFO: archive file size: (\S+)`)
	logMode     = pattern(`^INFO: backup mode: (\w+)`)
)

// ReadLog reads the lines that concern one guest.
func ReadLog(lines []string, vmid Int) Log {
	var l Log
	mine := true // a log of one guest has no other
	for _, t := range lines {
		if m := logStart().FindStringSubmatch(t); m != nil {
			mine = m[1] == fmt.Sprint(vmid)
		}
		if m := logFailed().FindStringSubmatch(t); m != nil && m[1] == fmt.Sprint(vmid) {
			l.Failure = m[2]
		}
		if mine {
			l.line(t, vmid)
		}
	}
	return l
}

func (l *Log) line(t string, vmid Int) {
	switch {
	case logFinished().MatchString(t):
		l.Finished = logFinished().FindStringSubmatch(t)[1] == fmt.Sprint(vmid)
	case logArchive().MatchString(t):
		l.Path = logArchive().FindStringSubmatch(t)[1]
	case logInclude().MatchString(t):
		m := logInclude().FindStringSubmatch(t)
		l.Disks = append(l.Disks, strings.TrimSpace(m[1]+" "+m[2]))
	case logExclude().MatchString(t):
		m := logExclude().FindStringSubmatch(t)
		l.Excluded = append(l.Excluded, "disk "+m[1]+"\x00"+m[2])
	case logMount().MatchString(t):
		m := logMount().FindStringSubmatch(t)
		why := m[3]
		if why == "" {
			why = "not part of a backup"
		}
		l.Excluded = append(l.Excluded, m[1]+"\x00"+why)
	case logMode().MatchString(t):
		l.Mode = logMode().FindStringSubmatch(t)[1]
	case logSize().MatchString(t):
		l.SizeText = logSize().FindStringSubmatch(t)[1]
	case t == "INFO: status = running":
		l.Running = true
	case strings.Contains(t, "issuing guest-agent 'fs-freeze'"):
		l.Frozen = true
	case strings.HasPrefix(t, "INFO: skipping guest filesystem freeze"):
		l.FreezeNote = strings.TrimPrefix(t, "INFO: ")
	case strings.HasPrefix(t, "ERROR:") && strings.Contains(t, "freeze"):
		l.Frozen, l.FreezeNote = false, strings.TrimPrefix(t, "ERROR: ")
	case strings.HasPrefix(t, "INFO: transferred "), strings.HasPrefix(t, "INFO: Total bytes written: "):
		l.Transferred = strings.TrimPrefix(t, "INFO: ")
	case strings.HasPrefix(t, "WARN:"), strings.HasPrefix(t, "WARNING:"):
		l.Warnings = append(l.Warnings, t)
	}
}

// Consistency is the word for the state that the archive holds.
func (l Log) Consistency() string {
	switch {
	case !l.Running, l.Mode == "stop":
		return "stopped"
	case l.Mode == "suspend":
		return "suspended"
	case l.Frozen:
		return "agent freeze"
	}
	return "crash-consistent"
}

// SizeFits reports whether a size in bytes is what vzdump printed: whole units,
// cut, of KB, MB (1024 based), or two decimals of GB and above.
func (l Log) SizeFits(size int64) bool {
	if l.SizeText == "" {
		return true
	}
	var n float64
	var unit string
	if _, err := fmt.Sscanf(l.SizeText, "%f%s", &n, &unit); err != nil {
		return true
	}
	scale := map[string]float64{"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}[unit]
	if scale == 0 {
		return true
	}
	have := float64(size) / scale
	slack := 1.0
	if scale >= 1<<30 {
		slack = 0.01
	}
	return have > n-slack && have < n+slack
}

// VolumeOf returns the volume id of an archive's path on a storage.
func VolumeOf(storage, archive string) string { return storage + ":backup/" + path.Base(archive) }
