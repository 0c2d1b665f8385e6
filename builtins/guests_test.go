package builtins

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/newsite"
	"github.com/neosofia/runner/runtime/ledger"
)

func TestGuestsListsWhatTheSiteProtects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		before func(*bench)
		want   string
	}{
		{"all but the unprotected one", func(*bench) {}, `["erp", "mail", "git", "wiki"]`},
		{"an exception that has ended", func(b *bench) {
			b.edit(`anew from a template", until = "2027-12-31"`, `anew from a template", until = "2026-01-01"`)
		}, `["erp", "mail", "git", "wiki", "scratch"]`},
		{"two guests of one name", func(b *bench) { b.set(103, func(g *lab.Guest) { g.Config["hostname"] = "mail" }) },
			`["erp", "mail-101", "git", "mail-103"]`},
		{"a guest on another node", func(b *bench) {
			if err := b.lab.AddNode("pve2"); err != nil {
				b.t.Fatal(err)
			}
			if err := b.lab.MoveGuest(102, "pve2"); err != nil {
				b.t.Fatal(err)
			}
		}, `["erp", "mail", "git", "wiki"]`},
		{"a guest that is new", func(b *bench) {
			if err := b.lab.AddGuest(lab.Guest{ID: 104, Kind: "qemu", Node: "pve1", Name: "new",
				Config: map[string]string{"name": "new", "memory": "16"}}); err != nil {
				b.t.Fatal(err)
			}
		}, `["erp", "mail", "git", "wiki", "new"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c.before(b)
			out := b.good(`return guests()`)
			if got := out.Value.String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if items := rows[ledger.Item](b, ledger.RowItem, ledger.Query{Run: out.Run}); len(items) < 4 {
				t.Errorf("got %d expected items", len(items))
			}
		})
	}
}

func TestGuestsFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		site   []string
		faults []lab.Fault
		system string
		code   string
		words  []string
	}{
		{name: "a token without rights, which sees empty lists",
			site: []string{`runner@pve!runner`, `runner@pve!norights`, `secret("pve-token")`, `secret("pve-token-norights")`},
			code: "E_PVE_AUTH", words: []string{"VM.Audit on /vms", "pveum acl modify /vms --tokens 'runner@pve!norights'"}},
		{name: "a wrong token", site: []string{`secret("pve-token")`, `secret("bad-token")`}, code: "E_PVE_AUTH", words: []string{"(401)"}},
		{name: "another certificate", faults: []lab.Fault{{On: "tls pve1.lab", Do: "new-cert"}}, code: "E_PVE_CERT",
			words: []string{"pvenode cert info"}},
		{name: "a node that is down", faults: []lab.Fault{{On: "GET /nodes/pve1/*", Do: "answer 595"}}, code: "E_PVE_DOWN",
			words: []string{"(595)"}},
		{name: "an answer that is no JSON", faults: []lab.Fault{{On: "GET /nodes", Do: "answer 500 unable to parse"}}, code: "E_PVE",
			words: []string{"unable to parse"}},
		{name: "a system that the site does not have", site: []string{`name = "pve",`, `name = "other",`, `"pve://pve/backup"`,
			`"pve://other/backup"`}, system: "pve", code: "E_PVE", words: []string{`no proxmox "pve"`, "it has other"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.site...)
			b.inject(c.faults...)
			call := `return guests()`
			if c.system != "" {
				call = `return guests(system = "` + c.system + `")`
			}
			wantCode(t, b.run(call), c.code, c.words...)
		})
	}
}

var (
	tokenRole = regexp.MustCompile(`(?m)^pveum role add (\w+) --privs "([^"]+)"$`)
	tokenACL  = regexp.MustCompile(`(?m)^  pveum acl modify (\S+) \$who --roles (\w+)$`)
)

// leastRights are those of the calls that runner init prints, as they stand there. The
// paths in also get an entry of their own: NoAccess.
func leastRights(also ...string) map[string][]string {
	calls := newsite.Token("backup")
	roles, acl := map[string][]string{}, map[string][]string{}
	for _, m := range tokenRole.FindAllStringSubmatch(calls, -1) {
		roles[m[1]] = strings.Fields(m[2])
	}
	for _, m := range tokenACL.FindAllStringSubmatch(calls, -1) {
		acl[m[1]] = slices.Clone(roles[m[2]])
	}
	if len(acl) != 3 || len(roles) != 3 {
		panic(fmt.Sprintf("runner init names %d roles and %d entries of the ACL", len(roles), len(acl)))
	}
	for _, path := range also {
		acl[path] = nil
	}
	return acl
}

// Proxmox takes a guest with an ACL entry of its own out of every list.
func TestGuestsThatTheTokenMayNotSeeAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		before func(*bench)
		vmid   int
		item   string
		words  []string
	}{
		{"never seen", func(*bench) {}, 103, "103", []string{"guest 103 exists on pve, and the token may not see it: it is not saved"}},
		{"seen before", func(b *bench) { b.good(`return snapshot_vm(guest = "wiki")`) }, 103, "wiki",
			[]string{"guest 103 (wiki) exists on pve, and the token may not see it any more"}},
		{"in a gap far from the others", func(b *bench) {
			if err := b.lab.AddGuest(lab.Guest{ID: 500, Kind: "qemu", Node: "pve1", Name: "alone",
				Config: map[string]string{"memory": "16"}}); err != nil {
				b.t.Fatal(err)
			}
		}, 500, "500", []string{"guest 500 exists on pve"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c.before(b)
			path := fmt.Sprintf("/vms/%d", c.vmid)
			b.rights(leastRights(path))
			out := b.run(`return guests()`)
			wantFinding(t, out, ledger.Failed, c.words...)
			if hint := out.Findings[0].Type; !strings.Contains(hint, "give VM.Audit on "+path) ||
				!strings.Contains(hint, "unprotected(guest = \""+c.item+"\"") {
				t.Errorf("got hint %q", hint)
			}
			items := rows[ledger.Item](b, ledger.RowItem, ledger.Query{Run: out.Run, Item: c.item})
			if len(items) != 1 || items[0].State != "hidden" || strings.Contains(out.Value.String(), `"`+c.item+`"`) {
				t.Errorf("got %+v in %s: it is to be expected, and not given to snapshot_vm", items, out.Value)
			}
			wantCode(t, b.run(fmt.Sprintf(`return snapshot_vm(guest = "%d")`, c.vmid)), "E_PVE_AUTH",
				"in use by a guest that the token may not see", "give VM.Audit on "+path)
			b.edit("+", fmt.Sprintf(`unprotected(guest = %q, reason = "another department's", until = "2027-12-31")`, c.item))
			b.good(`return guests()`)
		})
	}
}

// Items are keyed by cluster and VMID: what a guest or another is called later changes
// nothing of its history.
func TestItemsKeepTheirNames(t *testing.T) {
	t.Parallel()
	add := func(b *bench, id int, name, uuid string) {
		b.t.Helper()
		g := lab.Guest{ID: id, Kind: "qemu", Node: "pve1", Name: name, Config: map[string]string{"memory": "16", "smbios1": "uuid=" + uuid}}
		if err := b.lab.AddGuest(g); err != nil {
			b.t.Fatal(err)
		}
	}
	const one, two = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
	for _, c := range []struct {
		name     string
		change   func(*bench)
		want     string // of guests()
		reported string
	}{
		{"a second guest of the same name", func(b *bench) { add(b, 105, "erp", two) }, `["erp", "mail", "git", "wiki", "x", "erp-105"]`, ""},
		{"it is renamed", func(b *bench) { b.set(100, func(g *lab.Guest) { g.Name = "erp2" }) }, `["erp", "mail", "git", "wiki", "x"]`,
			"guest 100 is named erp2 now; its copies stay recorded as erp"},
		{"it is renamed, and another takes its name", func(b *bench) {
			b.set(100, func(g *lab.Guest) { g.Name = "erp2" })
			add(b, 105, "erp", two)
		}, `["erp", "mail", "git", "wiki", "x", "erp-105"]`, ""},
		{"another guest takes its VMID", func(b *bench) {
			if err := b.lab.RemoveGuest(104); err != nil {
				b.t.Fatal(err)
			}
			add(b, 104, "y", two)
		}, `["erp", "mail", "git", "wiki", "y"]`, ""},
		{"it goes, and another of its name comes", func(b *bench) {
			if err := b.lab.RemoveGuest(104); err != nil {
				b.t.Fatal(err)
			}
			add(b, 105, "x", two)
		}, `["erp", "mail", "git", "wiki", "x-105"]`, ""},
		{"it moves", func(b *bench) {
			if err := b.lab.AddNode("pve2"); err != nil {
				b.t.Fatal(err)
			}
			if err := b.lab.MoveGuest(102, "pve2"); err != nil {
				b.t.Fatal(err)
			}
		}, `["erp", "mail", "git", "wiki", "x"]`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			add(b, 104, "x", one)
			b.good(`snapshot_vm(guest = "erp")`, `return snapshot_vm(guest = "x")`)
			c.change(b)
			out := b.good(`return guests()`)
			if got := out.Value.String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if c.reported != "" && !b.reported(c.reported) {
				t.Errorf("the operator was not told %q", c.reported)
			}
			out = b.good(`return [snapshot_vm(guest = g) for g in guests()]`)
			for _, a := range rows[ledger.Artifact](b, ledger.RowArtifact, ledger.Query{Run: out.Run}) {
				if !strings.Contains(c.want, `"`+a.Item+`"`) {
					t.Errorf("an artifact is recorded as %s", a.Item)
				}
			}
		})
	}
}

// What a file of a guest's configuration may hold although the API would refuse it.
func TestGuestsOfAnyName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"küche", "ein büro", "a/b", "../x", "größe & co", "-rf", "a\"b", "erp@pve"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.set(900, func(g *lab.Guest) { g.Name = name })
			out := b.run(fmt.Sprintf(`a = snapshot_vm(guest = %q)`, name), `c = copy(artifact = a, to = ["offline-a"])`, `return verify(copies = c)`)
			if out.Err != nil || len(b.artifacts()) != 1 || b.artifacts()[0].Item != name || len(b.copies("offline-a")) != 1 {
				t.Errorf("got %s, %v, %v", out.Result, out.Err, out.Findings)
			}
		})
	}
}

// groups is a site in which two assets choose guests, and all others belong to the third.
func groups(b *bench, services, office string) {
	b.edit("unprotected(guest", fmt.Sprintf(`asset(name = "services", guests = %s, rpo = "1h", on = {"node": "opened"})
asset(name = "office", guests = %s, rpo = "7d", on = {"node": "opened"})
unprotected(guest`, services, office))
}

func TestGuestsBelongToTheAssetsThatChooseThem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		services, office string
		edit             func(*bench)
		want             map[string]string // item -> asset
		find             []string          // in the findings
	}{
		{name: "by tag, by pool, and the rest", services: `tagged("Prod")`, office: `pool("office")`,
			want: map[string]string{"erp": "services", "mail": "services", "git": "office", "wiki": "office"}},
		{name: "by name and VMID", services: `["erp", "101"]`, office: `[tagged("none"), "wiki"]`,
			want: map[string]string{"erp": "services", "mail": "services", "wiki": "office", "git": "virtual_machines"}},
		{name: "several choose one", services: `tagged("prod")`, office: `["erp"]`,
			want: map[string]string{"erp": "services", "mail": "services", "git": "virtual_machines", "wiki": "virtual_machines"},
			find: []string{"guest erp of pve belongs to several assets: services (tag prod), office (name erp)"}},
		{name: "none chooses one", services: `tagged("prod")`, office: `["wiki"]`,
			edit: func(b *bench) { b.edit(`name = "virtual_machines",`, `name = "machines",`) },
			want: map[string]string{"erp": "services", "mail": "services", "wiki": "office"},
			find: []string{"guest git of pve belongs to no asset: it is not saved"}},
		{name: "the asset of the system chooses, too", services: `tagged("prod")`, office: `["wiki"]`,
			edit: func(b *bench) {
				b.edit(`name = "virtual_machines",`, `name = "virtual_machines", guests = ["git", "scratch"],`)
			},
			want: map[string]string{"erp": "services", "mail": "services", "wiki": "office", "git": "virtual_machines"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			groups(b, c.services, c.office)
			if c.edit != nil {
				c.edit(b)
			}
			out := b.run(`return guests()`)
			if out.Err != nil {
				t.Fatal(out.Err)
			}
			got := map[string]string{}
			for _, it := range rows[ledger.Item](b, ledger.RowItem, ledger.Query{Run: out.Run}) {
				got[it.Name] = it.Asset
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			var found []string
			for _, f := range out.Findings {
				found = append(found, f.Text)
			}
			if text := strings.Join(found, "\n"); len(found) != len(c.find) || len(c.find) > 0 && !strings.Contains(text, c.find[0]) {
				t.Errorf("got findings %q, want %q", found, c.find)
			}
		})
	}
}

func TestAGuestKeepsItsItemWhenItsAssetChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	groups(b, `tagged("prod")`, `pool("office")`)
	first := b.good(`return snapshot_vm(guest = "git").asset`)
	b.set(102, func(g *lab.Guest) { g.Config["tags"], g.Config["name"] = "prod;more", "gitea" })
	second := b.run(`return (guests(asset = "services"), snapshot_vm(guest = "git").asset, [a for a in guest_assets()])`)
	if second.Err != nil {
		t.Fatal(second.Err)
	}
	if got := first.Value.String(); got != `"office"` {
		t.Errorf("got %s", got)
	}
	if got, want := second.Value.String(), `(["erp", "mail", "git"], "services", ["virtual_machines", "services", "office"])`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
