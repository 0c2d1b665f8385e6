package zone

import (
	"bytes"
	"fmt"
	"testing"
)

// again are the types whose form must be readable again; the library prints some
// old ones in a form that it does not read.
var again = map[string]bool{"A": true, "AAAA": true, "CAA": true, "CNAME": true, "DNSKEY": true, "DS": true, "HTTPS": true, "MX": true, "NS": true,
	"PTR": true, "SRV": true, "SSHFP": true, "SVCB": true, "TLSA": true, "TYPE65280": true}

// A text that is accepted is accepted again in the form that it was given.
func FuzzParseBIND(f *testing.F) {
	f.Add([]byte(exported))
	f.Add([]byte("$ORIGIN a.\n$TTL 1h\n@ IN TXT \"\\000\" (\n\"x\" )\n"))
	f.Add([]byte("a. 1 IN TYPE65280 \\# 2 abcd\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 64<<10 {
			return
		}
		got, err := ParseBIND(t.Context(), bytes.NewReader(text), ".")
		if err != nil {
			return
		}
		var form bytes.Buffer
		var want []Record
		for _, r := range got {
			if again[r.Type] {
				want = append(want, r)
				fmt.Fprintf(&form, "%s\t%d\tIN\t%s\t%s\n", r.Name, r.TTL, r.Type, r.Data)
			}
		}
		back, err := ParseBIND(t.Context(), bytes.NewReader(form.Bytes()), ".")
		if err != nil {
			t.Fatalf("the form that was given is refused: %v\n%s", err, form.Bytes())
		}
		if d := Served(want, back); !d.Empty() {
			t.Fatalf("it is not the same again: %q", d.Lines())
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(records))
	f.Add([]byte(`[{"name":"a.org","type":"LOC","content":"37 46 46 N 122 23 35 W 0m","ttl":1}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := ParseJSON(t.Context(), bytes.NewReader(text))
		if err != nil {
			return
		}
		if d := Compare(got, got); !d.Empty() {
			t.Fatalf("a set differs from itself: %q", d.Lines())
		}
		for _, r := range got {
			if r.Type != "TXT" && r.Type != "SPF" {
				continue
			}
			s, err := textContent(r.Data)
			if err != nil || quote(s) != r.Data {
				t.Fatalf("text %s becomes %s, %v", r.Data, quote(s), err)
			}
		}
	})
}
