package zone

import (
	"bytes"
	"fmt"
	"testing"
)

// A text that is accepted is accepted again in the form that it was given.
func FuzzParseBIND(f *testing.F) {
	f.Add([]byte(exported))
	f.Add([]byte("$ORIGIN a.\n$TTL 1h\n@ IN TXT \"\\000\" (\n\"x\" )\n"))
	f.Add([]byte("a. 1 IN CAA 0\"(\"\"\"\"\n"))
	f.Add([]byte("a\\032b. 1 IN LOC 37 46 46 N 122 23 35 W 0m 100m 0m 0m\n"))
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
		for _, r := range got {
			fmt.Fprintf(&form, "%s\t%d\tIN\t%s\t%s\n", r.Name, r.TTL, r.Type, r.Data)
		}
		back, err := ParseBIND(t.Context(), bytes.NewReader(form.Bytes()), ".")
		if err != nil {
			t.Fatalf("the form that was given is refused: %v\n%s", err, form.Bytes())
		}
		if d := Served(got, back); !d.Empty() {
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
