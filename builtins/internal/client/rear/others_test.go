package rear

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/layout"
	"github.com/neosofia/runner/runtime/failure"
)

func TestEveryDiskThatARecoveryErasesIsInItsQuestion(t *testing.T) {
	const grown = `{"name":"sde","path":"/dev/sde","type":"disk","size":1,"children":[
		{"name":"big-a","path":"/dev/mapper/big-a","type":"lvm","size":1,"mountpoints":["/srv/a"]}]},
		{"name":"sdf","path":"/dev/sdf","type":"disk","size":1,"children":[
		{"name":"big-b","path":"/dev/mapper/big-b","type":"lvm","size":1}]}`
	for _, c := range []struct {
		name  string
		disks []string
		held  []Held
		want  []string
	}{
		{"a folder on a disk of its own", []string{sda, at(sdb, "/srv/backup")}, nil, []string{"/dev/sda", "/dev/sdb"}},
		{"a disk that nothing is mounted from", []string{sda, at(sdb, "")}, nil, []string{"/dev/sda"}},
		{"a disk with copies", []string{sda, at(sdb, "/srv/backup")}, []Held{{Target: "a", Path: "/srv/backup"}}, []string{"/dev/sda"}},
		{"the other disk of a group", []string{sda, grown}, nil, []string{"/dev/sda", "/dev/sde", "/dev/sdf"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts(t, c.disks...)
			f.Targets = c.held
			p, err := Prepare(f, options)
			if err != nil || !slices.Equal(p.Disks, c.want) {
				t.Fatalf("got %+v, %v; want disks %v", p, err, c.want)
			}
			for _, d := range c.want {
				if !strings.Contains(p.guard(options), d) || !strings.Contains(p.Help(), d) {
					t.Errorf("the question or the menu does not name %s", d)
				}
			}
		})
	}
}

func TestALayoutWithADiskThatNobodyWasToldOfIsRefused(t *testing.T) {
	p := &Plan{Disks: []string{"/dev/sda"}}
	for text, refused := range map[string]bool{
		"disk /dev/sda 64424509440 gpt\n":                                    false,
		"disk /dev/sda 64424509440 gpt\n#disk /dev/sdd 500107862016 gpt\n":   false,
		"disk /dev/sda 64424509440 gpt\ndisk /dev/sdd 500107862016 gpt\n":    true,
		"disk /dev/sda 64424509440 gpt\ndisk /dev/sdaa 500107862016 unknown": true,
	} {
		l, err := layout.Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if held := p.Unnamed(l); (held != nil) != refused {
			t.Errorf("%q: got %v, want refused: %v", text, held, refused)
		}
	}
}

func TestATargetWhoseMediumIsAwayDoesNotLieOnTheRoot(t *testing.T) {
	const nfs = "25 1 8:1 / / rw - ext4 /dev/mapper/pve-root rw\n40 25 0:50 / /mnt/my\\040nas rw,relatime shared:9 - nfs4 nas:/x rw\n"
	for _, c := range []struct {
		name   string
		disks  []string
		held   Held
		mounts string
		want   string // kept; "refused"
	}{
		{"its file system is not there", []string{sda}, Held{Target: "a", Path: "/media/offline-a", UUID: "fs-1"}, "", ""},
		{"its disk is not there", []string{sda}, Held{Target: "a", Path: "/media/offline-a", Serial: "USB1"}, "", ""},
		{"it is there and not mounted", []string{sda, at(sdb, "")}, Held{Target: "a", Path: "/media/offline-a", UUID: "fs-1"}, "", "/dev/sdb"},
		{"it is mounted where it belongs", []string{sda, at(sdb, "/media/offline-a")}, Held{Target: "a", Path: "/media/offline-a", UUID: "fs-1"},
			"", "/media/offline-a"},
		{"a folder of the root that says nothing of a medium", []string{sda}, Held{Target: "a", Path: "/media/offline-a"}, "", "refused"},
		{"a file system of the network", []string{sda}, Held{Target: "a", Path: "/mnt/my nas/copies"}, nfs, "/mnt/my nas"},
		{"beside one of the network", []string{sda}, Held{Target: "a", Path: "/mnt/other"}, nfs, "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts(t, c.disks...)
			f.Targets, f.Mounts = []Held{c.held}, c.mounts
			p, err := Prepare(f, options)
			var holds *HoldsError
			switch {
			case c.want == "refused":
				if !errors.As(err, &holds) || !holds.Copies {
					t.Errorf("got %v, want a refusal", err)
				}
			case err != nil || c.want != "" && !slices.Contains(names(p), c.want) || c.want == "" && len(p.Kept) > 0:
				t.Errorf("got %v, %v; want %q kept", p, err, c.want)
			}
		})
	}
}

func TestANodeWhoseClusterIsNotThereIsRefused(t *testing.T) {
	for trace, refused := range map[string]bool{"": false, "/usr/bin/pveversion": true, "/var/lib/pve-cluster": true, "/etc/pve/nodes": true,
		"/etc/pve/nodes/pve1": false} {
		t.Run(trace, func(t *testing.T) {
			h := newLabHost(t)
			if err := os.RemoveAll(h.on("/etc/pve")); err != nil {
				t.Fatal(err)
			}
			if trace != "" {
				if err := os.MkdirAll(h.on(trace), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			f, err := Gather(t.Context(), h)
			if refused != failure.Is(err, host.CodeFailed) || !refused && (err != nil || len(f.Guests) > 0) {
				t.Errorf("got %v, %v; want refused: %v", f, err, refused)
			}
		})
	}
}
