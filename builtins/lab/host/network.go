package host

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// The packet filter and the network of the host are what these programs printed on
// a machine of that shape: the lab keeps their output in files, which tests change.
//
//	run/lab/nft.json, run/lab/nft.txt    nft -j -s list ruleset, nft -s list ruleset
//	run/lab/ip-address.json …            ip -j address show, …
//	run/lab/sysctl                       KEY = VALUE
//	run/lab/iptables-save                only when it is there, iptables is installed
//
// nft -c takes a text when its braces are balanced and every chain that it jumps
// to is in it. Faults of "nft": refuse TEXT (of nft -c and nft -f). What a network
// namespace does is in unshare.go.

func nft(_ context.Context, c *Call) int {
	args := strings.Join(c.Args[1:], " ")
	switch {
	case args == "-j -s list ruleset":
		return c.print("nft.json")
	case args == "-s list ruleset":
		return c.print("nft.txt")
	case strings.HasPrefix(args, "-s list table ") && len(c.Args) == 6:
		_, err := io.WriteString(c.Stdout, c.state().text[ruleset.Table{Family: c.Args[4], Name: c.Args[5]}])
		if err != nil {
			return 1
		}
		return 0
	case args == "-c -f -":
		text, err := io.ReadAll(io.LimitReader(c.Stdin, 16<<20))
		if err != nil {
			return c.Fail(1, "%v", err)
		}
		return c.nftCheck(string(text))
	}
	return c.Fail(1, "the lab's nft does not know %q", args)
}

func (c *Call) nftCheck(text string) int {
	if code := c.refused(); code != 0 {
		return code
	}
	if strings.Count(text, "{") != strings.Count(text, "}") {
		return c.Fail(1, "/dev/stdin:1:1-1: Error: syntax error, unexpected end of file")
	}
	words := strings.Fields(text)
	chains := map[string]bool{}
	for i, w := range words {
		if w == "chain" && i+1 < len(words) {
			chains[words[i+1]] = true
		}
	}
	for i, w := range words {
		if (w == "jump" || w == "goto") && i+1 < len(words) && !chains[words[i+1]] {
			return c.Fail(1, "/dev/stdin:1:1-1: Error: Could not process rule: No such file or directory")
		}
	}
	return 0
}

func (c *Call) refused() int {
	deeds, err := c.Due("refuse")
	if err != nil {
		return c.Fail(1, "%v", err)
	}
	for _, d := range deeds {
		return c.Fail(1, "/dev/stdin:3:1-2: Error: %s", d.Args)
	}
	return 0
}

// print writes a file of run/lab.
func (c *Call) print(name string) int {
	raw, err := os.ReadFile(filepath.Join(c.Root, "run/lab", name))
	if err != nil {
		return c.Fail(1, "the lab has no output for it: %v", err)
	}
	if _, err := c.Stdout.Write(raw); err != nil {
		return 1
	}
	return 0
}

func ip(_ context.Context, c *Call) int {
	switch args := strings.Join(c.Args[1:], " "); args {
	case "-j address show":
		return c.print("ip-address.json")
	case "-j -4 route show table all", "-j -6 route show table all", "-j -4 rule show", "-j -6 rule show":
		return c.print("ip" + c.Args[2] + "-" + c.Args[3] + ".json")
	default:
		return c.Fail(255, "the lab's ip does not know %q", args)
	}
}

func sysctl(_ context.Context, c *Call) int {
	raw, err := os.ReadFile(filepath.Join(c.Root, "run/lab/sysctl"))
	if err != nil {
		return c.Fail(1, "%v", err)
	}
	for _, line := range strings.Split(string(raw), "\n") {
		key, _, _ := strings.Cut(line, " = ")
		for _, a := range c.Args[1:] {
			if a == key {
				if _, err := io.WriteString(c.Stdout, line+"\n"); err != nil {
					return 1
				}
			}
		}
	}
	return 0
}

// iptablesSave is installed when its output is there.
func iptablesSave(_ context.Context, c *Call) int {
	if _, err := os.Stat(filepath.Join(c.Root, "run/lab", c.Args[0])); errors.Is(err, fs.ErrNotExist) {
		return c.notFound()
	}
	return c.print(c.Args[0])
}

// iptablesRestore knows --test only, and takes what names a table.
func iptablesRestore(_ context.Context, c *Call) int {
	text, err := io.ReadAll(io.LimitReader(c.Stdin, 16<<20))
	if err != nil || len(c.Args) != 2 || c.Args[1] != "--test" || !strings.HasPrefix(string(text), "*") ||
		!strings.HasSuffix(string(text), "COMMIT\n") {
		return c.Fail(1, "line 1 failed")
	}
	return 0
}

func seedNetwork() map[string]string {
	return map[string]string{
		"run/lab/nft.json": labNFTJSON, "run/lab/nft.txt": labNFT, "etc/nftables.conf": "#!/usr/sbin/nft -f\nflush ruleset\n" + labNFT,
		"run/lab/ip-address.json": `[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP"],"mtu":65536,"qdisc":"noqueue","operstate":"UNKNOWN","link_type":"loopback","address":"00:00:00:00:00:00","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host","label":"lo","valid_life_time":4294967295,"preferred_life_time":4294967295}]},{"ifindex":2,"ifname":"nic0","mtu":1500,"link_type":"ether","address":"02:00:00:00:00:10","master":"vmbr0","addr_info":[]},{"ifindex":3,"ifname":"vmbr0","mtu":1500,"link_type":"ether","address":"02:00:00:00:00:10","addr_info":[{"family":"inet","local":"192.0.2.10","prefixlen":24,"scope":"global","label":"vmbr0","valid_life_time":4294967295,"preferred_life_time":4294967295}]},{"ifindex":9,"ifname":"tap100i0","mtu":1500,"link_type":"ether","master":"fwbr100i0","addr_info":[]}]` + "\n",
		"run/lab/ip-4-route.json": `[{"dst":"default","gateway":"192.0.2.1","dev":"vmbr0","protocol":"kernel","flags":["onlink"]},{"dst":"192.0.2.0/24","dev":"vmbr0","protocol":"kernel","scope":"link","prefsrc":"192.0.2.10","flags":[]},{"type":"local","dst":"127.0.0.1","dev":"lo","table":"local","protocol":"kernel","scope":"host","prefsrc":"127.0.0.1","flags":[]}]` + "\n",
		"run/lab/ip-6-route.json": "[]\n",
		"run/lab/ip-4-rule.json":  `[{"priority":0,"src":"all","table":"local"},{"priority":100,"src":"10.20.0.0","srclen":24,"table":"office"},{"priority":32766,"src":"all","table":"main"}]` + "\n",
		"run/lab/ip-6-rule.json":  `[{"priority":0,"src":"all","table":"local"},{"priority":32766,"src":"all","table":"main"}]` + "\n",
		"run/lab/sysctl": "net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.forwarding = 1\nnet.ipv4.conf.all.rp_filter = " +
			"2\nnet.ipv6.conf.all.forwarding = 0\nnet.bridge.bridge-nf-call-iptables = 1\n",
		"etc/hosts":                    "127.0.0.1 localhost\n192.0.2.10 pve1.lab pve1\n",
		"etc/hostname":                 "pve1\n",
		"etc/resolv.conf":              "nameserver 192.0.2.1\n",
		"etc/sysctl.d/99-forward.conf": "net.ipv4.ip_forward = 1\n",
	}
}

const labNFT = `table inet filter {
	set admins {
		type ipv4_addr
		flags interval
		elements = { 192.0.2.0/25, 203.0.113.10 }
	}

	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		iifname "lo" accept
		ip saddr @admins tcp dport { 22, 8006 } accept
		jump services
	}

	chain services {
		tcp dport 443 accept
	}
}
table ip nat {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.20.0.0/24 oifname "vmbr0" masquerade
	}
}
`

const labNFTJSON = `{"nftables":[{"metainfo":{"version":"1.1.3","release_name":"Commodore Bullmoose #4","json_schema_version":1}},` +
	`{"table":{"family":"inet","name":"filter","handle":1}},` +
	`{"set":{"family":"inet","name":"admins","table":"filter","type":"ipv4_addr","handle":4,"flags":["interval"],"elem":[{"prefix":{"addr":"192.0.2.0","len":25}},"203.0.113.10"]}},` +
	`{"chain":{"family":"inet","table":"filter","name":"input","handle":1,"type":"filter","hook":"input","prio":0,"policy":"drop"}},` +
	`{"chain":{"family":"inet","table":"filter","name":"services","handle":2}},` +
	`{"rule":{"family":"inet","table":"filter","chain":"input","handle":5,"expr":[{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","related"]}},{"accept":null}]}},` +
	`{"rule":{"family":"inet","table":"filter","chain":"input","handle":6,"expr":[{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"lo"}},{"accept":null}]}},` +
	`{"rule":{"family":"inet","table":"filter","chain":"input","handle":8,"expr":[{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":"@admins"}},{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":{"set":[22,8006]}}},{"accept":null}]}},` +
	`{"rule":{"family":"inet","table":"filter","chain":"input","handle":9,"expr":[{"jump":{"target":"services"}}]}},` +
	`{"rule":{"family":"inet","table":"filter","chain":"services","handle":10,"expr":[{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":443}},{"accept":null}]}},` +
	`{"table":{"family":"ip","name":"nat","handle":2}},` +
	`{"chain":{"family":"ip","table":"nat","name":"postrouting","handle":1,"type":"nat","hook":"postrouting","prio":100,"policy":"accept"}},` +
	`{"rule":{"family":"ip","table":"nat","chain":"postrouting","handle":2,"expr":[{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"prefix":{"addr":"10.20.0.0","len":24}}}},{"match":{"op":"==","left":{"meta":{"key":"oifname"}},"right":"vmbr0"}},{"masquerade":null}]}}]}` + "\n"
