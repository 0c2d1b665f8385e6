package builtins

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	zonekind "github.com/neosofia/runner/builtins/internal/kind/zone"

	"github.com/neosofia/runner/builtins/internal/client/cloudflare"
	"github.com/neosofia/runner/builtins/internal/format/zone"
	"github.com/neosofia/runner/runtime/ledger"
)

// labRecord is one as the API lists it.
func labRecord(n int, name, typ, content string, data map[string]any) map[string]any {
	r := map[string]any{"id": fmt.Sprintf("%032x", 0xabc0000+n), "name": name, "type": typ, "content": content, "ttl": 1, "proxied": false,
		"proxiable": false,
		"settings":  map[string]any{}, "meta": map[string]any{}, "comment": nil, "tags": []any{}, "created_on": "2026-03-01T10:00:00.123456Z",
		"modified_on": "2026-03-01T10:00:00.123456Z"}
	if data != nil {
		r["data"] = data
	}
	return r
}

const (
	locContent = "IN LOC 37 46 46 N 122 23 35 W 0m 100m 0m 0m"
	// export, a copy that is opened, and what was left out
	openedZone = `return verify(copies = copy(artifact = export_dns(zone = "%s"), to = ["second-disk"]), level = "opened")`
)

// One odd record costs no other: its bytes are kept, and what cannot be read is a gap
// by name.
func TestOneOddRecordDoesNotCostTheZone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		record map[string]any
		gap    string
		bind   string
	}{
		"a LOC as the vendor's documents show it": {labRecord(1, "loc.example.org", "LOC", locContent, nil), "",
			"loc.example.org.\t1\tIN\tLOC\t37 46 46 N 122 23 35 W 0m 100m 0m 0m\n"},
		"a text whose quote does not end": {labRecord(1, "k1._domainkey.example.org", "TXT", `"v=DKIM1; k=rsa; p=AAAA`, nil),
			"record k1._domainkey.example.org. TXT", "; cannot be read: k1._domainkey.example.org.\t1\tIN\tTXT\t\"v=DKIM1"},
		"an owner with an escaped blank": {labRecord(1, `printer\032room._ipp._tcp.example.org`, "TXT", "x", nil), "",
			`printer\032room._ipp._tcp.example.org.`},
		"a newer service parameter": {labRecord(1, "svc.example.org", "HTTPS", "1 . brand-new=\"1\"",
			map[string]any{"priority": 1, "target": ".", "value": `brand-new="1"`}), "record svc.example.org. HTTPS",
			"; cannot be read: svc.example.org."},
		"a type of tomorrow": {labRecord(1, "t.example.org", "NEXT", "a b", nil), "record t.example.org. NEXT",
			"; cannot be read: t.example.org."},
		"a field of another type": {func() map[string]any {
			r := labRecord(1, "odd.example.org", "A", "192.0.2.77", nil)
			r["tags"] = "x"
			return r
		}(), "record odd.example.org. A", "odd.example.org."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.records(func(list []map[string]any) []map[string]any { return append(list, c.record) })
			if out := b.run(fmt.Sprintf(openedZone, "example.org")); out.Err != nil {
				t.Fatal(out.Err)
			}
			a := b.artifact("example.org")
			if c.gap == "" && len(a.Gaps) > 0 || c.gap != "" && (len(a.Gaps) != 1 || a.Gaps[0].What != c.gap) {
				t.Errorf("got gaps %+v, want %q", a.Gaps, c.gap)
			}
			if a.Declared["records"] != "20" {
				t.Errorf("got %s records", a.Declared["records"])
			}
			content, err := json.Marshal(c.record["content"])
			if err != nil {
				t.Fatal(err)
			}
			if w := missing(b.spooled(a, "records.json"), []string{`"content":` + string(content), `"content":"192.0.2.10"`}); w != "" {
				t.Errorf("records.json does not hold %s", w)
			}
			text := b.spooled(a, "zone.bind")
			if !strings.Contains(text, c.bind) {
				t.Errorf("zone.bind does not hold %q:\n%s", c.bind, text)
			}
			if got, err := zone.ParseBIND(t.Context(), strings.NewReader(text), "."); err != nil || len(got) < 22 {
				t.Errorf("zone.bind: %d records, %v", len(got), err)
			}
		})
	}
}

func TestAZoneIsFoundByEitherName(t *testing.T) {
	t.Parallel()
	const people, puny = "bücher.example", "xn--bcher-kva.example"
	for site, asked := range map[string]string{people: puny, puny: people, "BÜCHER.example.": people} {
		for _, vendor := range []string{people, puny} {
			t.Run(site+" at "+vendor, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, `zones = ["example.org"]`, `zones = ["`+site+`"]`)
				if err := b.lab.Cloudflare().Edit("zones", func(list []map[string]any) []map[string]any {
					list[0]["name"] = vendor
					return list
				}); err != nil {
					t.Fatal(err)
				}
				b.records(func([]map[string]any) []map[string]any {
					return []map[string]any{labRecord(1, puny, "A", "192.0.2.10", nil), labRecord(2, "www."+puny, "CNAME", puny, nil),
						labRecord(3, "_dmarc."+people, "TXT", "x", nil)}
				})
				for range 2 {
					if out := b.run(fmt.Sprintf(openedZone, asked)); out.Err != nil {
						t.Fatal(out.Err)
					}
				}
				a := b.artifact(puny)
				if len(a.Gaps) != 0 || a.Declared["records"] != "3" || a.Declared["changes"] != "" {
					t.Errorf("got %+v", a)
				}
			})
		}
	}
}

// vendor makes a record out of what it is created with, as Cloudflare's interface does:
// the content of some types out of their data.
func vendor(n int, post map[string]any) map[string]any {
	d, _ := post["data"].(map[string]any)
	content, _ := post["content"].(string)
	switch post["type"] {
	case "SRV":
		content = fmt.Sprintf("%v %v %v", d["weight"], d["port"], d["target"])
		post["priority"] = d["priority"]
	case "CAA":
		content = fmt.Sprintf("%v %v %q", d["flags"], d["tag"], d["value"])
	case "HTTPS":
		content = fmt.Sprintf("%v %v %v", d["priority"], d["target"], d["value"])
	case "LOC":
		content = locContent
	}
	r := labRecord(n, fmt.Sprint(post["name"]), fmt.Sprint(post["type"]), content, d)
	for k, v := range post {
		r[k] = v
	}
	r["content"] = content
	return r
}

func randomRecord(r *rand.Rand, n int) map[string]any {
	of := func(list ...string) string { return list[r.IntN(len(list))] }
	name := of("", "www.", "*.", "_sip._tcp.", `a\032b.`, "x-y.", "BIG.", fmt.Sprintf("h%d.", n)) + "example.org"
	post := map[string]any{"name": name, "ttl": []int{1, 60, 3600}[r.IntN(3)]}
	switch post["type"] = of("A", "AAAA", "CNAME", "MX", "TXT", "TXT", "SRV", "CAA", "HTTPS", "LOC", "NS", "NEXT"); post["type"] {
	case "A":
		post["content"], post["proxied"] = fmt.Sprintf("192.0.2.%d", r.IntN(200)), r.IntN(2) == 0
	case "AAAA":
		post["content"] = of("2001:db8::1", "2001:DB8:0:0::7")
	case "CNAME", "NS":
		post["content"] = of("example.net", "Other.example.net", `a\032b.example.net`)
	case "MX":
		post["content"], post["priority"] = "mail.example.net", r.IntN(50)
	case "TXT":
		post["content"] = of("v=spf1 -all", `"two" "parts"`, `say \"x\"`, strings.Repeat("long", 100), `"does not end`, "ä; ;(x", `"\"q\""`,
			"tab\there")
	case "SRV":
		post["data"] = map[string]any{"priority": 1 + r.IntN(3), "weight": 5, "port": 5060, "target": "sip.example.org"}
	case "CAA":
		post["data"] = map[string]any{"flags": 0, "tag": of("issue", "iodef"), "value": of("letsencrypt.org", "mailto:a@example.org")}
	case "HTTPS":
		post["data"] = map[string]any{"priority": 1, "target": ".", "value": of(`alpn="h3,h2"`, `brand-new="1"`)}
	case "LOC":
		post["data"] = map[string]any{"lat_degrees": 37}
	case "NEXT":
		post["content"] = "a b"
	}
	if r.IntN(4) == 0 {
		post["comment"], post["tags"] = "it's a note; \"q\"", []any{"team:ops"}
	}
	return vendor(n, post)
}

// Whatever the zone: the export is opened, and the calls that bring it back make a zone
// whose export is the same.
func TestAnyZoneComesBackEqual(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 7))
			from, to := newBench(t), newBench(t)
			from.records(func([]map[string]any) (list []map[string]any) {
				for n := range 1 + r.IntN(30) {
					list = append(list, randomRecord(r, n))
				}
				return list
			})
			was := exported(t, from)
			var raw []json.RawMessage
			if err := json.Unmarshal([]byte(from.spooled(was, zonekind.RecordsFile)), &raw); err != nil {
				t.Fatal(err)
			}
			calls, err := cloudflare.RecordCalls(labZone, raw)
			if err != nil {
				t.Fatal(err)
			}
			to.records(func([]map[string]any) (list []map[string]any) {
				for _, c := range calls {
					var body struct{ Posts []map[string]any }
					if err := json.Unmarshal(c.Body, &body); err != nil {
						t.Fatal(err)
					}
					for _, p := range body.Posts {
						list = append(list, vendor(len(list), p))
					}
				}
				return list
			})
			is := exported(t, to)
			read := func(b *bench, a ledger.Artifact) ([]zone.Record, []zone.Record) {
				js, err := zone.ParseJSON(context.Background(), strings.NewReader(b.spooled(a, zonekind.RecordsFile)))
				if err != nil {
					t.Fatal(err)
				}
				bind, err := zone.ParseBIND(context.Background(), strings.NewReader(b.spooled(a, zonekind.BINDFile)), ".")
				if err != nil {
					t.Fatal(err)
				}
				return js, bind
			}
			js, bind := read(from, was)
			backJS, backBIND := read(to, is)
			if d := zone.Compare(js, backJS); !d.Empty() {
				t.Errorf("records: %q", d.Lines())
			}
			if d := zone.Compare(bind, backBIND); !d.Empty() {
				t.Errorf("BIND text: %q", d.Lines())
			}
			if !slices.EqualFunc(was.Gaps, is.Gaps, func(a, b ledger.Gap) bool { return a.What == b.What }) {
				t.Errorf("gaps: %v, were %v", is.Gaps, was.Gaps)
			}
		})
	}
}

// exported is the artifact of a zone that was exported, copied and opened; the BIND
// text is in it.
func exported(t *testing.T, b *bench) ledger.Artifact {
	t.Helper()
	if out := b.run(fmt.Sprintf(openedZone, "example.org")); out.Err != nil {
		t.Fatal(out.Err)
	}
	a := b.artifact("example.org")
	for _, g := range a.Gaps {
		if !strings.HasPrefix(g.What, "record ") {
			t.Errorf("gap %+v", g)
		}
	}
	return a
}
