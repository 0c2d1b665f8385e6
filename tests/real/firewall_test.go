package real

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins"
)

// namespace is a network of its own, which ends with the test.
type namespace struct {
	t    *testing.T
	name string
}

func newNamespace(t *testing.T, name string) namespace {
	t.Helper()
	n := namespace{t, fmt.Sprintf("runner-%s-%d", name, os.Getpid())}
	tool(t, "ip", "netns", "add", n.name)
	t.Cleanup(func() { tool(t, "ip", "netns", "del", n.name) })
	return n
}

func (n namespace) run(stdin string, args ...string) string {
	n.t.Helper()
	c := exec.CommandContext(n.t.Context(), "ip", append([]string{"netns", "exec", n.name}, args...)...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

const rules = `table inet filter {
	set admins {
		type ipv4_addr
		flags interval
		elements = { 192.0.2.0/25, 203.0.113.10 }
	}
	set seen {
		type ipv4_addr
		size 1024
		flags dynamic,timeout
		timeout 1h
		elements = { 198.51.100.9 timeout 1h }
	}
	map ports {
		type inet_service : verdict
		elements = { 22 : jump ssh, 443 : accept }
	}
	counter web { packets 7 bytes 900 }
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		ip saddr @admins tcp dport vmap @ports
		tcp dport 80 counter name "web" accept comment "it's the web"
		limit rate 5/second log prefix "@dropped " counter
	}
	chain ssh {
		add @seen { ip saddr }
		accept
	}
}
table ip nat {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.20.0.0/24 oifname "lo" masquerade
	}
}
`

// desk is a site of this machine alone: a policy, a disk, and the program.
type desk struct {
	t    *testing.T
	dir  string
	disk *disk
}

func newDesk(t *testing.T, policy, site string, programs ...string) *desk {
	t.Helper()
	needs(t, append(programs, "mkfs.ext4", "losetup", "mount")...)
	d := &desk{t: t, dir: t.TempDir()}
	d.disk = newDisk(t, d.dir, "copies", "COPIES")
	d.disk.mount(filepath.Join(d.dir, "media"))
	dev, err := builtins.SystemDevice(filepath.Join(d.dir, "media"))
	if err != nil {
		t.Fatal(err)
	}
	site += fmt.Sprintf("\ntarget(name = \"disk\", url = \"file://%s/media\", medium = \"disk\", location = \"here\", uuid = %q)\n", d.dir,
		dev.UUID)
	for name, text := range map[string]string{"site.star": site, "policy.star": policy} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }

func (d *desk) args(args ...string) []string {
	bin, err := build()
	if err != nil {
		d.t.Fatal(err)
	}
	if args[0] != "recover" {
		args = append(args, "-v", "--site", d.path("site.star"), "--state", d.path("state"))
	}
	return append([]string{bin}, args...)
}

// runner runs the program, which has to end with code.
func (d *desk) runner(code int, args ...string) string {
	d.t.Helper()
	all := d.args(args...)
	c := exec.CommandContext(d.t.Context(), all[0], all[1:]...)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		d.t.Fatal(err)
	}
	if got := c.ProcessState.ExitCode(); got != code {
		d.t.Fatalf("runner %s: exit %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	return string(out)
}

const firewallPolicy = `
def main():
    verify(copies = copy(artifact = export_firewall(system = "here"), to = ["disk"]), level = "opened")
`

const firewallSite = `
host(name = "here", local = True, rear = False)
asset(name = "networking")
accept_gap(item = "here", reason = "what this machine lacks", until = "2099-01-01")
`

func TestNftablesOfANamespaceComeBackTheSame(t *testing.T) {
	d := newDesk(t, firewallPolicy, firewallSite, "nft", "ip", "sysctl")
	from, to := newNamespace(t, "from"), newNamespace(t, "to")
	from.run(rules, "nft", "-f", "-")
	from.run("", "ip", "link", "set", "lo", "up")
	from.run("", "ip", "address", "add", "10.20.0.1/24", "dev", "lo")
	from.run("", "ip", "rule", "add", "from", "10.20.0.0/24", "table", "100")
	for range 2 {
		from.run("", d.args("exec", d.path("policy.star"))...)
	}
	copies, err := filepath.Glob(d.path("media/ruleset/here/*"))
	if err != nil || len(copies) != 2 {
		t.Fatalf("got %v, %v, want two copies", copies, err)
	}
	for _, f := range []string{"ruleset.json", "ruleset.nft"} {
		if sum(t, filepath.Join(copies[0], f)) != sum(t, filepath.Join(copies[1], f)) {
			t.Errorf("two exports of one state differ in %s", f)
		}
	}
	out := d.runner(0, "recover", "--from", d.path("media"), "--to", d.path("back"), "--netns", to.name)
	if !strings.Contains(out, "the same as were saved") {
		t.Errorf("recover:\n%s", out)
	}
	listing := func(n namespace) string { return n.run("", "nft", "-s", "list", "ruleset") }
	timeout := func(s string) string { // the remaining time of what packets add
		var keep []string
		for _, l := range strings.Split(s, "\n") {
			if !strings.Contains(l, "expires") {
				keep = append(keep, l)
			}
		}
		return strings.Join(keep, "\n")
	}
	if a, b := timeout(listing(from)), timeout(listing(to)); a != b {
		t.Errorf("the restored ruleset differs:\n%s\nwas\n%s", b, a)
	}
	doc, err := os.ReadFile(filepath.Join(copies[0], "ruleset.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{`"10.20.0.1"`, `"src":"10.20.0.0"`, `"table":"100"`, `"target":"ssh"`} {
		if !strings.Contains(string(doc), w) {
			t.Errorf("the export does not hold %s", w)
		}
	}
}

func TestTablesOfIptablesAreKeptBesideNftables(t *testing.T) {
	d := newDesk(t, firewallPolicy, firewallSite, "nft", "ip", "iptables-nft", "iptables-save")
	from := newNamespace(t, "ipt")
	from.run("table inet own {\n\tchain input {\n\t\ttcp dport 22 accept\n\t}\n}\n", "nft", "-f", "-")
	from.run("", "iptables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "443", "-m", "comment", "--comment", "web", "-m", "state", "--state",
		"NEW", "-j", "ACCEPT")
	from.run("", "iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "10.0.0.0/8", "-j", "MASQUERADE")
	from.run("", d.args("exec", d.path("policy.star"))...)
	copies, err := filepath.Glob(d.path("media/ruleset/here/*"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("got %v, %v", copies, err)
	}
	saved, err := os.ReadFile(filepath.Join(copies[0], "iptables.rules"))
	if err != nil || !strings.Contains(string(saved), "--dport 443") {
		t.Errorf("got %s, %v", saved, err)
	}
	to := newNamespace(t, "ipt2")
	to.run(string(saved), "iptables-nft-restore")
	plain := func(s string) string {
		var keep []string
		for _, l := range strings.Split(s, "\n") {
			if !strings.HasPrefix(l, "#") && !strings.HasPrefix(l, ":") {
				keep = append(keep, l)
			}
		}
		return strings.Join(keep, "\n")
	}
	if a, b := plain(from.run("", "iptables-nft-save")), plain(to.run("", "iptables-nft-save")); a != b {
		t.Errorf("the restored rules differ:\n%s\nwas\n%s", b, a)
	}
	to.run("", "nft", "-f", filepath.Join(copies[0], "ruleset.nft"))
	if out := to.run("", "nft", "list", "table", "inet", "own"); !strings.Contains(out, "tcp dport 22 accept") {
		t.Errorf("got %s", out)
	}
}
