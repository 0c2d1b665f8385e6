package zone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// The head and the SOA are as Cloudflare writes them: its owner has no dot.
const exported = ";;\n;; Domain:     example.org.\n;; Exported:   2026-11-23 16:00:00\n;;\n;; SOA Record\n" +
	"example.org\t3600\tIN\tSOA\tada.ns.cloudflare.com. dns.cloudflare.com. 2050131287 10000 2400 604800 3600\n\n" +
	";; NS Records\nexample.org.\t86400\tIN\tNS\tada.ns.cloudflare.com.\nsub.example.org.\t300\tIN\tNS\tns.example.net.\n\n" +
	"example.org.\t1\tIN\tA\t192.0.2.10 ; cf_tags=cf-proxied:true\n" +
	"WWW.example.org.\t1\tIN\tCNAME\tExample.org. ; note cf_tags=team:ops,cf-proxied:false\n" +
	"example.org.\t1\tIN\tMX\t10 mail.example.org.\n" +
	"_sip._tcp.example.org.\t300\tIN\tSRV\t10 5 5060 sip.example.org.\n" +
	"example.org.\t1\tIN\tCAA\t0 issue \"letsencrypt.org\"\n" +
	"example.org.\t1\tIN\tHTTPS\t1 . alpn=\"h3,h2\" ipv4hint=\"192.0.2.10\"\n" +
	"k._domainkey.example.org.\t1\tIN\tTXT\t\"v=DKIM1; p=AAAA\" \"BBBB\\\"\\\\\\195\\164\"\n"

const records = `[
 {"id":"1","name":"example.org","type":"A","content":"192.0.2.10","ttl":1,"proxied":true,"meta":{},"settings":{}},
 {"id":"2","name":"www.example.org","type":"CNAME","content":"example.org","ttl":1,"comment":"note","tags":["team:ops"],"settings":{"flatten_cname":false}},
 {"id":"3","name":"example.org","type":"MX","content":"mail.example.org","priority":10,"ttl":1},
 {"id":"4","name":"_sip._tcp.example.org","type":"SRV","content":"5 5060 sip.example.org","priority":10,"data":{"port":5060,"priority":10,"target":"sip.example.org","weight":5},"ttl":300},
 {"id":"5","name":"example.org","type":"CAA","content":"0 issue \"letsencrypt.org\"","ttl":1},
 {"id":"6","name":"example.org","type":"HTTPS","content":"1 . alpn=\"h3,h2\" ipv4hint=\"192.0.2.10\"","ttl":1},
 {"id":"7","name":"k._domainkey.example.org","type":"TXT","content":"v=DKIM1; p=AAAABBBB\"\\ä","ttl":1},
 {"id":"8","name":"sub.example.org","type":"NS","content":"ns.example.net","ttl":300}
]`

func parsed(t *testing.T, text, list string) (bind, js []Record) {
	t.Helper()
	bind, err := ParseBIND(t.Context(), strings.NewReader(text), ".")
	if err != nil {
		t.Fatal(err)
	}
	if js, err = ParseJSON(t.Context(), strings.NewReader(list)); err != nil {
		t.Fatal(err)
	}
	return bind, js
}

func TestBothFormsHoldTheSameRecords(t *testing.T) {
	bind, js := parsed(t, exported, records)
	if len(bind) != 10 || len(js) != 8 {
		t.Errorf("got %d and %d records, want 10 and 8", len(bind), len(js))
	}
	if d := Missing(bind, js, "Example.org"); !d.Empty() {
		t.Errorf("got a difference: %q", d.Lines())
	}
}

func TestSpellingsOfOneRecordAreEqual(t *testing.T) {
	for name, c := range map[string]struct{ text, object string }{
		"a target with and without dot, in capitals": {"A.example.org. 1 IN CNAME B.example.org.",
			`{"name":"a.Example.org","type":"cname","content":"b.example.ORG","ttl":1}`},
		"a TXT in one and in two strings": {`a.example.org. 1 IN TXT "ab" "cd"`,
			`{"name":"a.example.org","type":"TXT","content":"\"abcd\"","ttl":1}`},
		"a TXT that the API gives in strings": {`a.example.org. 1 IN TXT "abcd"`,
			`{"name":"a.example.org","type":"TXT","content":"\"ab\" \"cd\"","ttl":1}`},
		"a TXT of more than 255 bytes": {`a.example.org. 1 IN TXT "` + strings.Repeat("x", 255) + `" "` + strings.Repeat("x", 45) +
			`"`, `{"name":"a.example.org","type":"TXT","content":"` + strings.Repeat("x", 300) + `","ttl":1}`},
		"an escape for a plain letter": {`a.example.org. 1 IN TXT "\065b"`,
			`{"name":"a.example.org","type":"TXT","content":"Ab","ttl":1}`},
		"an AAAA with and without zeros": {"a.example.org. 1 IN AAAA 2001:db8:0:0::1",
			`{"name":"a.example.org","type":"AAAA","content":"2001:DB8::1","ttl":1}`},
		"an MX whose content holds the priority": {"a.example.org. 1 IN MX 5 b.example.org.",
			`{"name":"a.example.org","type":"MX","content":"5 b.example.org","priority":5,"ttl":1}`},
		"an SRV whose priority is in its data": {"a.example.org. 1 IN SRV 5 0 443 b.example.org.",
			`{"name":"a.example.org","type":"SRV","content":"0 443 b.example.org","data":{"priority":5},"ttl":1}`},
		"a LOC with class and type in its content": {"a.example.org. 1 IN LOC 37 46 46 N 122 23 35 W 0m 100m 0m 0m",
			`{"name":"a.example.org","type":"LOC","content":"IN LOC 37 46 46 N 122 23 35 W 0m 100m 0m 0m","ttl":1}`},
		"a URI": {`a.example.org. 1 IN URI 10 1 "https://example.org/;x"`,
			`{"name":"a.example.org","type":"URI","content":"1 \"https://example.org/;x\"","priority":10,"ttl":1}`},
		"a TLSA with capital digits": {"_443._tcp.example.org. 1 IN TLSA 3 1 1 AB" + strings.Repeat("00", 31),
			`{"name":"_443._tcp.example.org","type":"TLSA","content":"3 1 1 ab` + strings.Repeat("00", 31) + `","ttl":1}`},
		"a text with tabs between the fields of an SRV": {"a.example.org. 1 IN SRV 5 0 443 b.example.org.",
			`{"name":"a.example.org","type":"SRV","content":"5\t0\t443\tb.example.org","ttl":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			bind, js := parsed(t, c.text+"\n", "["+c.object+"]")
			if d := Missing(bind, js, "example.org"); !d.Empty() {
				t.Errorf("got %q", d.Lines())
			}
		})
	}
}

func TestARecordThatIsNotInBothFormsIsTold(t *testing.T) {
	for name, c := range map[string]struct{ cut, want string }{
		"a line that is cut out": {"example.org.\t1\tIN\tMX\t10 mail.example.org.\n", "+ example.org. auto MX 10 mail.example.org."},
		"the delegation":         {"sub.example.org.\t300\tIN\tNS\tns.example.net.\n", "+ sub.example.org. 300 NS ns.example.net."},
	} {
		t.Run(name, func(t *testing.T) {
			bind, js := parsed(t, strings.Replace(exported, c.cut, "", 1), records)
			if d := Missing(bind, js, "example.org"); len(d.Lines()) != 1 || d.Lines()[0] != c.want {
				t.Errorf("got %q, want %q", d.Lines(), c.want)
			}
		})
	}
	bind, js := parsed(t, exported+"old.example.org. 1 IN A 192.0.2.99\n", records)
	if d := Missing(bind, js, "example.org"); len(d.Lines()) != 1 || d.Lines()[0] != "- old.example.org. auto A 192.0.2.99" {
		t.Errorf("got %q", d.Lines())
	}
}

func TestCompareTellsWhatChanged(t *testing.T) {
	edit := func(old, new string) []Record {
		t.Helper()
		text := strings.Replace(records, old, new, 1)
		if text == records {
			t.Fatalf("no %q in the records", old)
		}
		_, js := parsed(t, "", text)
		return js
	}
	_, before := parsed(t, "", records)
	for _, c := range []struct {
		name  string
		after []Record
		want  string
	}{
		{"nothing", before, ""},
		{"another order and other ids", edit(`"id":"1"`, `"id":"9"`), ""},
		{"a ttl and the proxy", edit(`"ttl":1,"proxied":true`, `"ttl":300,"proxied":false`),
			"~ example.org. A: ttl auto -> 300, proxied true -> false"},
		{"an address", edit("192.0.2.10\",\"ttl", "192.0.2.11\",\"ttl"), "~ example.org. A: data 192.0.2.10 -> 192.0.2.11"},
		{"a comment, a tag and a setting", edit(`"comment":"note","tags":["team:ops"],"settings":{"flatten_cname":false}`,
			`"comment":"other","tags":[],"settings":{"flatten_cname":true}`),
			`~ www.example.org. CNAME: comment "note" -> "other", tags "team:ops" -> "", settings {"flatten_cname":false} -> {"flatten_cname":true}`},
		{"a new name", edit(`"name":"www.example.org"`, `"name":"web.example.org"`),
			`+ web.example.org. auto CNAME example.org. ; "note"|- www.example.org. auto CNAME example.org. ; "note"`},
		{"a second record of the same kind", append(before[:len(before):len(before)], before[0]), "+ example.org. auto A 192.0.2.10 proxied"},
	} {
		if got := strings.Join(Compare(before, c.after).Lines(), "|"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if raw, err := json.Marshal(Compare(before, nil)); err != nil ||
		!strings.Contains(string(raw), `"removed":[{"name":"_sip._tcp.example.org."`) {
		t.Errorf("got %s, %v", raw, err)
	}
}

func TestHostileBINDTextIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a file to include":            {"$INCLUDE /etc/passwd\n", "refused"},
		"records that are generated":   {"example.org. 1 IN A 192.0.2.1\n \t$generate 1-65535 a$ A 192.0.2.1\n", "refused"},
		"half a record":                {"example.org. 1 IN MX 10\n", "read"},
		"an MX without its host":       {"example.org. 1 IN MX 10", "read"},
		"a type for questions only":    {"example.org. 1 IN TYPE255 \\# 1 00\n", "stands in no zone"},
		"a quoted string without end":  {"example.org. 1 IN TXT \"abc", "read zone"},
		"an unknown type":              {"example.org. 1 IN NOPE x\n", "read zone"},
		"another class":                {"example.org. 1 CH TXT \"x\"\n", "class CH"},
		"a label of more than 63":      {strings.Repeat("a", 64) + ".org. 1 IN A 192.0.2.1\n", "read zone"},
		"a line that does not end":     {"example.org. 1 IN TXT " + strings.Repeat("x", maxLine), "longer than"},
		"more than one line of a TXT":  {"example.org. 1 IN TXT \"" + strings.Repeat("x\n", 70000) + "\"\n", "read"},
		"an address that is not there": {"example.org. 1 IN A\n", "without data"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseBIND(t.Context(), strings.NewReader(c.text), ".")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want an error with %q", got, err, c.want)
			}
		})
	}
}

func TestWhatIsNoRecordIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no array":                        `{"name":"a"}`,
		"an array that does not end":      `[{"name":"a.org","type":"A","content":"192.0.2.1","ttl":1}`,
		"text after the array":            `[] x`,
		"a second array":                  `[][]`,
		"a record that is a number":       `[1]`,
		"a record too large to read":      `[{"name":"a.org","type":"TXT","content":"` + strings.Repeat("x", MaxRecord) + `","ttl":1}]`,
		"settings that are not an object": `[{"name":"a.org","type":"TXT","content":"x","ttl":1,"settings":}]`,
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseJSON(t.Context(), strings.NewReader(text)); err == nil {
				t.Errorf("got %v, want an error", got)
			}
		})
	}
}

// One odd record costs no other. What cannot be read is never taken for something
// else: it is one record of one line, in quotes, that says so.
func TestARecordThatCannotBeReadIsKeptAndSaysSo(t *testing.T) {
	for name, c := range map[string]struct{ object, want string }{
		"a negative ttl":        {`{"name":"a.org","type":"A","content":"192.0.2.1","ttl":-1}`, `a.org. 0 A "192.0.2.1"`},
		"a ttl with a fraction": {`{"name":"a.org","type":"A","content":"192.0.2.1","ttl":1.5}`, `a.org. auto A "192.0.2.1"`},
		"a ttl that is a text":  {`{"name":"a.org","type":"A","content":"192.0.2.1","ttl":"x"}`, `a.org. 0 A "192.0.2.1"`},
		"an unknown type":       {`{"name":"a.org","type":"NO PE","content":"x","ttl":1}`, `a.org. auto "NO PE" "x"`},
		"no content":            {`{"name":"a.org","type":"A","content":"","ttl":1}`, `a.org. auto A ""`},
		"no name":               {`{"type":"A","content":"192.0.2.1","ttl":1}`, `"" auto A "192.0.2.1"`},
		"a second record in content": {`{"name":"a.org","type":"A","content":"192.0.2.1\nb.org. 1 IN A 192.0.2.2","ttl":1}`,
			`a.org. auto A "192.0.2.1\010b.org. 1 IN A 192.0.2.2"`},
		"a comment in content": {`{"name":"a.org","type":"CNAME","content":"b.org ;x","ttl":1}`, `a.org. auto CNAME "b.org ;x"`},
		"a label of more than 63": {`{"name":"` + strings.Repeat("a", 64) + `.org","type":"A","content":"192.0.2.1","ttl":1}`,
			`"` + strings.Repeat("a", 64) + `.org" auto A "192.0.2.1"`},
		"a quoted text without end": {`{"name":"k1._domainkey.example.org","type":"TXT","content":"\"v=DKIM1; k=rsa; p=AAAA","ttl":1}`,
			`k1._domainkey.example.org. auto TXT "\"v=DKIM1; k=rsa; p=AAAA"`},
		"text beside a quoted one":    {`{"name":"a.org","type":"TXT","content":"\"a\" b","ttl":1}`, `a.org. auto TXT "\"a\" b"`},
		"a bad escape":                {`{"name":"a.org","type":"TXT","content":"\"\\999\"","ttl":1}`, `a.org. auto TXT "\"\\999\""`},
		"a backslash at the very end": {`{"name":"a.org","type":"TXT","content":"\"a\\","ttl":1}`, `a.org. auto TXT "\"a\\"`},
		"a newer service parameter": {`{"name":"a.org","type":"HTTPS","content":"1 . alpn=h3 brand-new=1","ttl":1}`,
			`a.org. auto HTTPS "1 . alpn=h3 brand-new=1"`},
		"a comment that is a number": {`{"name":"a.org","type":"A","content":"192.0.2.1","ttl":1,"comment":7}`, `a.org. auto A "192.0.2.1"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseJSON(t.Context(), strings.NewReader("["+c.object+`,{"name":"b.org","type":"A","content":"192.0.2.7","ttl":1}]`))
			if err != nil || len(got) != 2 || got[0].Unread == "" || strings.Contains(got[0].Unread, "\n") || got[1].Unread != "" ||
				got[1].Data != "192.0.2.7" {
				t.Fatalf("got %+v, %v", got, err)
			}
			if got[0].String() != c.want {
				t.Errorf("got %s, want %s", got[0], c.want)
			}
		})
	}
}

func TestOwnerNamesCompareAsDNSDoes(t *testing.T) {
	for _, c := range []struct{ bind, object string }{
		{`a\032b.example.org.`, `a\\032b.example.org`},
		{`a\032b.example.org.`, `a b.example.org`},
		{`a\032b.example.org.`, `a\\ b.example.org`},
		{`x\.y.example.org.`, `X\\.y.example.org.`},
		{`\097.example.org.`, `A.Example.ORG`},
		{`xn--bcher-kva.example.`, `bücher.example`},
		{`_dmarc.xn--bcher-kva.example.`, `_dmarc.BÜCHER.example.`},
		{`*.xn--bcher-kva.example.`, `*.bücher.example`},
		{`\040\041.example.org.`, `().example.org`},
	} {
		for _, typ := range []string{"TXT", "A", "MX"} {
			data := map[string][2]string{"TXT": {`"x"`, "x"}, "A": {"192.0.2.1", "192.0.2.1"},
				"MX": {"5 xn--bcher-kva.example.", "5 bücher.example"}}[typ]
			bind, js := parsed(t, c.bind+" 1 IN "+typ+" "+data[0]+"\n", `[{"name":"`+c.object+`","type":"`+typ+`","content":"`+data[1]+`","ttl":1}]`)
			if d := Missing(bind, js, "example.org"); !d.Empty() || js[0].Unread != "" {
				t.Errorf("%s: %q, %s", c.bind, d.Lines(), js[0].Unread)
			}
		}
	}
}

func TestZonesAreFoundByEitherName(t *testing.T) {
	for in, want := range map[string]string{
		"Bücher.Example.": "xn--bcher-kva.example", "xn--bcher-kva.example": "xn--bcher-kva.example",
		"XN--BCHER-KVA.example.": "xn--bcher-kva.example",
		"straße.example":         "xn--strae-oqa.example", "example.org.": "example.org", "_x.bücher.example": "_x.xn--bcher-kva.example", "": "",
	} {
		if got := Name(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	if got := Unicode("xn--bcher-kva.example"); got != "bücher.example" {
		t.Errorf("got %s", got)
	}
}

// The library prints some records in a form that it does not read, or reads as another:
// those have the form of unknown types.
func TestEveryFormCanBeReadAgain(t *testing.T) {
	h := func(typ uint16) dns.RR_Header {
		return dns.RR_Header{Name: "a.", Rrtype: typ, Class: dns.ClassINET, Ttl: 1}
	}
	for _, rr := range []dns.RR{
		&dns.CAA{Hdr: h(dns.TypeCAA), Tag: "(", Value: `"`}, &dns.CAA{Hdr: h(dns.TypeCAA), Tag: `"`, Value: "x"},
		&dns.CAA{Hdr: h(dns.TypeCAA), Tag: "a;b", Value: "x"},
		&dns.CAA{Hdr: h(dns.TypeCAA), Tag: "issue", Value: "letsencrypt.org"}, &dns.HINFO{Hdr: h(dns.TypeHINFO), Cpu: `a"b`, Os: ";"},
		&dns.URI{Hdr: h(dns.TypeURI), Target: `x"(`},
	} {
		want, err := fromRR(rr)
		if err != nil {
			t.Errorf("%v: %v", rr, err)
			continue
		}
		got, err := ParseBIND(t.Context(), strings.NewReader(fmt.Sprintf("%s\t%d\tIN\t%s\t%s\n", want.Name, want.TTL, want.Type, want.Data)), ".")
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %v, %v", want, got, err)
		}
	}
}

func TestTextThatDoesNotLoadIsMadeOneThatDoes(t *testing.T) {
	text := exported + "k1.example.org.\t1\tIN\tTXT\t\"v=DKIM1\nb.example.org.\t1\tIN\tTXT\t\"x\ny.example.org.\t1\tIN\tHTTPS\t1 . " +
		"brand-new=1\nlast.example.org.\t1\tIN\tA\t192.0.2.9\n"
	if _, err := ParseBIND(t.Context(), strings.NewReader(text), "."); err == nil {
		t.Fatal("the text loads as it is")
	}
	loads, records, unread, err := Legible(t.Context(), []byte(text))
	if err != nil || len(records) != 11 || len(unread) != 3 {
		t.Fatalf("got %d records, %v, %v", len(records), unread, err)
	}
	if unread[0].Part() != "record k1.example.org. TXT" || unread[2].Part() != "record y.example.org. HTTPS" || unread[2].Unread == "" {
		t.Errorf("got %+v", unread)
	}
	again, err := ParseBIND(t.Context(), strings.NewReader(string(loads)), ".")
	if err != nil || !Served(records, again).Empty() {
		t.Errorf("got %v, %v", again, err)
	}
	if !strings.Contains(string(loads), "; cannot be read: k1.example.org.\t1\tIN\tTXT\t\"v=DKIM1\n") {
		t.Errorf("got %s", loads)
	}
}

func TestARecordThatIsAGapIsNoDifference(t *testing.T) {
	odd := `{"name":"example.org","type":"TXT","content":"\"x","ttl":1}`
	bind, js := parsed(t, exported, strings.TrimSuffix(records, "]")+","+odd+"]")
	if d := Missing(bind, js, "example.org"); !d.Empty() {
		t.Errorf("got %q", d.Lines())
	}
	// the text may have it in a form that can be read
	bind, _ = parsed(t, exported+"example.org. 1 IN TXT \"\\\"x\"\n", records)
	if d := Missing(bind, js, "example.org"); !d.Empty() {
		t.Errorf("got %q", d.Lines())
	}
	// but one only
	bind, _ = parsed(t, exported+"example.org. 1 IN TXT \"x\"\nexample.org. 1 IN TXT \"y\"\n", records)
	if d := Missing(bind, js, "example.org"); len(d.Lines()) != 1 {
		t.Errorf("got %q", d.Lines())
	}
	// a reader that knows more finds the record, and not in the text
	cut := strings.Replace(exported, "example.org.\t1\tIN\tMX\t10 mail.example.org.\n", "", 1)
	bind, js = parsed(t, cut, records)
	if d := Missing(bind, js, "example.org", "record example.org. MX"); !d.Empty() {
		t.Errorf("got %q", d.Lines())
	}
	if d := Missing(bind, js, "example.org", "record www.example.org. MX"); d.Empty() {
		t.Error("a gap of another record is taken")
	}
}

func TestPlainRecordsHaveTheFormOfTheWire(t *testing.T) {
	for _, line := range []string{
		"a.Example.org. 1 IN A 192.0.2.1", "*.example.org. 5 IN AAAA 2001:DB8:0:0:0:1:0:0", "a.org. 1 IN AAAA ::", "a.org. 1 IN AAAA ::1",
		"a.org. 1 IN AAAA ::ffff:192.0.2.1",
		"_a-b.org. 1 IN CNAME B.org.", "a.org. 1 IN CNAME .", ". 1 IN A 192.0.2.1", "a.org. 1 IN CNAME a\\.b.org.",
		"xn--4ca.org. 1 IN A 0.0.0.0", "\\097.org. 1 IN A 192.0.2.1",
		strings.Repeat("a", 63) + ".org. 1 IN A 192.0.2.1",
	} {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		got, err := fromRR(rr)
		want, werr := wired(rr)
		if got != want || err != nil || werr != nil {
			t.Errorf("%s: got %v, %v, want %v, %v", line, got, err, want, werr)
		}
		r, err := FromJSON(json.RawMessage(fmt.Sprintf(`{"name":%q,"type":%q,"content":%q,"ttl":%d}`, rr.Header().Name, want.Type,
			strings.Fields(line)[4], want.TTL)))
		if err == nil && r != want {
			t.Errorf("%s: from JSON got %v, want %v", line, r, want)
		}
	}
}

func TestATypeThatIsNewerThanTheLibraryIsKept(t *testing.T) {
	_, js := parsed(t, "", `[{"name":"a.org","type":"NOPE","content":"x y","ttl":1}]`)
	if len(js) != 1 || js[0].String() != `a.org. auto NOPE "x y"` {
		t.Errorf("got %v", js)
	}
}

func TestParsingEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := ParseBIND(ctx, strings.NewReader(exported), "."); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := ParseJSON(ctx, strings.NewReader(records)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSettleLeavesOutTheTimeAndDotsTheSOA(t *testing.T) {
	old := strings.Replace(exported, "ada.ns.cloudflare.com. dns.cloudflare.com.", "ada.ns.cloudflare.com dns.cloudflare.com", 1)
	for _, text := range []string{exported, strings.Replace(exported, "16:00:00", "17:00:00", 1), old, string(Settle([]byte(exported)))} {
		got := string(Settle([]byte(text)))
		if strings.Contains(got, "Exported") || !strings.Contains(got, "\nexample.org.\t3600\tIN\tSOA\tada.ns.cloudflare.com. "+
			"dns.cloudflare.com. 2050131287") {
			t.Errorf("got %s", got)
		}
		if want := strings.Count(exported, "\n") - 1; strings.Count(got, "\n") != want {
			t.Errorf("got %d lines, want %d", strings.Count(got, "\n"), want)
		}
	}
}

func TestRelativeNamesTakeTheOrigin(t *testing.T) {
	got, err := ParseBIND(t.Context(), strings.NewReader("$TTL 300\n@ IN NS ns\nwww IN A 192.0.2.1\n"), "example.org")
	if err != nil || fmt.Sprint(got) != "[example.org. 300 NS ns.example.org. www.example.org. 300 A 192.0.2.1]" {
		t.Errorf("got %v, %v", got, err)
	}
}
