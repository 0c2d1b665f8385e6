package savefiles

import (
	"context"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/runtime"
)

// mounts are the file systems of a host by where they are mounted.
type mounts map[string]string

// virtual are the file systems that hold nothing of their own: what the kernel shows, and
// what is gone after a start anyway.
var virtual = map[string]bool{
	"autofs": true, "binfmt_misc": true, "bpf": true, "cgroup": true, "cgroup2": true, "configfs": true, "debugfs": true, "devpts": true,
	"devtmpfs": true, "efivarfs": true, "fusectl": true, "hugetlbfs": true, "mqueue": true, "nsfs": true, "proc": true, "pstore": true,
	"ramfs": true, "rpc_pipefs": true, "securityfs": true, "sysfs": true, "tmpfs": true, "tracefs": true,
}

// readMounts asks the host's kernel. Without an answer every file system counts.
func readMounts(ctx context.Context, s *runtime.Step, h host.Host) mounts {
	raw, err := host.ReadFile(ctx, h, "/proc/self/mountinfo", 4<<20)
	if err != nil {
		s.Log("%s: what is mounted where is not known: %v", h.Name(), err)
		return nil
	}
	return parseMounts(string(raw))
}

// parseMounts reads mountinfo; of several mounts on one place the last covers the others.
func parseMounts(text string) mounts {
	m := mounts{}
	for line := range strings.Lines(text) {
		front, back, ok := strings.Cut(line, " - ")
		f, b := strings.Fields(front), strings.Fields(back)
		if ok && len(f) >= 5 && len(b) >= 1 {
			m[unescape(f[4])] = b[0]
		}
	}
	return m
}

// at is the type of the file system that is mounted there; "" is none.
func (m mounts) at(place string) string { return m[place] }

// of is the place on which the file system of a path is mounted.
func (m mounts) of(path string) string {
	best := ""
	for place := range m {
		if len(place) > len(best) && below(path, place) {
			best = place
		}
	}
	return best
}
