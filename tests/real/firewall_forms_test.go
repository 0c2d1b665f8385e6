package real

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// firewallGaps is firewallSite, where nothing is accepted.
const firewallGaps = `
host(name = "here", local = True, rear = False)
asset(name = "networking")
`

// export runs the policy in the namespace; the exit code is returned with what was said.
func (n namespace) export(d *desk) (string, int) {
	n.t.Helper()
	c := exec.CommandContext(n.t.Context(), "ip", append([]string{"netns", "exec", n.name}, d.args("exec", d.path("policy.star"))...)...)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		n.t.Fatal(err)
	}
	return string(out), c.ProcessState.ExitCode()
}

// missed are the parts of the newest export that are gaps.
func (d *desk) missed() map[string]string {
	d.t.Helper()
	var doc struct {
		Missing []struct{ Part, Why string }
		Checked []struct {
			File   string
			Tables []string
		}
	}
	if err := json.Unmarshal([]byte(d.newest("ruleset.json")), &doc); err != nil {
		d.t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range doc.Missing {
		out[m.Part] = m.Why
	}
	return out
}

// newest is a file of the newest export; "" when there is none of that name.
func (d *desk) newest(file string) string {
	d.t.Helper()
	copies, err := filepath.Glob(d.path("media/ruleset/here/*"))
	if err != nil || len(copies) == 0 {
		d.t.Fatalf("no copy: %v", err)
	}
	raw, err := os.ReadFile(filepath.Join(slices.Max(copies), file))
	if err != nil && !os.IsNotExist(err) {
		d.t.Fatal(err)
	}
	return string(raw)
}

const (
	dockerUser = `nft -f - <<'N'
table ip filter {
	set banned {
		type ipv4_addr
		flags interval
		elements = { 203.0.113.0/24 }
	}
	chain DOCKER-USER {
		ip saddr @banned counter drop
		log prefix "bad" counter
	}
}
N
iptables-nft -t filter -N DOCKER-X
iptables-nft -A INPUT -m addrtype --dst-type LOCAL -j ACCEPT
`
	laterRule = `iptables-nft -P INPUT DROP
iptables-nft -N DOCKER-USER
iptables-nft -A FORWARD -j DOCKER-USER
iptables-nft -A INPUT -m addrtype --dst-type LOCAL -p tcp --dport 22 -j ACCEPT
iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE
nft add set ip filter banned '{ type ipv4_addr; flags interval; elements = { 203.0.113.0/24 }; }'
nft insert rule ip filter DOCKER-USER ip saddr @banned counter drop
`
	ownTable = `ip link add br7 type bridge
F=$(mktemp -u); mkfifo $F; (exec 3<>$F; exec nft -i <&3 >/dev/null 2>&1) & echo $! > owner.pid
cat > $F <<'N'
add table inet firewalld { flags owner; }
add chain inet firewalld filter_INPUT { type filter hook input priority filter + 10; policy accept; }
add rule inet firewalld filter_INPUT ct state established,related accept
add rule inet firewalld filter_INPUT iif "br7" accept
add rule inet firewalld filter_INPUT reject with icmpx admin-prohibited
add table inet mine
add chain inet mine input { type filter hook input priority 0; policy drop; }
add table inet asleep { flags dormant; }
N
until nft list tables | grep -q asleep; do :; done; rm -f $F
`
	keywordChain = `iptables-nft -N log
iptables-nft -A log -j DROP
iptables-nft -A INPUT -s 192.0.2.0/24 -j log
`
	keywordNames = `nft -j -f - <<'N'
{"nftables": [{"add": {"table": {"family": "inet", "name": "ct"}}}, {"add": {"chain": {"family": "inet", "table": "ct", "name": "drop"}}},
{"add": {"rule": {"family": "inet", "table": "ct", "chain": "drop", "expr": [{"accept": null}]}}}]}
N
`
	siblings = `ebtables-nft -A FORWARD -p IPv4 --ip-src 10.0.0.1 -j DROP
ebtables-nft -t nat -A PREROUTING -d 00:11:22:33:44:55 -j dnat --to-destination 00:aa:bb:cc:dd:ee
arptables-nft -A INPUT -s 10.0.0.1 -j DROP
arptables-nft -A OUTPUT -s 10.0.0.2 -j mangle --mangle-ip-s 10.0.0.3
ip6tables-nft -A INPUT -m hl --hl-eq 255 -j ACCEPT
`
	lostLimit = `ebtables-nft -A FORWARD -p IPv4 --ip-proto tcp --limit 10/s --log --log-prefix x -j ACCEPT
`
	legacy = `iptables-legacy -A INPUT -s 192.0.2.7 -j DROP
ip6tables-legacy -t mangle -A FORWARD -j DROP
`
	ipSets = `ipset create bad hash:net timeout 600 counters
ipset add bad 203.0.113.0/24 timeout 0
ipset add bad 198.51.100.7
ipset create all list:set
ipset add all bad
iptables-nft -A INPUT -m set --match-set bad src -j DROP
iptables-nft -A FORWARD -m set --match-set all src,dst -j DROP
`
	interfaces = `ip link add wan0 type bridge
nft -f - <<'N'
table inet f {
	chain input {
		type filter hook input priority filter
		iif "wan0" drop
		oif "lo" accept
	}
}
table netdev guard {
	chain ingress {
		type filter hook ingress device "wan0" priority 0
		ip saddr 192.0.2.1 drop
	}
}
N
`
)

// Every table of every family is in one file that loads, or is a gap by name: nothing
// is lost without a word, and nothing comes back as another rule.
func TestEachTableComesBackOrIsAGap(t *testing.T) {
	for name, c := range map[string]struct {
		make  string
		files map[string][]string // what they hold
		never map[string][]string
		gaps  map[string]string
	}{
		"docker's table with rules of nft": {make: dockerUser, gaps: map[string]string{"table ip filter": "is incompatible, use 'nft' tool"},
			files: map[string][]string{"unproven.txt": {"ip saddr @banned counter drop"}}},
		"a rule of nft, later": {make: laterRule, gaps: map[string]string{"table ip filter": "what is loaded from it is not the same"},
			files: map[string][]string{"iptables.rules": {"*nat", "MASQUERADE"}, "unproven.txt": {"ip saddr @banned counter drop"}},
			never: map[string][]string{"iptables.rules": {"*filter", "-j DROP"}, "ruleset.nft": {"masquerade"}}},
		"a table that a program owns": {make: ownTable,
			files: map[string][]string{"ruleset.nft": {"chain filter_INPUT", "chain input", "flags dormant",
				"inet firewalld belonged to a running program"},
				"ruleset.json": {`"flags":["owner"]`, `"right":"br7"`, `"flags":["dormant"]`}},
			never: map[string][]string{"ruleset.nft": {"flags owner\n"}}},
		"a chain of iptables with the name of a keyword": {make: keywordChain,
			files: map[string][]string{"iptables.rules": {"-A INPUT -s 192.0.2.0/24 -j log", "-A log -j DROP"}}},
		"names of nftables that are keywords": {make: keywordNames, files: map[string][]string{"ruleset.nft.json": {`"name":"drop"`}}},
		"bridge, arp and IPv6": {make: siblings,
			files: map[string][]string{"ebtables.rules": {"--ip-src 10.0.0.1 -j DROP", "--to-dst 00:aa:bb:cc:dd:ee"},
				"arptables.rules": {"--mangle-ip-s 10.0.0.3"}, "ip6tables.rules": {"--hl-eq 255"}}},
		"a limit that ebtables-save leaves out": {make: lostLimit, gaps: map[string]string{"table bridge filter": "rules of chain FORWARD"}},
		"the kernel's older tables": {make: legacy, files: map[string][]string{"iptables-legacy.rules": {"-s 192.0.2.7/32 -j DROP"},
			"ip6tables-legacy.rules": {"*mangle"}}},
		"sets of ipset": {make: ipSets,
			files: map[string][]string{"ipset.rules": {"add bad 203.0.113.0/24 timeout 0", "add all bad"},
				"iptables.rules": {"--match-set bad src"}}},
		"rules and tables of interfaces": {make: interfaces, files: map[string][]string{"ruleset.nft": {`iif "wan0" drop`, "netdev guard"}}},
		"all kinds of sets": {make: "nft -f - <<'N'\n" + sets() + "N\n",
			files: map[string][]string{"ruleset.nft": {"concat", "vmap"}}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, firewallPolicy, firewallGaps, "nft", "ip", "sysctl", "unshare", "iptables-nft", "ebtables-nft", "arptables-nft", "ipset")
			from, to := newNamespace(t, "forms"), newNamespace(t, "forms2")
			from.setUp(d, c.make)
			out, code := from.export(d)
			want := 0
			if len(c.gaps) > 0 {
				want = 3
			}
			if code != want {
				t.Errorf("exit %d, want %d\n%s", code, want, out)
			}
			got := d.missed()
			for part, why := range c.gaps {
				if !strings.Contains(got[part], why) {
					t.Errorf("gap of %s: got %q, want %q", part, got[part], why)
				}
			}
			if len(got) != len(c.gaps) {
				t.Errorf("got gaps %q", got)
			}
			for file, words := range c.files {
				for _, w := range words {
					if text := d.newest(file); !strings.Contains(text, w) {
						t.Errorf("%s does not hold %q:\n%s", file, w, text)
					}
				}
			}
			for file, words := range c.never {
				for _, w := range words {
					if text := d.newest(file); strings.Contains(text, w) {
						t.Errorf("%s holds %q:\n%s", file, w, text)
					}
				}
			}
			if c.make == interfaces {
				to.run("", "ip", "link", "add", "wan0", "type", "bridge")
			}
			if c.make == ownTable {
				to.run("", "ip", "link", "add", "br7", "type", "bridge")
			}
			was := d.comesBack(from, to, c.make == ownTable)
			if len(was) == 0 && c.make != legacy {
				t.Error("nothing was compared")
			}
		})
	}
}

// comesBack recovers the newest export into the other namespace: what is not a gap must be
// there as it was, and what is one must not. It returns what was there.
func (d *desk) comesBack(from, to namespace, flagged bool) map[string]string {
	d.t.Helper()
	gaps := d.missed()
	d.runner(0, "recover", "--from", d.path("media"), "--to", d.path("back"), "--netns", to.name)
	was, is := from.tables(flagged), to.tables(flagged)
	for table, listed := range was {
		switch lost := gaps["table "+table] != ""; {
		case lost && is[table] != "":
			d.t.Errorf("%s is a gap, and came back", table)
		case !lost && is[table] != listed:
			d.t.Errorf("%s came back as\n%s\nwas\n%s", table, is[table], listed)
		}
	}
	for table := range is {
		if was[table] == "" {
			d.t.Errorf("%s came back and was not there", table)
		}
	}
	return was
}

// setUp makes the state, in a shell of the namespace.
func (n namespace) setUp(d *desk, script string) {
	n.t.Helper()
	c := exec.CommandContext(n.t.Context(), "ip", "netns", "exec", n.name, "sh", "-e", "-c", script)
	c.Dir = d.dir
	var said strings.Builder
	c.Stderr = &said
	if err := c.Run(); err != nil {
		n.t.Fatalf("%v: %s", err, &said)
	}
	if pid, err := os.ReadFile(d.path("owner.pid")); err == nil {
		n.t.Cleanup(func() { tool(n.t, "kill", strings.TrimSpace(string(pid))) })
	}
}

var passing = regexp.MustCompile(`"(handle|expires|packets|bytes|used)": \d+|"used_unit": "\w+"|"flags": "[^"]*"`)

// tables are the listings of nft -j by table, written here and not by what is tested:
// the lines of each, in order of the alphabet but for rules. Where it prints broken
// JSON of tables with flags, the text stands for all.
func (n namespace) tables(flagged bool) map[string]string {
	n.t.Helper()
	if flagged {
		text := regexp.MustCompile(` # progname \w+|\tflags owner\n`).ReplaceAllString(n.run("", "nft", "-s", "list", "ruleset"), "")
		out := map[string]string{}
		for _, block := range strings.SplitAfter(regexp.MustCompile(`\{\n\n`).ReplaceAllString(text, "{\n"), "\n}\n") {
			if head, _, found := strings.Cut(block, " {"); found {
				out[strings.TrimPrefix(head, "table ")] = block
			}
		}
		return out
	}
	var all struct{ Nftables []map[string]map[string]any }
	if err := json.Unmarshal([]byte(passing.ReplaceAllString(n.run("", "nft", "-j", "-s", "list", "ruleset"), `"x": 0`)), &all); err != nil {
		n.t.Fatal(err)
	}
	lines := map[string][]string{}
	for _, o := range all.Nftables {
		for kind, m := range o {
			table := fmt.Sprint(m["family"], " ", m["table"])
			if kind == "table" {
				table = fmt.Sprint(m["family"], " ", m["name"])
			}
			raw, err := json.Marshal(m)
			if err != nil {
				n.t.Fatal(err)
			}
			key := kind + " "
			if kind == "rule" {
				key += fmt.Sprintf("%v %06d ", m["chain"], len(lines[table]))
			}
			if kind != "metainfo" {
				lines[table] = append(lines[table], key+string(raw))
			}
		}
	}
	out := map[string]string{}
	for table, l := range lines {
		slices.Sort(l)
		for i := range l { // places in the whole list are not the rule's
			l[i] = regexp.MustCompile(`^(rule \S+) \d{6} `).ReplaceAllString(l[i], "$1 ")
		}
		out[table] = strings.Join(l, "\n")
	}
	return out
}

// sets are tables with every kind of set, large enough to be out of order.
func sets() string {
	var b strings.Builder
	b.WriteString("table inet sets {\n\tset many {\n\t\ttype ipv4_addr\n\t\telements = { ")
	for i := range 500 {
		fmt.Fprintf(&b, "10.%d.%d.%d, ", i*37%251, i%200, i*7%250)
	}
	b.WriteString("10.9.9.9 }\n\t}\n\tset ranges {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\tauto-merge\n\t\telements = { 192.0.2.0/25, " +
		"198.51.100.1-198.51.100.9 }\n\t}\n")
	b.WriteString("\tset concat {\n\t\ttype ipv4_addr . inet_service\n\t\tflags interval,timeout\n\t\telements = { 192.0.2.0/24 . 22-25 " +
		"timeout 1h, 192.0.2.9 . 80 comment \"a } b\" }\n\t}\n")
	b.WriteString("\tset counted {\n\t\ttypeof ip saddr\n\t\tcounter\n\t\telements = { 192.0.2.1 counter packets 7 bytes 8 }\n\t}\n")
	b.WriteString("\tset packets {\n\t\ttype ipv4_addr\n\t\tsize 1024\n\t\tflags dynamic,timeout\n\t\ttimeout 1h\n\t\telements = { " +
		"198.51.100.9 timeout 1h }\n\t}\n")
	b.WriteString("\tmap verdicts {\n\t\ttype inet_service : verdict\n\t\telements = { 443 : accept, 22 : jump c }\n\t}\n\tquota q { over " +
		"10 mbytes used 3 mbytes }\n\tlimit l { rate 5/second burst 9 packets }\n")
	b.WriteString("\tct helper ftp { type \"ftp\" protocol tcp; l3proto ip; }\n\tcounter n { comment \"7\"\n packets 7 bytes 9 }\n")
	b.WriteString("\tchain c {\n\t\tcomment \"mine { \"\n\t\tip saddr @many counter packets 9 bytes 10 quota over 5 kbytes used 3 kbytes " +
		"drop\n\t\tadd @packets { ip saddr limit rate 4/minute } comment \"x # y\"\n\t}\n")
	b.WriteString("\tchain in {\n\t\ttype filter hook input priority -7; policy drop;\n\t\ttcp dport vmap @verdicts\n\t\tip saddr . tcp " +
		"dport @concat limit name \"l\" quota name \"q\" accept\n\t\tmeta l4proto { tcp, udp } th dport { 9, 7, 8 } accept\n\t}\n}\n")
	return b.String()
}

// A table that others change all the time is reported as such, and costs no other table.
func TestATableThatChangesMeanwhileIsTold(t *testing.T) {
	d := newDesk(t, firewallPolicy, firewallGaps, "nft", "ip", "sysctl", "unshare")
	from := newNamespace(t, "moves")
	from.run("table inet quiet {\n\tchain c {\n\t\taccept\n\t}\n}\ntable inet moves {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}\n", "nft", "-f",
		"-")
	c := exec.CommandContext(t.Context(), "ip", "netns", "exec", from.name, "sh", "-c",
		`i=0; while i=$((i+1)); do nft add element inet moves s "{ 10.$((i/65536%256)).$((i/256%256)).$((i%256)) }"; done`)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = c.Wait() // it was killed
	}()
	out, code := from.export(d)
	if code != 0 && code != 3 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if !strings.Contains(d.newest("ruleset.nft"), "table inet quiet {") {
		t.Error("the table that did not change is not in ruleset.nft")
	}
	switch why := d.missed()["table inet moves"]; {
	case code == 0 && why == "" && strings.Contains(d.newest("ruleset.nft"), "table inet moves {"):
	case code == 3 && strings.Contains(why, "it changed each time that it was read"):
	default:
		t.Errorf("exit %d, gap %q\n%s", code, why, out)
	}
}
