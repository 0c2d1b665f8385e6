// Package snapshotvm reads what vzdump leaves behind: the task's verdict on one
// guest, its archive, and what the archive does not hold.
//
// A task is not a verdict: "job errors" can mean that another guest failed, and OK
// that nothing was done. The log's lines of the guest decide. Their forms are
// those of recorded logs of Proxmox VE 9.2.
package snapshotvm

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/runtime/ledger"
)

// Kind is the artifact kind of a guest type.
func Kind(guestType string) string {
	if guestType == "lxc" {
		return "ct"
	}
	return "vm"
}

// Found is what FindTask learnt.
type Found struct {
	Task    proxmox.UPID // "": none
	Waiting bool         // a task of the guest waits for the node's lock: its log does not tell yet whose it is
}

// FindTask looks on nodes for the vzdump of a guest whose notes carry a token;
// tasks in past are not meant.
func FindTask(ctx context.Context, c *proxmox.Client, nodes []string, vmid proxmox.Int, since time.Time, token string,
	past []string) (Found, error) {
	var out Found
	var failed error
	for _, node := range nodes {
		tasks, err := c.Tasks(ctx, node, "vzdump", vmid, since)
		failed = errors.Join(failed, err)
		for _, t := range tasks {
			if slices.Contains(past, string(t.UPID)) {
				continue
			}
			began, ours := false, false
			_, err := c.Head(ctx, t.UPID, 20, func(line string) {
				if strings.Contains(line, "starting new backup job") {
					began, ours = true, ours || proxmox.Carries(line, token)
				}
			})
			if ours {
				return Found{Task: t.UPID}, nil
			}
			out.Waiting = out.Waiting || !began && err == nil && t.Status == "RUNNING"
			failed = errors.Join(failed, err)
		}
	}
	return out, failed
}

// Search looks for that task for as long as a proxy may hold a request back, or as
// another vzdump holds the node's lock; "": there is none.
func Search(ctx context.Context, c *proxmox.Client, nodes []string, vmid proxmox.Int, since time.Time, token string, past []string,
	sleep proxmox.Sleeper) (proxmox.UPID, error) {
	var last error
	for try, pause := 0, time.Second; try < 6; {
		found, err := FindTask(ctx, c, nodes, vmid, since, token, past)
		if found.Task != "" {
			return found.Task, nil
		}
		last = err
		if found.Waiting {
			pause = min(pause*3/2, 15*time.Second)
		} else {
			try, pause = try+1, time.Second
		}
		if err := sleep(ctx, pause); err != nil {
			return "", err
		}
	}
	return "", last
}

// Vanished lists the copies of an item that lie in place on the storage and node where
// an archive was just made, and are not there any more. A list without the new archive
// is not believed.
func Vanished(ctx context.Context, c *proxmox.Client, catalog ledger.Catalog, item, node, made string) (gone []ledger.Copy, err error) {
	copies, err := catalog.ProvenCopies(ctx, ledger.Query{Item: item})
	if err != nil {
		return nil, err
	}
	storage, _, _ := strings.Cut(made, ":")
	vmid := proxmox.VMIDIn(made)
	var list []proxmox.Volume
	at := func(volid string) bool {
		return slices.ContainsFunc(list, func(v proxmox.Volume) bool { return v.VolID == volid })
	}
	for _, p := range copies {
		if !p.InPlace || p.Level < ledger.Stored {
			continue
		}
		art, found, err := catalog.Artifact(ctx, p.Artifact)
		if err != nil {
			return nil, err
		}
		if !found || art.Origin.Node != node || art.Origin.Storage != storage {
			continue
		}
		if list == nil {
			if list, err = c.Archives(ctx, node, storage, vmid); err != nil {
				return nil, err
			}
		}
		if at(made) && proxmox.VMIDIn(art.Origin.Volume) == vmid && !at(art.Origin.Volume) {
			gone = append(gone, p.Copy)
		}
	}
	return gone, nil
}

// Archive finds the archive that a log names, and refuses one that carries another
// token. The size in the log is rounded by a rule of its own: it is not a verdict.
func Archive(ctx context.Context, c *proxmox.Client, node, storage string, log proxmox.Log, token string) (proxmox.Volume, error) {
	if log.Path == "" {
		return proxmox.Volume{}, errors.New("the task's log names no archive")
	}
	volid := proxmox.VolumeOf(storage, log.Path)
	v, err := c.Archive(ctx, node, volid)
	if err != nil {
		return v, err
	}
	for _, w := range log.Warnings {
		if v.Notes == "" && strings.Contains(w, "unable to add notes") {
			return v, &UnmarkedError{VolID: volid, Said: strings.TrimPrefix(w, "WARN: ")}
		}
	}
	if !proxmox.Carries(v.Notes, token) {
		return v, fmt.Errorf("%s carries other notes (%q) than those of this step", volid, first(v.Notes))
	}
	if v.Path == "" {
		v.Path = log.Path
	}
	if path.Base(v.Path) != path.Base(log.Path) {
		return v, fmt.Errorf("%s lies at %s, the task wrote %s", volid, v.Path, log.Path)
	}
	return v, nil
}

// UnmarkedError says that an archive was made whose notes could not be written: later
// nobody could say that it is runner's.
type UnmarkedError struct{ VolID, Said string }

func (e *UnmarkedError) Error() string {
	return fmt.Sprintf("%s was made, and its notes were not: %s", e.VolID, e.Said)
}

func first(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	if len(line) > 80 {
		line = line[:80] + "…"
	}
	return line
}

var (
	diskKey  = regexp.MustCompile(`^(scsi|virtio|ide|sata|efidisk|tpmstate)\d+$`)
	mountKey = regexp.MustCompile(`^mp\d+$`)
)

// Source is what Gaps and Disks judge by.
type Source struct {
	Asset, Item string
	Type        string // "qemu" or "lxc"
	VMID        proxmox.Int
	Config      map[string]string
	Log         proxmox.Log
	Node        string
	Defaults    proxmox.BackupDefaults // of that node
}

// Gaps lists what an archive of a guest does not hold, from its configuration, from
// the log, and from what the node leaves out of containers without a word in it.
func Gaps(src Source) []ledger.Gap {
	guestType, config, log := src.Type, src.Config, src.Log
	seen := map[string]bool{}
	var out []ledger.Gap
	add := func(what, why string) {
		key := what[strings.LastIndexByte(what, ' ')+1:] // log and configuration word it differently
		if !seen[key] {
			seen[key] = true
			out = append(out, ledger.Gap{Asset: src.Asset, Item: src.Item, What: what, Why: why})
		}
	}
	keys := make([]string, 0, len(config))
	for k := range config {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		v := config[k]
		switch {
		case guestType == "qemu" && diskKey.MatchString(k) && !strings.Contains(v, "media=cdrom") && option(v, "backup") == "0":
			add("disk "+k, "backup=0")
		case guestType == "lxc" && mountKey.MatchString(k):
			volume, _, _ := strings.Cut(v, ",")
			switch {
			case strings.HasPrefix(volume, "/dev/"):
				add("mount point "+k, "device mount of "+volume)
			case strings.HasPrefix(volume, "/"):
				add("mount point "+k, "bind mount of "+volume)
			case option(v, "backup") != "1":
				add("mount point "+k, "backup is not set")
			}
		}
	}
	if newest := config["parent"]; newest != "" {
		add("every snapshot", "vzdump saves the present state alone; the newest is "+first(newest))
	}
	for _, x := range log.Excluded {
		what, why, _ := strings.Cut(x, "\x00")
		add(what, why)
	}
	if log.Diskless && len(log.Excluded) > 0 {
		add("every disk", "each has backup=0: the archive holds the configuration alone")
	}
	if guestType == "lxc" {
		for _, p := range src.Defaults.ExcludePath {
			out = append(out, ledger.Gap{Asset: src.Asset, Item: src.Item, What: "what matches " + p,
				Why: "exclude-path in /etc/vzdump.conf of node " + src.Node})
		}
	}
	return out
}

// Facts are what an artifact declares: the sizes of the guest's volumes, and what the
// node sets for every vzdump.
func Facts(src Source) map[string]string {
	out := Disks(src.Type, src.Config)
	for k, v := range src.Defaults.Set {
		out["vzdump.conf "+k] = v
	}
	return out
}

func option(value, name string) string {
	for _, part := range strings.Split(value, ",") {
		if k, v, ok := strings.Cut(part, "="); ok && k == name {
			return v
		}
	}
	return ""
}

// Disks lists the volumes of a guest with the sizes that its configuration
// declares.
func Disks(guestType string, config map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range config {
		if size := option(v, "size"); size != "" && isDisk(guestType, k, v) {
			out[k] = size
		}
	}
	return out
}
