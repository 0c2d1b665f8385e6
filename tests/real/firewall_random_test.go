package real

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// pick is one of them.
func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// randomFilter is a script that fills a namespace as several programs do that do not
// know of each other: tables of nft, tables of iptables and its siblings, and rules of
// nft in theirs.
func randomFilter(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(3) {
		family, name := pick(r, "ip", "ip6", "inet", "bridge", "arp", "netdev"), pick(r, "own", "filter", "nat", "x_1")
		fmt.Fprintf(&b, "nft add table %s %s\n", family, name)
		fmt.Fprintf(&b, "nft add chain %s %s c\n", family, name)
		for range r.IntN(4) {
			fmt.Fprintf(&b, "nft add rule %s %s c %s\n", family, name, nftRule(r, family))
		}
	}
	programs := []string{"iptables-nft", "ip6tables-nft", "ebtables-nft", "arptables-nft"}
	for range 2 + r.IntN(6) {
		program := programs[r.IntN(len(programs))]
		// a table that iptables cannot read any more takes no rule: that is the state then
		fmt.Fprintf(&b, "%s %s || :\n", program, xtRule(r, program))
	}
	for range r.IntN(3) {
		family := pick(r, "ip", "ip6", "bridge")
		fmt.Fprintf(&b, "nft list table %[1]s filter >/dev/null 2>&1 && nft add rule %[1]s filter %[2]s %[3]s || :\n", family,
			pick(r, "INPUT", "FORWARD", "c"), nftRule(r, family))
	}
	return b.String()
}

func nftRule(r *rand.Rand, family string) string {
	own := []string{"counter", "meta mark 7 accept", "iifname \\\"lo\\\" drop", "limit rate 3/second drop", "log prefix \\\"it is [1:2] \\\"",
		"meta length 60-90 counter drop"}
	switch family {
	case "ip", "inet":
		own = append(own, "ip saddr { 192.0.2.1, 198.51.100.0/24 } drop", "tcp dport 20-30 accept", "ct state new,untracked",
			"ip ttl 7 drop comment \\\"x\\\"")
	case "ip6":
		own = append(own, "ip6 saddr 2001:db8::/32 drop", "icmpv6 type echo-request accept", "udp sport vmap { 1 : accept, 2 : drop }")
	case "bridge":
		own = append(own, "ether saddr 00:11:22:33:44:55 drop", "vlan id 7 accept")
	}
	return "'" + strings.ReplaceAll(pick(r, own...), "\\\"", `"`) + "'"
}

func xtRule(r *rand.Rand, program string) string {
	switch program {
	case "ebtables-nft":
		return pick(r, "-A FORWARD -p IPv4 --ip-src 10.0.0.1 -j DROP", "-A INPUT -s 00:11:22:33:44:55 -j ACCEPT", "-P FORWARD DROP",
			"-A FORWARD --limit 9/m -j ACCEPT",
			"-t nat -A POSTROUTING -j snat --to-source 00:aa:bb:cc:dd:ee", "-A FORWARD -p ARP --arp-op Request -j CONTINUE",
			"-A OUTPUT --pkttype-type broadcast -j DROP", "-A FORWARD -p 802_1Q --vlan-id 7 -j DROP")
	case "arptables-nft":
		return pick(r, "-A INPUT -s 10.0.0.1 -j DROP", "-A OUTPUT -d 10.0.0.2 -j mangle --mangle-ip-s 10.0.0.3", "-P INPUT DROP",
			"-A INPUT --source-mac 00:11:22:33:44:55 -j ACCEPT", "-A INPUT --opcode 1 -j ACCEPT")
	}
	address := pick(r, "192.0.2.0/24", "198.51.100.7")
	if program == "ip6tables-nft" {
		address = "2001:db8::7"
	}
	return pick(r, "-A INPUT -s "+address+" -j DROP", "-P FORWARD DROP", "-A INPUT -p tcp -m multiport --dports 22,80:90 -j ACCEPT",
		"-t nat -A POSTROUTING -j MASQUERADE", "-t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
		"-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-A OUTPUT -m owner --uid-owner 0 -j ACCEPT",
		"-A INPUT -m comment --comment 'a [1:2] b' -j LOG --log-prefix 'x y '", "-A INPUT -m hashlimit --hashlimit-above 5/sec "+
			"--hashlimit-name h -j DROP",
		"-A FORWARD -m limit --limit 3/min -j REJECT", "-N log", "-A OUTPUT -m statistic --mode random --probability 0.25 -j MARK --set-mark 7",
		"-A INPUT -m recent --name r --set", "-t raw -A PREROUTING -j CT --notrack")
}

// Whatever is there: each table comes back as it was, or is a gap by name.
func TestAnyPacketFilterComesBackOrIsAGap(t *testing.T) {
	if os.Getenv("RUNNER_REAL") == "" {
		t.Skip("set RUNNER_REAL=1, as root, to run against real components")
	}
	whole := 0
	const draws = 20
	for seed := range uint64(draws) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			d := newDesk(t, firewallPolicy, firewallGaps, "nft", "ip", "sysctl", "unshare", "iptables-nft", "ebtables-nft", "arptables-nft")
			from, to := newNamespace(t, "any"), newNamespace(t, "any2")
			script := randomFilter(rand.New(rand.NewPCG(seed, 1)))
			from.setUp(d, script)
			if out, code := from.export(d); code != 0 && code != 3 {
				t.Fatalf("exit %d\n%s\nof\n%s", code, out, script)
			}
			was := d.comesBack(from, to, false)
			whole += len(was) - len(d.missed())
			t.Logf("%d tables, gaps: %q", len(was), d.missed())
			if t.Failed() {
				t.Log(script)
			}
		})
	}
	if whole < draws {
		t.Errorf("%d tables came back of %d draws: that proves little", whole, draws)
	}
}
