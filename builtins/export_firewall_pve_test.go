package builtins

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/format/ruleset"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// asRoot talks to the lab's Proxmox as root does on a node.
func (b *bench) asRoot() *proxmox.Client {
	b.t.Helper()
	s, err := site.Load("site.star", []byte(b.site), runtime.Limits{})
	if err != nil {
		b.t.Fatal(err)
	}
	sys, err := s.System("pve")
	if err != nil {
		b.t.Fatal(err)
	}
	c, err := proxmox.New(proxmox.Config{Name: "pve", URLs: sys.URLs, Fingerprints: sys.Fingerprints, TokenID: lab.TokenIDRoot,
		Token: lab.Secrets()["pve-token-root"], Dial: b.lab.Dial})
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

var shellWord = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|\\.|[^\s'"\\])+`)

// words splits a line as a shell does, for the few forms that Quote writes.
func words(line string) (out []string) {
	for _, w := range shellWord.FindAllString(line, -1) {
		w = strings.ReplaceAll(w, `"$NODE"`, "pve1")
		w = strings.ReplaceAll(w, `'\''`, "\x00")
		out = append(out, strings.ReplaceAll(strings.ReplaceAll(w, "'", ""), "\x00", "'"))
	}
	return out
}

// pvesh makes the call of a line.
func pvesh(t *testing.T, c *proxmox.Client, line string) error {
	t.Helper()
	w := words(line)
	params := map[string]any{}
	for i := 3; i+1 < len(w); i += 2 {
		key := strings.TrimPrefix(w[i], "--")
		switch old := params[key].(type) {
		case nil:
			params[key] = w[i+1]
		case []any:
			params[key] = append(old, w[i+1])
		default:
			params[key] = []any{old, w[i+1]}
		}
	}
	var answer any
	switch w[1] {
	case "create":
		return c.Post(t.Context(), w[2], params, &answer)
	case "set":
		return c.Put(t.Context(), w[2], params, &answer)
	}
	return fmt.Errorf("pvesh %s is not known", w[1])
}

// The calls of restore-calls.sh are made on a cluster that has nothing, whose API takes
// what the vendor's schema takes; what is exported then is what was exported before.
func TestTheCallsForProxmoxBringTheStateBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	pve := b.dir + "/world/pve/nodes/pve1/etc/pve/"
	for name, text := range map[string]string{
		"sdn/firewall/office.fw": "[OPTIONS]\n\nenable: 1\npolicy_forward: DROP\n\n[RULES]\n\nFORWARD ACCEPT -p tcp -dport 25\nFORWARD ACCEPT " +
			"-p tcp -dport 26 # it's \"mail\"\n",
		"firewall/103.fw": "[OPTIONS]\n\nenable: 1\n\n[ALIASES]\n\nme 10.99.0.5\n\n[IPSET ipfilter-net0]\n\n10.99.0.5\n!10.99.0.6 # not " +
			"that\n\n[RULES]\n\nGROUP web -i net0\n|IN Web(DROP) -i net0 -source guest/me\n",
	} {
		if err := os.MkdirAll(filepath.Dir(pve+name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(pve+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ranges, err := os.OpenFile(pve+"sdn/subnets.cfg", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ranges.WriteString("subnet: lan-10.30.0.0-24\n\tvnet office\n\tdhcp-range " +
		"start-address=10.30.0.10,end-address=10.30.0.20\n\tdhcp-range start-address=10.30.0.30,end-address=10.30.0.40\n\tsnat 1\n\n")
	if err := errors.Join(err, ranges.Close()); err != nil {
		t.Fatal(err)
	}
	b.good(`return copy(artifact = export_firewall(system = "pve"), to = ["offline-a"])`)
	before := b.spooled(b.artifact("pve"), "ruleset.json")
	if w := missing(before, []string{`"name":"sdn/vnets/office/rules"`, `"dport":"26"`, `"gateway":"10.20.0.1"`,
		`{"end-address":"10.30.0.40","start-address":"10.30.0.30"}`}); w != "" {
		t.Fatalf("the export does not hold %q", w)
	}
	into := t.TempDir()
	keys, err := ReadKeys("the lab's", strings.NewReader(lab.RecoveryIdentity))
	if err != nil {
		t.Fatal(err)
	}
	m := openMedium(t, b.usb("offline-a"), keys.Identities)
	entries := m.Entries()
	got, err := m.Extract(t.Context(), entries[len(entries)-1].ID, into)
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(got.Paths[len(got.Paths)-1])
	if err != nil || !strings.HasSuffix(got.Paths[len(got.Paths)-1], "restore-calls.sh") {
		t.Fatalf("got %v, %v", got.Paths, err)
	}
	for _, gone := range []string{"firewall", "sdn", "nodes/pve1/host.fw"} {
		if err := os.RemoveAll(pve + gone); err != nil {
			t.Fatal(err)
		}
	}
	c := b.asRoot()
	for line := range strings.Lines(string(script)) {
		if !strings.HasPrefix(line, "pvesh ") {
			continue
		}
		if err := pvesh(t, c, strings.TrimSpace(line)); err != nil {
			t.Errorf("%s%v", line, err)
		}
	}
	b.run(firewallOf("pve"))
	old, err := ruleset.Parse([]byte(before))
	if err != nil {
		t.Fatal(err)
	}
	again, err := ruleset.Parse([]byte(b.spooled(b.artifact("pve"), "ruleset.json")))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range ruleset.Diff(old, again) {
		t.Errorf("it came back otherwise: %s", d.Text())
	}
}

// A token that may see less than there is gets a shorter list, and no word.
func TestAnEmptyListIsNotBelievedWithoutTheRight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		acl  map[string][]string
		gaps map[string]string // what -> a word of the reason; where that is "", it is the vendor's version
		only bool              // there is no other
	}{
		{"all rights of README", leastRights(), map[string]string{"sdn/prefix-lists": "", "sdn/route-maps": ""}, true},
		{"no SDN.Audit", func() map[string][]string {
			acl := leastRights()
			acl["/"] = []string{"Sys.Audit", "VM.Audit"}
			return acl
		}(), map[string]string{"sdn/zones": "/sdn/zones, SDN.Audit|SDN.Allocate", "sdn/vnets": "SDN.Audit", "sdn/ipams": "/sdn/ipams",
			"sdn/controllers": "/sdn/controllers", "sdn/dns": "/sdn/dns",
			"sdn/fabrics": "/sdn/fabrics", "node/pve1/network": "/sdn/zones/localnetwork, SDN.Audit|SDN.Use"}, false},
		{"no Sys.Audit", func() map[string][]string {
			acl := leastRights()
			acl["/"] = []string{"SDN.Audit", "VM.Audit"}
			return acl
		}(), map[string]string{"cluster/rules": "(/, Sys.Audit)", "node/pve1/rules": "/nodes/pve1, Sys.Audit"}, false},
		{"a guest that is hidden", leastRights("/vms/103"), map[string]string{"guest/103": "/vms/103, VM.Audit"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.rights(c.acl)
			out := b.run(firewallOf("pve"))
			if out.Err != nil {
				t.Fatal(out.Err)
			}
			found := map[string]ledger.Gap{}
			for _, g := range b.artifact("pve").Gaps {
				found[g.What] = g
			}
			for what, why := range c.gaps {
				g := found[what]
				if why != "" && (!strings.Contains(g.Why, why) || !strings.Contains(g.Mend, "give ") ||
					!strings.Contains(g.Mend, "'runner@pve!runner'")) {
					t.Errorf("%s: got gap %+v, want %q", what, g, why)
				}
			}
			if c.only && len(found) > len(c.gaps) {
				t.Errorf("got gaps %v", found)
			}
		})
	}
}

func TestANodeWithoutFiguresIsExported(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: "pvestatd pve1", Do: "hang"})
	out := b.run(firewallOf("pve"))
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	for _, g := range b.artifact("pve").Gaps {
		if strings.Contains(g.Why, "node pve1") {
			t.Errorf("got gap %+v of a node that answers", g)
		}
	}
}

func TestAVnetThatWasNotAppliedIsAGap(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.asRoot().Post(t.Context(), "/cluster/sdn/vnets", map[string]any{"vnet": "vn2", "zone": "lan"}, new(any)); err != nil {
		t.Fatal(err)
	}
	out := b.run(firewallOf("pve"))
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	found := 0
	for _, g := range b.artifact("pve").Gaps {
		if strings.HasPrefix(g.What, "sdn/vnets/vn2/") && strings.Contains(g.Why, "not applied yet") {
			found++
		}
	}
	if text := b.spooled(b.artifact("pve"), "ruleset.json"); found != 2 || !strings.Contains(text, `"name":"sdn/vnets/office/rules"`) {
		t.Errorf("got %d gaps: %v", found, b.artifact("pve").Gaps)
	}
}
