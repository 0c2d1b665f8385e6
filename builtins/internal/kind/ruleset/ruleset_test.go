package ruleset

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/kind/kindtest"

	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

const someNFT = "flush ruleset\ntable inet filter {\n\tchain input {\n\t\taccept\n\t}\n}\n"

// linuxExport is a small export: its document and its nftables text.
func linuxExport(t *testing.T, edit func(d *ruleset.Document)) map[string]string {
	t.Helper()
	d := &ruleset.Document{System: "h", Vendor: "linux"}
	sum := sha256.Sum256([]byte(someNFT))
	d.Checked = []ruleset.Accepted{{File: "ruleset.nft", SHA256: hex.EncodeToString(sum[:]), By: "nft -f", Tables: []string{"inet filter"},
		Equal: true}}
	entries := []any{
		map[string]any{"table": map[string]any{"family": "inet", "name": "filter"}},
		map[string]any{"chain": map[string]any{"family": "inet", "table": "filter", "name": "input"}},
		map[string]any{"rule": map[string]any{"family": "inet", "table": "filter", "chain": "input",
			"expr": []any{map[string]any{"accept": nil}}}},
	}
	if err := ruleset.Add(d, "nftables", true, entries); err != nil {
		t.Fatal(err)
	}
	if err := ruleset.Add(d, "files", false,
		[]any{map[string]any{"path": "/etc/hosts", "mode": "0644", "text": "127.0.0.1 localhost\n"}}); err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(d)
	}
	text, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{ruleset.File: string(text), "ruleset.nft": someNFT}
}

func TestARulesetIsOpenedOrRefused(t *testing.T) {
	both := []string{ruleset.File, "ruleset.nft"}
	rule := func(expr any) func(*ruleset.Document) {
		return func(d *ruleset.Document) {
			s := d.Section("nftables")
			e, err := ruleset.Canonical(map[string]any{"rule": map[string]any{"family": "inet", "table": "filter", "chain": "input",
				"expr": []any{expr}}})
			if err != nil {
				t.Fatal(err)
			}
			s.Entries = append(s.Entries, e)
		}
	}
	for name, c := range map[string]struct {
		edit  func(*ruleset.Document)
		files func(map[string]string)
		order []string
		want  string
	}{
		"whole": {order: both},
		"a jump into nowhere": {edit: rule(map[string]any{"jump": map[string]any{"target": "gone"}}), order: both,
			want: `no chain "gone"`},
		"a set that is not there": {edit: rule(map[string]any{"match": map[string]any{"right": "@gone"}}), order: both,
			want: `no set "gone"`},
		"a table in no file": {edit: func(d *ruleset.Document) { d.Checked[0].Tables = nil }, order: both,
			want: "table inet filter is in no file that loads, and is not a gap"},
		"a table in a file and a gap": {edit: func(d *ruleset.Document) { d.Miss("table inet filter", "x") }, order: both,
			want: "table inet filter is in 2 places"},
		"a table that is a gap": {edit: func(d *ruleset.Document) { d.Checked[0].Tables = nil; d.Miss("table inet filter", "x") }, order: both},
		"an export of version 1": {files: func(f map[string]string) {
			f[ruleset.File] = strings.NewReplacer(`"version":2`, `"version":1`, `,"tables":["inet filter"],"equal":true`,
				"").Replace(f[ruleset.File])
		}, order: both},
		"the text is another one": {files: func(f map[string]string) { f["ruleset.nft"] += "# x\n" }, order: both,
			want: "not the text that was checked"},
		"the text is missing":     {order: both[:1], want: "not the text that was checked"},
		"the document is missing": {order: both[1:], want: "ruleset.json is missing"},
		"a file that nobody checked": {files: func(f map[string]string) { f["more.nft"] = "x" }, order: append([]string{"more.nft"}, both...),
			want: "checked by nothing"},
		"the document is cut off": {files: func(f map[string]string) { f[ruleset.File] = f[ruleset.File][:100] }, order: both,
			want: "parse ruleset"},
		"an unknown field": {files: func(f map[string]string) {
			f[ruleset.File] = strings.Replace(f[ruleset.File], `"vendor"`, `"seller"`, 1)
		}, order: both, want: "parse ruleset"},
	} {
		t.Run(name, func(t *testing.T) {
			files := linuxExport(t, c.edit)
			if c.files != nil {
				c.files(files)
			}
			err := kindtest.Check(t, Kind(), files, c.order...)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// What opening does not show is said, and never claimed.
func TestWhatWasLoadedNowhereIsSaid(t *testing.T) {
	for want, edit := range map[string]func(d *ruleset.Document){
		"ruleset.nft: 1 tables came back equal from these bytes when they were exported": nil,
		"ruleset.nft: parsed, not loaded and compared":                                   func(d *ruleset.Document) { d.Checked[0].Equal = false },
		"table inet filter does not come back": func(d *ruleset.Document) {
			d.Checked[0].Tables = nil
			d.Miss("table inet filter", "x")
		},
	} {
		files := linuxExport(t, edit)
		c := Kind().Open().(*rulesetChecker)
		for _, name := range []string{ruleset.File, "ruleset.nft"} {
			if err := c.File(t.Context(), name, strings.NewReader(files[name])); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.End(); err != nil || !strings.Contains(c.Note(), want) {
			t.Errorf("got %q, %v, want %q", c.Note(), err, want)
		}
	}
}

func TestARulesetComesBack(t *testing.T) {
	j := kindtest.Job(t, "ruleset", linuxExport(t, nil), ruleset.File, "ruleset.nft")
	if err := recoverRuleset(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(filepath.Join(j.Into, "files/etc/hosts")); err != nil || string(raw) != "127.0.0.1 localhost\n" {
		t.Errorf("got %q, %v", raw, err)
	}
	said := strings.Join(j.Say, "\n")
	for _, w := range []string{"nft -c -f ", "/ruleset.nft", "nft -f "} {
		if !strings.Contains(said, w) {
			t.Errorf("the operator is not told %q:\n%s", w, said)
		}
	}
}

func TestFilesOfARulesetStayInTheirFolder(t *testing.T) {
	for _, path := range []string{"/../../etc/cron.d/x", "..", "/", ""} {
		j := kindtest.Job(t, "ruleset", linuxExport(t, func(d *ruleset.Document) {
			e, err := ruleset.Canonical(map[string]any{"path": path, "mode": "0644", "text": "x"})
			if err != nil {
				t.Fatal(err)
			}
			d.Section("files").Entries = append(d.Section("files").Entries[:0], e)
		}), ruleset.File, "ruleset.nft")
		err := recoverRuleset(t.Context(), j)
		if _, serr := os.Stat(filepath.Join(filepath.Dir(j.Into), "etc")); serr == nil {
			t.Errorf("%q: a file was written outside", path)
		}
		if path == "" && err == nil {
			t.Error("a file without a name was written")
		}
	}
}

func TestTheCallsForProxmoxAreInOrder(t *testing.T) {
	d := &ruleset.Document{System: "pve", Vendor: "proxmox"}
	add := func(name string, ordered bool, entries ...map[string]any) {
		if err := ruleset.Add(d, name, ordered, entries); err != nil {
			t.Fatal(err)
		}
	}
	add("cluster/options", false, map[string]any{"enable": 1, "policy_in": "DROP"})
	add("cluster/rules", true, map[string]any{"type": "in", "action": "ACCEPT", "source": "+mgmt"},
		map[string]any{"type": "group", "action": "web"})
	add("cluster/aliases", false, map[string]any{"name": "admin", "cidr": "192.0.2.0/24", "ipversion": 4, "comment": "it's mine"})
	add("cluster/ipset", false, map[string]any{"name": "mgmt"})
	add("cluster/ipset/mgmt", false, map[string]any{"cidr": "dc/admin", "nomatch": 1})
	add("cluster/groups", false, map[string]any{"group": "web"})
	add("cluster/groups/web", true, map[string]any{"type": "in", "action": "ACCEPT", "macro": "HTTP"})
	add("guest/100/rules", true, map[string]any{"type": "in", "action": "DROP"})
	add("guests", false, map[string]any{"vmid": 100, "type": "lxc", "name": "x"})
	lines, err := proxmoxCalls(d)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(lines, "\n")
	at := -1
	for _, w := range []string{
		`aliases --cidr 192.0.2.0/24 --comment 'it'\''s mine' --name admin`, "pvesh create /cluster/firewall/ipset --name mgmt",
		"/ipset/mgmt --cidr dc/admin --nomatch 1",
		"/groups --group web", "/groups/web --action ACCEPT --macro HTTP", "/rules --action web", "/rules --action ACCEPT --source '+mgmt'",
		`/nodes/"$NODE"/lxc/100/firewall/rules`, "switches the firewall on", "pvesh set /cluster/firewall/options --enable 1",
	} {
		i := strings.Index(text, w)
		if i < at || i < 0 {
			t.Errorf("%q is at %d, after %d of what comes before it, in\n%s", w, i, at, text)
		}
		at = i
	}
}
