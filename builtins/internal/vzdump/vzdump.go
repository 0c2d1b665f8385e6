// Package vzdump reads what vzdump leaves behind: the task's verdict on one
// guest, its archive, and what the archive does not hold.
//
// A task is no verdict: "job errors" can mean that another guest failed, and OK
// that nothing was done. The log's lines of the guest decide. Their forms are
// those of recorded logs of Proxmox VE 9.2.
package vzdump

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
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

// Lines collects the lines of a log, and tells progress from them. Only the
// first and last thousands are kept of a log that goes on and on.
type Lines struct {
	All      []string
	Progress func(done, total int64)
}

const maxLines = 20_000

var progress = regexp.MustCompile(`^INFO:\s+\d+% \((\S+ \S+) of (\S+ \S+)\) in `)

// Add takes one line.
func (l *Lines) Add(line string) {
	if len(line) > 4096 {
		line = line[:4096]
	}
	if m := progress.FindStringSubmatch(line); m != nil {
		l.Progress(bytesOf(m[1]), bytesOf(m[2]))
		return
	}
	if len(l.All) >= maxLines { // many at a time: each removal moves what follows
		l.All = slices.Delete(l.All, maxLines/2, maxLines/2+maxLines/20)
	}
	l.All = append(l.All, line)
}

func bytesOf(text string) int64 {
	number, unit, _ := strings.Cut(text, " ")
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	scale := map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[unit]
	return int64(f * scale)
}

// Failure is why a guest has no archive.
type Failure struct {
	Code, Said, Hint string
	Temporary        bool
}

// Judge tells whether the guest's archive was made: nil when the log says so. How
// the task ended beside that is for Warning.
func Judge(st proxmox.TaskStatus, log proxmox.Log, lines []string) *Failure {
	if log.Finished && log.Failure == "" {
		return nil
	}
	said := log.Failure
	if said == "" {
		said = fmt.Sprintf("the task ended with %q", st.Exit)
		if n := len(lines); n > 0 {
			said += "; its log ends: " + lines[n-1]
		}
	}
	f := &Failure{Code: "E_VZDUMP_FAILED", Said: said}
	all := said + "\n" + strings.Join(lines, "\n")
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(all, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("is locked ("):
		f.Code, f.Temporary = "E_GUEST_LOCKED", true
	case has("No space left", "Wrote only"):
		f.Code, f.Hint = "E_STORAGE_FULL", "free space on the storage: runner's own archives go with prune(…, apply = True), or with keep_on_storage"
	case has("max backup limit"):
		f.Code, f.Hint = "E_STORAGE_LIMIT", "the storage's prune-backups limits archives and remove=0 forbids removing: set it to keep-all=1 (pvesm set STORAGE --prune-backups keep-all=1) and let runner prune"
	case has("could not activate storage", "is disabled", "is not online", "unable to activate storage", "is not mounted"):
		f.Code, f.Hint = "E_STORAGE", "pvesm status on the node shows the storage"
	case has("interrupted by signal"):
		f.Hint = "somebody stopped the task, or the node shut down"
		f.Temporary = true
	case st.Exit == "unexpected status":
		f.Hint = "the node rebooted, or the worker was killed (out of memory?): see the node's journal at that time"
		f.Temporary = true
	}
	return f
}

// Warning words what a task warned of.
func Warning(st proxmox.TaskStatus, log proxmox.Log) string {
	if st.Exit == "OK" {
		return strings.Join(log.Warnings, "; ")
	}
	return strings.Join(append([]string{st.Exit}, log.Warnings...), "; ")
}

// Found is what FindTask learnt.
type Found struct {
	Task    proxmox.UPID // "": none
	Waiting bool         // a task of the guest waits for the node's lock: its log does not tell yet whose it is
}

// FindTask looks on nodes for the vzdump of a guest whose notes carry a token;
// tasks in past are not meant.
func FindTask(ctx context.Context, c *proxmox.Client, nodes []string, vmid proxmox.Int, since time.Time, token string, past []string) (Found, error) {
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

// Archive finds the archive that a log names, and refuses one that carries
// another token or another size than the log says.
func Archive(ctx context.Context, c *proxmox.Client, node, storage string, log proxmox.Log, token string) (proxmox.Volume, error) {
	if log.Path == "" {
		return proxmox.Volume{}, errors.New("the task's log names no archive")
	}
	volid := proxmox.VolumeOf(storage, log.Path)
	v, err := c.Archive(ctx, node, volid)
	if err != nil {
		return v, err
	}
	switch {
	case !proxmox.Carries(v.Notes, token):
		return v, fmt.Errorf("%s carries other notes (%q) than those of this step", volid, first(v.Notes))
	case !log.SizeFits(v.Size):
		return v, fmt.Errorf("%s has %d bytes, the task's log says %s: it was changed since", volid, v.Size, log.SizeText)
	}
	if v.Path == "" {
		v.Path = log.Path
	}
	if path.Base(v.Path) != path.Base(log.Path) {
		return v, fmt.Errorf("%s lies at %s, the task wrote %s", volid, v.Path, log.Path)
	}
	return v, nil
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

// Gaps lists what an archive of a guest does not hold, from its configuration and
// from the log.
func Gaps(asset, item, guestType string, config map[string]string, log proxmox.Log) []ledger.Gap {
	seen := map[string]bool{}
	var out []ledger.Gap
	add := func(what, why string) {
		key := what
		if f := strings.Fields(what); len(f) > 0 {
			key = f[len(f)-1]
		}
		if !seen[key] {
			seen[key] = true
			out = append(out, ledger.Gap{Asset: asset, Item: item, What: what, Why: why})
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
	for _, x := range log.Excluded {
		what, why, _ := strings.Cut(x, "\x00")
		add(what, why)
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
		isDisk := guestType == "qemu" && diskKey.MatchString(k) && !strings.Contains(v, "media=cdrom") ||
			guestType == "lxc" && (k == "rootfs" || mountKey.MatchString(k))
		if size := option(v, "size"); isDisk && size != "" {
			out[k] = size
		}
	}
	return out
}
