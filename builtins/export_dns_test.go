package builtins

import (
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/ledger"
)

const (
	exportZone = `return export_dns(zone = "example.org")`
	labZone    = "9e107d9d372bb6826bd81d3542a419d6"
	zoneLists  = "GET /zones/" + labZone + "/dns_records"
)

// records changes the records of the lab's zone.
func (b *bench) records(edit func([]map[string]any) []map[string]any) {
	b.t.Helper()
	if err := b.lab.Cloudflare().Edit("zones/"+labZone+"/dns_records", edit); err != nil {
		b.t.Fatal(err)
	}
}

func TestExportDNSHoldsTheZone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.good(exportZone)
	a := b.artifact("example.org")
	if a.Kind != "zone" || a.Asset != "public_dns" || a.Source != "cloudflare:zone/"+labZone || a.Declared["records"] != "19" ||
		len(a.Gaps) != 0 || len(a.Files) != 4 {
		t.Errorf("got %+v", a)
	}
	for file, words := range map[string][]string{
		"records.json": {`"content":"192.0.2.10"`, `"tags":["team:ops","critical"]`, `"comment":"mail server, never proxied"`},
		"zone.bind": {"example.org.\t3600\tIN\tSOA\tada.ns.cloudflare.com. dns.cloudflare.com.",
			"_sip._tcp.example.org.\t300\tIN\tSRV\t10 5 5060 sip.example.org."},
		"zone.json":  {`"plan"`, `"key_tag": 42`, `"ns_ttl": 86400`, `"min_tls_version"`},
		"index.json": {`"records": 19`, `"missing": null`, `"runner": "test"`},
	} {
		if w := missing(b.spooled(a, file), words); w != "" {
			t.Errorf("%s does not hold %q", file, w)
		}
	}
}

func TestExportsOfOneZoneAreEqualAndChangesAreTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.good(exportZone)
	first := b.artifact("example.org")
	b.good(exportZone)
	second := b.artifact("example.org")
	for _, f := range first.Files {
		if b.spooled(second, f.Name) == "" {
			t.Errorf("%s is not there", f.Name)
		}
	}
	if len(second.Files) != 4 || second.Files[0].SHA256 != first.Files[0].SHA256 || second.Files[1].SHA256 != first.Files[1].SHA256 ||
		second.Files[2].SHA256 != first.Files[2].SHA256 || second.Files[3].SHA256 != first.Files[3].SHA256 {
		t.Errorf("two exports of one state differ: %+v, %+v", first.Files, second.Files)
	}
	b.records(func(list []map[string]any) []map[string]any {
		list[0]["content"] = "192.0.2.11"
		return list[:len(list)-1]
	})
	if err := b.lab.Cloudflare().EditObject("zones/"+labZone+"/dnssec", func(o map[string]any) { o["status"] = "disabled" }); err != nil {
		t.Fatal(err)
	}
	b.good(exportZone)
	a := b.artifact("example.org")
	if w := missing(b.spooled(a, "changes.txt"), []string{"since ", "\n- _25._tcp.mail.example.org. 3600 TLSA",
		"\n~ example.org. A: data 192.0.2.10 -> 192.0.2.11\n", "\n~ zone.json: "}); w != "" {
		t.Errorf("%q is not in %s", w, b.spooled(a, "changes.txt"))
	}
	if w := missing(a.Declared["changes"], []string{"since ", "\n1 in records changed\n1 in records removed\n1 in zone.json"}); w != "" {
		t.Errorf("%q is not in what the ledger says of it: %q", w, a.Declared["changes"])
	}
	if !b.reported("1 in records changed, 1 in records removed, 1 in zone.json") {
		t.Error("the operator was not told")
	}
	if b.reported("192.0.2.11") || strings.Contains(a.Declared["changes"], "192.0.2.11") {
		t.Error("a record's content is in the log or the ledger")
	}
}

func TestExportDNSIsCopiedAndProven(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	out := b.run(`return verify(copies = copy(artifact = export_dns(zone = "example.org"), to = ["offsite"]), level = "read")`)
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	found := false
	for _, p := range b.proofs("offsite") {
		found = found || p.Item == "example.org" && p.Level == ledger.Read
	}
	if !found {
		t.Errorf("got proofs %+v", b.proofs("offsite"))
	}
	for _, c := range b.copies("offsite") {
		if c.Kind == "zone" && !c.Opened {
			t.Errorf("the clear stream was not opened: %+v", c)
		}
	}
}

// No fault of the table ends well, and each has the outcome that is declared.
func TestExportDNSFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		site   []string
		faults []lab.Fault
		call   string
		code   string
		words  []string
	}{
		{name: "a zone with zero records", faults: []lab.Fault{{On: zoneLists, Do: "empty"}}, code: "E_ZONE_EMPTY",
			words: []string{"it has no records"}},
		{name: "records that change between pages", faults: []lab.Fault{{On: zoneLists, Do: "moving"}}, code: "E_CF_CHANGING",
			words: []string{"4 times in a row"}},
		{name: "a record less than counted", faults: []lab.Fault{{On: zoneLists, Do: "short"}}, code: "E_CF_CHANGING",
			words: []string{"18 came"}},
		{name: "401", faults: []lab.Fault{{On: "GET /zones", Do: "answer 401"}}, code: "E_CF_AUTH",
			words: []string{"Invalid API Token", "runner secret set"}},
		{name: "a wrong token", site: []string{`secret("cloudflare-token")`, `secret("bad-token")`}, code: "E_CF_AUTH",
			words: []string{"Invalid API Token"}},
		{name: "403", faults: []lab.Fault{{On: zoneLists, Do: "answer 403"}}, code: "E_CF_FORBIDDEN",
			words: []string{"Authentication error", "the token needs"}},
		{name: "errors that are bare strings", faults: []lab.Fault{{On: zoneLists, Do: "bare 403 not for you"}}, code: "E_CF_FORBIDDEN",
			words: []string{"not for you"}},
		{name: "429 with Retry-After, without end", faults: []lab.Fault{{On: zoneLists, Do: "limit 30"}}, code: "E_CF_LIMITED",
			words: []string{"(429)", "1200 requests"}},
		{name: "429 without Retry-After, without end", faults: []lab.Fault{{On: zoneLists, Do: "limit"}}, code: "E_CF_LIMITED",
			words: []string{"(429)"}},
		{name: "500 without end", faults: []lab.Fault{{On: zoneLists, Do: "answer 500"}}, code: "E_CF_DOWN", words: []string{"(500)"}},
		{name: "503 without end", faults: []lab.Fault{{On: "GET /zones", Do: "answer 503"}}, code: "E_CF_DOWN", words: []string{"(503)"}},
		{name: "connections that are cut", faults: []lab.Fault{{On: zoneLists, Do: "cut-before"}}, code: "E_CF_DOWN", words: []string{"EOF"}},
		{name: "pages without end", faults: []lab.Fault{{On: zoneLists, Do: "endless"}}, code: "E_CF_CHANGING", words: []string{"came twice"}},
		{name: "a page of HTML", faults: []lab.Fault{{On: zoneLists, Do: "garbage captive portal"}}, code: "E_CF_ANSWER",
			words: []string{"not the API's JSON"}},
		{name: "another certificate", faults: []lab.Fault{{On: "tls api.cloudflare.lab", Do: "new-cert"}}, code: "E_CF_CERT",
			words: []string{"its fingerprint is"}},
		{name: "a zone that the token does not see", faults: []lab.Fault{{On: "GET /zones", Do: "empty"}}, code: "E_NO_ZONE",
			words: []string{"sees no zone example.org"}},
		{name: "a zone that the site does not have", call: `export_dns(zone = "example.com")`, code: "E_NO_ZONE",
			words: []string{"example.com", "zones = [...]"}},
		{name: "a system that does not have the zone", call: `export_dns(zone = "example.org", system = "pve")`, code: "E_NO_ZONE",
			words: []string{"is in cloudflare of the site, not in pve"}},
		{name: "a site without the row", site: []string{`name = "public_dns"`, `name = "other"`}, code: "E_NO_ASSET",
			words: []string{"public_dns"}},
		{name: "a token that is not in the keyring", site: []string{`secret("cloudflare-token")`, `secret("nowhere")`}, code: "E_SECRET",
			words: []string{"nowhere"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.site...)
			b.inject(c.faults...)
			call := c.call
			if call == "" {
				call = `export_dns(zone = "example.org")`
			}
			wantCode(t, b.run("return "+call), c.code, c.words...)
			if arts := b.artifacts(); len(arts) != 0 {
				t.Errorf("got %d artifacts of a failed export", len(arts))
			}
		})
	}
}

func TestExportDNSOutlastsWhatPasses(t *testing.T) {
	t.Parallel()
	for _, f := range []lab.Fault{
		{On: zoneLists, Do: "limit 30", Times: 2}, {On: zoneLists, Do: "limit", Times: 3}, {On: zoneLists, Do: "answer 502", Times: 3},
		{On: zoneLists, Do: "cut-before", Times: 3},
		{On: zoneLists, Do: "moving", Times: 1}, {On: zoneLists, Do: "short", Times: 2}, {On: "GET */export", Do: "short", Times: 1},
		{On: "*", Do: "remaining 1"},
	} {
		t.Run(f.Do, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.inject(f)
			b.good(exportZone)
			if a := b.artifact("example.org"); a.Declared["records"] != "19" || len(a.Gaps) != 0 {
				t.Errorf("got %+v", a)
			}
		})
	}
}

func TestExportDNSTellsWhatItCouldNotRead(t *testing.T) {
	t.Parallel()
	for on, part := range map[string]string{"GET */dnssec": "dnssec", "GET */dns_settings": "dns_settings", "GET */settings*": "settings",
		"GET */export": "bind"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.inject(lab.Fault{On: on, Do: "answer 403"})
			out := b.exec("policy(sop = \"IT-245\", section = \"DNS\", version = \"1.0.0\", protects = [\"public_dns\"])\n\n" +
				main(`systems(kind = "zone")`, `return copy(artifact = export_dns(zone = "example.org"), to = ["offsite"])`))
			if out.Err != nil || out.Result == ledger.OK {
				t.Fatalf("got %s, %v", out.Result, out.Err)
			}
			wantFinding(t, out, ledger.DegradedRun, "example.org: "+part+" is left out (403 ")
			a := b.artifact("example.org")
			if len(a.Gaps) != 1 || a.Gaps[0].What != part || !strings.HasPrefix(a.Gaps[0].Why, "403") || a.Gaps[0].Item != "example.org" {
				t.Errorf("got gaps %+v", a.Gaps)
			}
			if has := b.spooled(a, "zone.bind") != ""; has == (part == "bind") {
				t.Errorf("zone.bind is there: %t", has)
			}
		})
	}
}
