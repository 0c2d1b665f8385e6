package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhereTheLedgerLies(t *testing.T) {
	root := os.Geteuid() == 0
	pick := func(asRoot, else_ string) string {
		if root {
			return asRoot
		}
		return else_
	}
	for _, c := range []struct {
		name string
		f    flags
		env  map[string]string
		want string
	}{
		{"named", flags{state: "/srv/ledger"}, map[string]string{"STATE_DIRECTORY": "/run/x"}, "/srv/ledger"},
		{"of a unit", flags{}, map[string]string{"STATE_DIRECTORY": "/var/lib/unit:/var/lib/second"}, "/var/lib/unit"},
		{"the lab's is never that of a unit", flags{lab: true},
			map[string]string{"STATE_DIRECTORY": "/var/lib/unit", "XDG_STATE_HOME": "/home/a/state"},
			pick("/var/lib/runner-lab", "/home/a/state/runner-lab")},
		{"of a user or of root", flags{}, map[string]string{"XDG_STATE_HOME": "/home/a/state"}, pick("/var/lib/runner", "/home/a/state/runner")},
		{"of a user without that folder", flags{}, map[string]string{"HOME": "/home/a"}, pick("/var/lib/runner", "/home/a/.local/state/runner")},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []string{"STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"} {
				t.Setenv(n, c.env[n])
			}
			got, err := c.f.stateDir()
			if err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
	t.Run("relative ones are made whole", func(t *testing.T) {
		dir := t.TempDir()
		t.Chdir(dir)
		got, err := (&flags{state: "here"}).stateDir()
		if err != nil || !filepath.IsAbs(got) || filepath.Base(got) != "here" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
