package builtins

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/ledger"
)

// artifact is the newest artifact of an item.
func (b *bench) artifact(item string) ledger.Artifact {
	b.t.Helper()
	all, err := ledger.Catalog{Store: b.store}.Artifacts(b.t.Context(), ledger.Query{Item: item})
	if err != nil || len(all) == 0 {
		b.t.Fatalf("no artifact of %s, %v", item, err)
	}
	return all[len(all)-1]
}

// spooled reads a file of an artifact in the spool; "" when it is not there.
func (b *bench) spooled(a ledger.Artifact, file string) string {
	b.t.Helper()
	raw, err := os.ReadFile(filepath.Join(b.dir, "spool", a.ID, file))
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	return string(raw)
}

// node changes a file of the lab's node; with old "" it writes it anew.
func (b *bench) node(name, old, new string) {
	b.t.Helper()
	path := filepath.Join(b.lab.Node().Root, name)
	raw, err := os.ReadFile(path)
	if err == nil && !strings.Contains(string(raw), old) {
		b.t.Fatalf("%s does not hold %q", name, old)
	}
	text := new
	if old != "" {
		text = strings.Replace(string(raw), old, new, 1)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func firewallOf(system string) string { return `return export_firewall(system = "` + system + `")` }

func TestExportFirewallHoldsWhatTheSystemHas(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for system, words := range map[string][]string{
		"pve": {`"name":"cluster/rules","ordered":true`, `"source":"+mgmt"`, `"nomatch":1`, `"name":"guest/101/aliases"`,
			`"name":"sdn/vnets/office/subnets"`,
			`"name":"cluster/groups/web"`, `"macro":"HTTP"`, `"name":"node/pve1/network"`, `"cidr":"192.0.2.10/24"`, `"name":"guest/900/options"`},
		"pve1": {`"name":"nftables","ordered":true`, `"target":"services"`, `"net.ipv4.ip_forward"`, `"table":"office"`,
			`"path":"/etc/network/interfaces"`,
			`"by":"nft -f - in a network namespace of its own, nftables v1.1.3","tables":["inet filter","ip nat"],"equal":true`},
		"cloudflare": {`"name":"account/rulesets"`, `"name":"account/lists"`, `"name":"account/tunnels"`, `"ingress"`,
			`"name":"zone/example.org/rulesets"`, `"name":"account/routes"`},
		"gateway": {`"name":"firewallrule"`, `"guests to office"`, `"part":"passwords and keys"`},
	} {
		out := b.run(firewallOf(system))
		if out.Err != nil {
			t.Fatalf("%s: %v", system, out.Err)
		}
		text := b.spooled(b.artifact(system), "ruleset.json")
		if w := missing(text, words); w != "" {
			t.Errorf("%s: %q is not in\n%s", system, w, text)
		}
		for _, never := range []string{"digest\":\"", "tap100i0", `"handle"`, `"x_passphrase":`, "a passphrase", "ubnt"} {
			if strings.Contains(text, never) {
				t.Errorf("%s: the export holds %q", system, never)
			}
		}
	}
}

func TestExportsOfOneStateAreEqualAndChangesAreTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, system := range []string{"pve", "pve1", "cloudflare", "gateway"} {
		b.run(firewallOf(system))
		first := b.spooled(b.artifact(system), "ruleset.json")
		b.run(firewallOf(system))
		a := b.artifact(system)
		if second := b.spooled(a, "ruleset.json"); second != first || first == "" {
			t.Errorf("%s: two exports of one state differ", system)
		}
		if c := b.spooled(a, "changes.txt"); c != "" {
			t.Errorf("%s: got changes %q", system, c)
		}
	}
	b.node("etc/pve/firewall/cluster.fw", "policy_in: DROP", "policy_in: ACCEPT")
	b.node("etc/pve/firewall/cluster.fw", "GROUP web -i vmbr0\n", "")
	b.run(firewallOf("pve"))
	for _, w := range []string{`~ cluster/options policy_in: "DROP" -> "ACCEPT"`, `- cluster/rules: {"action":"web"`} {
		if c := b.spooled(b.artifact("pve"), "changes.txt"); !strings.Contains(c, w) {
			t.Errorf("got changes %q, want %q", c, w)
		}
	}
	if !b.reported("1 in cluster/options, 1 in cluster/rules") {
		t.Errorf("the operator was told:\n%s", strings.Join(b.lines, "\n"))
	}
	b.node("run/lab/nft.json", `"addr":"192.0.2.0","len":25`, `"addr":"192.0.2.0","len":24`)
	b.run(firewallOf("pve1"))
	if c := b.artifact("pve1").Declared["changes"]; !strings.HasPrefix(c, "since ") || !strings.Contains(c, "nftables") {
		t.Errorf("the ledger says %q of the changes", c)
	}
	if c := b.spooled(b.artifact("pve1"), "changes.txt"); !strings.Contains(c, "nftables") {
		t.Errorf("got changes %q", c)
	}
}

func TestExportFirewallFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		system string
		prep   func(b *bench)
		code   string
		words  []string
	}{
		"nft is not installed": {"pve1", func(b *bench) { b.inject(lab.Fault{On: "run pve1.lab nft", Do: "missing"}) }, "E_HOST_PROGRAM",
			[]string{"apt install nftables"}},
		"nft is killed": {"pve1", func(b *bench) { b.inject(lab.Fault{On: "run pve1.lab nft", Do: "killed"}) }, "E_HOST",
			[]string{"signal KILL"}},
		"nft fails": {"pve1", func(b *bench) {
			b.inject(lab.Fault{On: "run pve1.lab nft",
				Do: "exit 1 Operation not permitted"})
		}, "E_HOST", []string{"Operation not permitted"}},
		"nft prints no JSON": {"pve1", func(b *bench) { b.node("run/lab/nft.json", "", "segfault") }, "E_HOST", []string{"nft -j"}},
		"a set does not exist": {"pve1", func(b *bench) { b.node("run/lab/nft.json", `"right":"@admins"`, `"right":"@gone"`) },
			"E_RULESET_BROKEN", []string{`there is no set "gone"`}},
		"ip is not installed": {"pve1", func(b *bench) { b.inject(lab.Fault{On: "run pve1.lab ip", Do: "missing"}) }, "E_HOST_PROGRAM",
			[]string{"iproute2"}},
		"the host refuses": {"pve1", func(b *bench) { b.inject(lab.Fault{On: "ssh pve1.lab", Do: "refuse"}) }, "E_HOST_DOWN", nil},
		"the host has another key": {"pve1", func(b *bench) { b.inject(lab.Fault{On: "ssh pve1.lab", Do: "new-hostkey"}) }, "E_HOST_KEY",
			[]string{"compare the key on its console"}},
		"its login prints text": {"pve1", func(b *bench) { b.inject(lab.Fault{On: "ssh pve1.lab", Do: "say Debian GNU/Linux"}) }, "E_HOST_SFTP",
			[]string{"prints text before the SFTP protocol", "Debian GNU/Linux", "ForceCommand internal-sftp"}},
		"the wrong private key": {"pve1", func(b *bench) { b.edit(`ssh = "root@pve1.lab:22"`, `ssh = "admin@pve1.lab:22"`) }, "E_HOST_AUTH",
			[]string{"authorized_keys"}},
		"an alias does not exist": {"pve", func(b *bench) { b.node("etc/pve/firewall/101.fw", "relay 198.51.100.7", "other 198.51.100.7") },
			"E_RULESET_BROKEN", []string{"guest/101/rules", `"guest/relay" is not a set, alias or address`}},
		"a group does not exist": {"pve", func(b *bench) { b.node("etc/pve/firewall/cluster.fw", "GROUP web", "GROUP wed") }, "E_RULESET_BROKEN",
			[]string{`no group "wed"`}},
		"a node does not answer": {"pve", func(b *bench) {
			b.inject(lab.Fault{On: "GET /nodes/pve1/firewall/*", Do: "answer 595 Errors during connection establishment"})
		}, "E_PVE_DOWN", nil},
		"the token has no rights": {"pve", func(b *bench) {
			b.edit(`secret("pve-token")`, `secret("pve-token-norights")`, "runner@pve!runner", "runner@pve!norights")
		}, "E_PVE_AUTH", nil},
		"the list of a rule is gone": {"cloudflare", func(b *bench) { b.inject(lab.Fault{On: "GET /accounts/*/rules/lists", Do: "empty"}) }, "",
			nil},
		"the token is wrong": {"cloudflare", func(b *bench) { b.edit(`secret("cloudflare-token")`, `secret("bad-token")`) }, "E_CF_AUTH", nil},
		"the password is wrong": {"gateway", func(b *bench) { b.edit(`secret("unifi-password")`, `secret("bad-token")`) }, "E_UNIFI_AUTH",
			[]string{"local administrator"}},
		"another certificate":   {"gateway", func(b *bench) { b.inject(lab.Fault{On: "tls unifi.lab", Do: "new-cert"}) }, "E_UNIFI_CERT", nil},
		"the console is broken": {"gateway", func(b *bench) { b.inject(lab.Fault{On: "unifi *", Do: "answer 502"}) }, "E_UNIFI_DOWN", nil},
		"a second factor is asked for": {"gateway", func(b *bench) {
			b.inject(lab.Fault{On: "unifi POST /api/auth/login", Do: "answer 499 2FA required"})
		}, "E_UNIFI_AUTH", []string{"local account without one", "2FA required"}},
		"too many logins, for long": {"gateway", func(b *bench) { b.inject(lab.Fault{On: "unifi *", Do: "limit 600"}) }, "E_UNIFI_DOWN",
			[]string{"come again in 10m0s"}},
		"too many logins, without end": {"gateway", func(b *bench) { b.inject(lab.Fault{On: "unifi *", Do: "answer 429"}) }, "E_UNIFI_DOWN",
			[]string{"no more requests for now"}},
		"no backup": {"gateway", func(b *bench) { b.console("[]") }, "E_UNIFI_BACKUP", []string{"the console has none", "Backups"}},
		"the backup is cut off": {"gateway", func(b *bench) { b.inject(lab.Fault{On: "unifi GET *autobackup*", Do: "truncate 1000"}) },
			"E_UNIFI_BACKUP", []string{"1000 came"}},
		"a backup of another folder": {"gateway", func(b *bench) {
			b.console(`[{"filename":"../../etc/passwd","size":1,"datetime":"2026-11-01T00:00:00Z"}]`)
		}, "E_UNIFI_DOWN", nil},
		"no such system":                {"pve2", func(*bench) {}, "", nil},
		"the row is missing":            {"pve1", func(b *bench) { b.edit(`name = "networking"`, `name = "net"`) }, "E_NO_ASSET", nil},
		"the disk of the state is full": {"pve1", func(b *bench) { b.full() }, "E_SPOOL", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c.prep(b)
			out := b.run(firewallOf(c.system))
			if out.Result != ledger.Failed || out.Err == nil {
				t.Fatalf("got %s, %v", out.Result, out.Err)
			}
			if c.code != "" {
				wantCode(t, out, c.code, c.words...)
			}
		})
	}
}

func TestAConsoleThatSaysWhenToComeAgainIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: "unifi POST /api/auth/login", Do: "limit 1", Times: 2})
	if out := b.run(firewallOf("gateway")); out.Err != nil {
		t.Fatal(out.Err)
	}
}

// console replaces the list of the UniFi console's backups.
func (b *bench) console(list string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, "world", "unifi", "backups.json"), []byte(list), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// full makes the spool a place that cannot be written.
func (b *bench) full() {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, "spool"), nil, 0o400); err != nil {
		b.t.Fatal(err)
	}
}

func TestWhatTheTokenMayNotReadIsAGap(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: "GET /cluster/sdn/zones", Do: "answer 403 Permission check failed (/sdn/zones, SDN.Audit)"})
	out := b.run(firewallOf("pve"))
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	gaps := b.artifact("pve").Gaps
	if len(gaps) != 1 || gaps[0].What != "sdn/zones" || !strings.Contains(gaps[0].Why, "SDN.Audit") {
		t.Errorf("got %+v", gaps)
	}
}

func TestAnOldBackupOfTheConsoleIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.clock.advance(10 * 24 * time.Hour)
	out := b.run(firewallOf("gateway"))
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	wantFinding(t, out, ledger.DegradedRun, "newest automatic backup of gateway", "10 days ago")
}

func TestExportFirewallIsCopiedAndOpened(t *testing.T) {
	t.Parallel()
	b := newBench(t, `url = "sftp://runner@offsite.lab:22/~/",
    medium = "disk",
    location = "Leipzig",
    offsite = True,
    sealed_to = [RECOVERY],`, `url = "sftp://runner@offsite.lab:22/~/",
    medium = "disk",
    location = "Leipzig",
    offsite = True,`)
	for _, system := range []string{"pve", "pve1", "gateway"} {
		b.run(`return verify(copies = copy(artifact = export_firewall(system = "` + system +
			`"), to = ["offsite", "offline-a"]), level = "read")`)
		out := b.run(`return verify(copies = copy(artifact = export_firewall(system = "` + system + `"), to = ["offsite"]), level = "opened")`)
		if out.Err != nil {
			t.Fatalf("%s: %v", system, out.Err)
		}
		proofs, err := ledger.Catalog{Store: b.store}.Proofs(t.Context(), ledger.Query{Item: system, Target: "offsite"})
		if err != nil || len(proofs) != 2 || proofs[1].Level != ledger.Opened {
			t.Errorf("%s: got %+v, %v", system, proofs, err)
		}
		if system == "gateway" && !strings.Contains(proofs[1].Note, "vendor format, not parsed") {
			t.Errorf("got note %q", proofs[1].Note)
		}
	}
}

// The keys that SDN logs in with elsewhere lie nowhere, neither in the artifact nor
// beside it; nor does any value of a change.
func TestSecretsOfSDNAreAGapAndNotInTheExport(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.good(firewallOf("pve"))
	b.node("etc/pve/sdn/ipams.cfg", "", "netbox: nb\n\turl https://netbox.lab/api\n\ttoken one-token-secret\n")
	b.node("etc/pve/sdn/dns.cfg", "", "powerdns: pdns\n\turl https://pdns.lab\n\tkey one-key-secret\n")
	b.run(firewallOf("pve"))
	a := b.artifact("pve")
	if w := missing(b.spooled(a, "ruleset.json"), []string{"https://netbox.lab/api", "https://pdns.lab"}); w != "" {
		t.Errorf("the export does not hold %q", w)
	}
	b.node("etc/pve/sdn/ipams.cfg", "one-token", "two-token")
	b.node("etc/pve/sdn/ipams.cfg", "netbox.lab/api", "netbox.lab/other")
	b.run(firewallOf("pve"))
	a = b.artifact("pve")
	if c := b.spooled(a, "changes.txt"); !strings.Contains(c, "netbox.lab/other") {
		t.Errorf("got changes %q", c)
	}
	var gaps []string
	for _, g := range a.Gaps {
		gaps = append(gaps, g.What)
	}
	if got := strings.Join(gaps, ", "); got != "sdn/dns key, sdn/ipams token" && got != "sdn/ipams token, sdn/dns key" {
		t.Errorf("got gaps %q", got)
	}
	if d := a.Declared["changes"]; !strings.Contains(d, "\n1 in sdn/ipams") || strings.Contains(d, "netbox") {
		t.Errorf("the ledger says %q of the changes", d)
	}
	b.everywhere(func(path string, raw []byte) {
		if !strings.Contains(path, "/sdn/") && (strings.Contains(string(raw), "token-secret") || strings.Contains(string(raw), "key-secret")) {
			t.Errorf("%s holds a secret", path)
		}
	})
	if b.reported("-secret") || b.reported("netbox.lab") {
		t.Error("a value was logged")
	}
}

// everywhere calls fn with each file of the bench's state and world.
func (b *bench) everywhere(fn func(path string, raw []byte)) {
	b.t.Helper()
	err := filepath.WalkDir(b.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if st, err := e.Info(); err != nil || st.Size() > 16<<20 {
			return err
		}
		raw, err := os.ReadFile(path)
		fn(path, raw)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestKeysInFilesOfTheNetworkAreAGap(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.node("etc/network/interfaces", "auto vmbr0", "# wpa-psk\tin-clear\nauto vmbr0")
	if out := b.run(firewallOf("pve1")); out.Err != nil {
		t.Fatal(out.Err)
	}
	a := b.artifact("pve1")
	if text := b.spooled(a, "ruleset.json"); strings.Contains(text, "in-clear") || !strings.Contains(text, "wpa-psk\\t[redacted]") {
		t.Errorf("got %s", text)
	}
	if len(a.Gaps) != 1 || a.Gaps[0].What != "file /etc/network/interfaces" {
		t.Errorf("got gaps %+v", a.Gaps)
	}
}

// A copy of a console's backup that is not sealed is one of its passwords.
func TestABackupOfTheConsoleInClearIsAGap(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		site []string
		want string
	}{
		"on a disk that is not sealed": {nil, "backup in clear on second-disk"},
		"on sealed ones alone": {[]string{`title = "Firewall and Routing",
    copies = 3,
    media = 2,
    offsite = 1,
    offline = 1,
    on = {"second-disk": "opened"`, `title = "Firewall and Routing",
    copies = 3,
    media = 2,
    offsite = 1,
    offline = 1,
    on = {"second-disk-sealed": "read"`}, ""},
	} {
		b := newBench(t, c.site...)
		if out := b.run(firewallOf("gateway")); out.Err != nil {
			t.Fatalf("%s: %v", name, out.Err)
		}
		got := ""
		for _, g := range b.artifact("gateway").Gaps {
			if g.What != "passwords and keys" {
				got += g.What
			}
		}
		if got != c.want {
			t.Errorf("%s: got gap %q, want %q", name, got, c.want)
		}
	}
}
