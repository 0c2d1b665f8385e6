// Package restorevm holds the parts of restore_vm that stand for themselves: which
// copy is tried first, which changes a restored configuration needs, and how a
// guest that a restore left half-made is removed again.
package restorevm

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Order sorts choices: newest first, and of one artifact the copy in place, then
// plain ones, then sealed ones; local ones before remote ones.
func Order[T any](list []T, copyOf func(T) ledger.Copy) {
	cost := func(c ledger.Copy) int {
		n := 0
		if !c.InPlace {
			n++
		}
		if len(c.SealedTo) > 0 {
			n += 2
		}
		if c.Account != "" && !c.InPlace {
			n++
		}
		return n
	}
	sort.SliceStable(list, func(i, j int) bool {
		a, b := copyOf(list[i]), copyOf(list[j])
		if !a.Taken.Equal(b.Taken) {
			return a.Taken.After(b.Taken)
		}
		return cost(a) < cost(b)
	})
}

var nicKey = regexp.MustCompile(`^net\d+$`)

// NICs lists the network interfaces of a configuration.
func NICs(config map[string]string) []string {
	var out []string
	for k := range config {
		if nicKey.MatchString(k) {
			out = append(out, k)
		}
	}
	sort.Strings(out)
	return out
}

// Overrides are the parameters that a restore adds to the archive's
// configuration. A VM gets unique=1 (new MACs, new UUID); a container does not,
// since unique makes Proxmox print the archive's interfaces again, link up: its
// MACs are renewed by leaving them out.
func Overrides(guest, config string, down bool, name string) map[string]any {
	out := map[string]any{"onboot": 0}
	if guest == "qemu" {
		out["unique"] = 1
	}
	if name != "" {
		out[nameKey(guest)] = name
	}
	if !down {
		return out
	}
	for _, line := range strings.Split(config, "\n") {
		if strings.HasPrefix(line, "[") {
			break // snapshots follow
		}
		key, value, ok := strings.Cut(line, ": ")
		if !ok || !nicKey.MatchString(key) {
			continue
		}
		out[key] = linkDown(guest, value)
	}
	return out
}

func nameKey(guest string) string {
	if guest == "lxc" {
		return "hostname"
	}
	return "name"
}

// Name is the guest's own name in a configuration; "" when it has none.
func Name(guest, config string) string {
	for line := range strings.Lines(config) {
		if strings.HasPrefix(line, "[") {
			break // snapshots follow
		}
		if name, ok := strings.CutPrefix(line, nameKey(guest)+": "); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

// Description is the guest's own in a configuration: the comments in front, where
// Proxmox keeps it with percent signs for what is not plain.
func Description(config string) string {
	var lines []string
	for line := range strings.Lines(config) {
		if strings.HasPrefix(line, "[") {
			break // snapshots follow
		}
		text, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "#")
		if !ok || strings.HasPrefix(text, "qmdump#") {
			continue
		}
		if plain, err := url.PathUnescape(text); err == nil {
			text = plain
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, "\n")
}

// ByHand is the hint for a restore that a token may not make: as root on the node it
// needs none.
func ByHand(guest, said, volid string, vmid int64, storage string) string {
	why := ""
	switch {
	case guest != "lxc":
		return ""
	case strings.Contains(said, "(/, Sys.Modify)"):
		why = "a privileged container wants Sys.Modify on /, which a token better has not"
	case strings.Contains(said, "only possible for root"):
		why = "a container with a bind mount is restored by root@pam alone"
	default:
		return ""
	}
	return fmt.Sprintf("%s; as root on the node: pct restore %d %s --storage %s", why, vmid, volid, storage)
}

func linkDown(guest, value string) string {
	var parts []string
	for _, p := range strings.Split(value, ",") {
		k, v, _ := strings.Cut(p, "=")
		switch {
		case k == "link_down", guest == "lxc" && k == "hwaddr":
			continue
		case guest == "qemu" && len(v) == 17 && strings.Count(v, ":") == 5 && k != "macaddr":
			parts = append(parts, k) // model=MAC: a new MAC
			continue
		case k == "macaddr":
			continue
		}
		parts = append(parts, p)
	}
	return strings.Join(append(parts, "link_down=1"), ",")
}

// DestroyCodes are those of Destroy.
func DestroyCodes() []failure.Code {
	return append(systems.PVECodes(), proxmox.CodeNotOurs)
}

// Destroy removes a guest that carries the token of a restore.
func Destroy(ctx context.Context, s *runtime.Step, system string, vmid int64, token string) error {
	c, sys, err := systems.Of(s).Proxmox(ctx, system)
	if err != nil {
		return proxmox.Explain(system, "connect", err)
	}
	doing := fmt.Sprintf("remove the restored guest %d", vmid)
	g, err := c.Find(ctx, fmt.Sprint(vmid))
	if errors.As(err, new(*proxmox.NoGuestError)) {
		return nil
	}
	if err != nil {
		return proxmox.Explain(sys.Name, doing, err)
	}
	if err := idle(ctx, s, c, g); err != nil {
		return proxmox.Explain(sys.Name, doing, err)
	}
	config, err := c.GuestConfig(ctx, g)
	if err != nil {
		return proxmox.Explain(sys.Name, doing, err)
	}
	ours := proxmox.Carries(config["description"], token)
	if !ours {
		if ours, err = halfMade(ctx, s, c, g, config, sys.TokenID); err != nil {
			return proxmox.Explain(sys.Name, doing, err)
		}
	}
	if !ours {
		return &failure.Error{Code: proxmox.CodeNotOurs, System: "proxmox " + sys.Name, Doing: doing,
			Said: "its description does not carry " + token + ": somebody else's guest is never removed",
			Hint: "look at it, and remove it by hand if it is the rest of a restore"}
	}
	upid, err := c.Destroy(ctx, g)
	if err != nil {
		return proxmox.Explain(sys.Name, doing, err)
	}
	st, err := c.Follow(ctx, upid, s.Sleep, func(string) {})
	if err != nil {
		return proxmox.Explain(sys.Name, doing, err)
	}
	if st.Exit != "OK" && !st.Warned() {
		return &failure.Error{Code: proxmox.CodeRefused, System: "proxmox " + sys.Name, Doing: doing, Said: st.Exit}
	}
	return nil
}

// TaskType is the type of the task that restores such a guest.
func TaskType(guest string) string {
	if guest == "lxc" {
		return "vzrestore"
	}
	return "qmrestore"
}

// idle waits until no restore of the guest is under way.
func idle(ctx context.Context, s *runtime.Step, c *proxmox.Client, g proxmox.Guest) error {
	tasks, err := c.Tasks(ctx, g.Node, TaskType(g.Type), g.VMID, s.Now().Add(-48*time.Hour))
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if t.Status == "RUNNING" {
			if _, err := c.Follow(ctx, t.UPID, s.Sleep, func(string) {}); err != nil {
				return err
			}
		}
	}
	return nil
}

// halfMade recognises what a failed restore of ours leaves: a configuration that
// holds nothing yet, and the last restore of that VMID was begun with our token
// and failed. Proxmox does not clean up after a VM.
func halfMade(ctx context.Context, s *runtime.Step, c *proxmox.Client, g proxmox.Guest, config map[string]string, tokenID string) (bool,
	error) {
	for k := range config {
		if k != "lock" && k != "digest" && k != "memory" && k != "meta" {
			return false, nil
		}
	}
	tasks, err := c.Tasks(ctx, g.Node, TaskType(g.Type), g.VMID, s.Now().Add(-48*time.Hour))
	if err != nil || len(tasks) == 0 {
		return false, err
	}
	last := slices.MaxFunc(tasks, func(a, b proxmox.Task) int { return int(a.Start - b.Start) })
	by := last.User
	if last.Token != "" {
		by += "!" + last.Token
	}
	return by == tokenID && last.Status != "OK" && !strings.HasPrefix(last.Status, "WARNINGS"), nil
}

// CleanStart removes what an interrupted attempt left under a VMID, so that the
// restore can begin again.
func CleanStart(ctx context.Context, s *runtime.Step, system string, vmid int64) error {
	return Destroy(ctx, s, system, vmid, s.Token())
}
