package builtins

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/builtins/lab"
)

// What does not come back as it was is a gap by name, its text is kept for reading,
// and nothing else is lost for it.
func TestATableThatDoesNotComeBackIsAGap(t *testing.T) {
	t.Parallel()
	const mangled = `{"table":{"family":"ip","name":"mangle","handle":3}},{"chain":{"family":"ip","table":"mangle","name":"FORWARD","handle":1,"type":"filter","hook":"forward","prio":-150,"policy":"accept"}},` +
		`{"rule":{"family":"ip","table":"mangle","chain":"FORWARD","handle":2,"expr":[{"xt":{"type":"target","name":"TCPMSS"}}]}}`
	iptables := func(b *bench, saved string) {
		b.node("run/lab/nft.json", `"oifname"}},"right":"vmbr0"}},{"masquerade":null}]}}`,
			`"oifname"}},"right":"vmbr0"}},{"masquerade":null}]}},`+mangled)
		b.node("run/lab/nft.txt", "table ip nat {", "table ip mangle {\n\tchain FORWARD {\n\t\ttype filter hook forward priority mangle; "+
			"policy accept;\n\t\ttcp option maxseg size set rt mtu\n\t}\n}\ntable ip nat {")
		if saved != "" {
			b.node("run/lab/iptables-save", "", saved)
		}
	}
	const rules = "*mangle\n:PREROUTING ACCEPT [3:4]\n:FORWARD ACCEPT [1:2]\n-A FORWARD -p tcp -j TCPMSS --clamp-mss-to-pmtu\nCOMMIT\n"
	for name, c := range map[string]struct {
		prep func(b *bench)
		gaps map[string]string
		want map[string]string
	}{
		"its text is refused": {func(b *bench) {
			b.inject(lab.Fault{On: "run pve1.lab nft", Do: "refuse Could not process rule: No such file or directory"})
		}, map[string]string{"table inet filter": "ruleset.nft: nft does not take it: nft: /dev/stdin:3:1-2: Error: Could not process rule",
			"table ip nat": "unproven.txt"},
			map[string]string{"unproven.txt": "iifname \"lo\" accept"}},
		"a rule is lost": {func(b *bench) { b.inject(lab.Fault{On: "run pve1.lab unshare", Do: "lose nat"}) },
			map[string]string{"table ip nat": "ruleset.nft: what is loaded from it is not the same: rules of chain postrouting"},
			map[string]string{"ruleset.nft": "delete table inet filter\ntable inet filter {", "unproven.txt": "masquerade"}},
		"there are no namespaces": {func(b *bench) {
			b.inject(lab.Fault{On: "run pve1.lab unshare", Do: "exit 1 unshare: unshare failed: Operation not permitted"})
			iptables(b, rules)
		}, map[string]string{"round trip of ruleset.nft": "Operation not permitted; nft -c took it",
			"table ip mangle": "no network namespace could be made"}, map[string]string{"ruleset.nft": "masquerade"}},
		"unshare is not there": {func(b *bench) { b.inject(lab.Fault{On: "run pve1.lab unshare", Do: "missing"}) },
			map[string]string{"round trip of ruleset.nft": "Debian: util-linux"}, nil},
		"iptables keeps it": {func(b *bench) { iptables(b, rules) }, nil,
			map[string]string{"iptables.rules": "*mangle\n:FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp -j TCPMSS --clamp-mss-to-pmtu\nCOMMIT\n"}},
		"iptables-save is not there": {func(b *bench) { iptables(b, "") },
			map[string]string{"table ip mangle": "iptables-save is not on the host (Debian: iptables)"},
			map[string]string{"unproven.txt": "maxseg size set rt mtu"}},
		"iptables-save cannot say it": {func(b *bench) { iptables(b, "# Table `mangle' is incompatible, use 'nft' tool.\n") },
			map[string]string{"table ip mangle": "Table `mangle' is incompatible, use 'nft' tool"}, map[string]string{"ruleset.nft": "masquerade"}},
		"iptables-save leaves a rule out": {func(b *bench) {
			iptables(b, strings.Replace(rules, "-A FORWARD", "-A OUTPUT", 1))
			b.inject(lab.Fault{On: "run pve1.lab unshare", Do: "lose mangle"})
		},
			map[string]string{"table ip mangle": "iptables.rules: what is loaded from it is not the same"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c.prep(b)
			if out := b.run(firewallOf("pve1")); out.Err != nil {
				t.Fatal(out.Err)
			}
			a := b.artifact("pve1")
			if len(a.Gaps) != len(c.gaps) {
				t.Errorf("got gaps %+v", a.Gaps)
			}
			for _, g := range a.Gaps {
				if why, want := c.gaps[g.What]; !want || !strings.Contains(g.Why, why) {
					t.Errorf("got gap %q: %s, want %q", g.What, g.Why, why)
				}
			}
			for file, words := range c.want {
				if text := b.spooled(a, file); !strings.Contains(text, words) {
					t.Errorf("%s does not hold %q:\n%s", file, words, text)
				}
			}
			out := b.run(`return verify(copies = copy(artifact = export_firewall(system = "pve1"), to = ["second-disk"]), level = "opened")`)
			if out.Err != nil {
				t.Error(out.Err)
			}
		})
	}
}

// A file that sets the network up comes back to the byte, or is a gap by name.
func TestFilesOfTheNetworkComeBackToTheByte(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	files := map[string]string{
		"etc/hosts":                             "192.0.2.1 b\xfccher\n",
		"etc/network/interfaces.d/latin":        "# Schl\xfcssel f\xfcr die Br\xfccke\nauto br0\n",
		"etc/network/interfaces.d/bytes":        "\x00\xff\xfe\r\n\\\n\u2028",
		"etc/sysctl.d/90 with blank's.conf":     "net.ipv4.ip_forward=1",
		"etc/systemd/network/10-\u00fc.network": "[Match]\nName=*\n",
		"etc/nftables.d/large.nft":              strings.Repeat("# much\n", 1<<18),
	}
	for name, text := range files {
		path := filepath.Join(b.lab.Node().Root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	b.good(firewallOf("pve1"))
	a := b.artifact("pve1")
	if len(a.Gaps) != 1 || a.Gaps[0].What != "file /etc/nftables.d/large.nft" || !strings.Contains(a.Gaps[0].Why, "more than 1048576 bytes") {
		t.Errorf("got gaps %+v", a.Gaps)
	}
	j, err := b.bring(a, kind.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		raw, err := os.ReadFile(filepath.Join(j.Into, "files", name))
		if strings.Contains(name, "large") {
			continue
		}
		if err != nil || string(raw) != text {
			t.Errorf("%s: got %q, %v", name, raw, err)
		}
	}
}
