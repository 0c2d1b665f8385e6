package ruleset

import (
	"bytes"
	"testing"
)

// Whatever nft prints: nothing panics, a table is equal to itself, and what is written
// down is read again.
func FuzzNFT(f *testing.F) {
	f.Add([]byte(`{"nftables":[{"metainfo":{"version":"1"}},`+aTable+
		`{"set":{"family":"inet","table":"t","name":"s","flags":"dynamic","elem":[1,{"a":2}]}}]}`),
		[]byte("table inet t {\n\tflags owner,dormant\n\tset s {\n\t\tflags dynamic\n\t}\n}\n"))
	f.Add([]byte(`{"nftables":[{"rule":{"family":"ip","table":"t","chain":"c","expr":[{"counter":{"packets":1}},{"xt":null}]}}]}`),
		[]byte("table ip t {"))
	f.Fuzz(func(t *testing.T, asJSON, text []byte) {
		n, err := ParseNFT(asJSON)
		if err != nil {
			return
		}
		n.SetFlags(text)
		d := &Document{Vendor: "linux", System: "h"}
		if d.AddNFT(n) != nil {
			return
		}
		a, err := d.Listings()
		if err != nil {
			return
		}
		b, err := d.Listings()
		if err != nil {
			t.Fatal(err)
		}
		for table := range a {
			if part := a[table].Differs(b[table]); part != "" {
				t.Fatalf("%s differs from itself in %s", table, part)
			}
		}
		for _, block := range Blocks(string(text)) {
			if flags := TableFlags(Unflagged(block)); len(flags) > 0 && len(TableFlags(block)) == 0 {
				t.Fatalf("flags %q came from nowhere", flags)
			}
		}
		raw, err := d.Encode()
		if err != nil {
			return
		}
		back, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		again, err := back.Encode()
		if err != nil || !bytes.Equal(raw, again) {
			t.Fatalf("it is written otherwise again: %v\n%s\n%s", err, raw, again)
		}
	})
}
