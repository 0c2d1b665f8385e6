package lab

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestFaultsThatCannotHappenAreRefused(t *testing.T) {
	for _, c := range []struct{ on, do, want string }{
		{"vzdump 101", "fail disk error", ""},
		{"vzdmp 101", "fail x", `nothing in the lab is called vzdmp, want GET, `},
		{"vzdump 101", "explode", `"explode" cannot happen there, want slow D, fail TEXT`},
		{"vzdump mail", "fail x", `"mail" is no VMID`},
		{"ssh ofsite.lab", "refuse", `the lab has no machine "ofsite.lab"`},
		{"run pve1.lab tra", "missing", `the node has no program "tra"`},
		{"*restore *", "slow 2s", ""},
		{"*", "answer 500", ""},
		{"GET */items", "endless", ""},
		{"", "slow", "a fault wants a place"},
	} {
		err := check(Fault{On: c.on, Do: c.do})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s %s: got %v, want %q", c.on, c.do, err, c.want)
		}
	}
}

// What the servers ask for stands in the table: each name that a call of Due has.
func TestTheTableHasEveryDeed(t *testing.T) {
	known := map[string]bool{}
	for _, p := range FaultPlaces() {
		for _, d := range p.Deeds {
			known[d.name()] = true
			if d.Doc == "" {
				t.Errorf("%s %s is not explained", p.On, d.Do)
			}
		}
	}
	due := regexp.MustCompile(`\.Due\([^)]*\)|[dD]eeds = \[\]string\{[^}]*\}`)
	word := regexp.MustCompile(`, "([a-z-]+)"|\{"([a-z-]+)"`)
	found := 0
	for _, file := range []string{"dial.go", "unifi/unifi.go", "cloudflare/deeds.go", "sftp/handlers.go", "sftp/server.go", "host/host.go",
		"host/lsblk.go", "host/network.go",
		"host/unshare.go", "host/rear.go", "host/tar.go", "host/journalctl.go", "proxmox/api.go", "proxmox/fault.go", "proxmox/inventory.go",
		"proxmox/hook.go", "proxmox/guestapi.go", "proxmox/vzdumpjob.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range due.FindAllString(string(text), -1) {
			for _, m := range word.FindAllStringSubmatch(call, -1) {
				found++
				if name := m[1] + m[2]; !known[name] {
					t.Errorf("%s: %s is not in the table", file, name)
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("found %d deeds in the servers", found)
	}
}
