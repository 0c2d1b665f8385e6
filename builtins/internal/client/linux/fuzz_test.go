package linux

import "testing"

// What nft prints is read, or is an error: never a panic, never for ever.
func FuzzListing(f *testing.F) {
	f.Add([]byte(`{"nftables":[{"metainfo":{"json_schema_version":1}},{"table":{"family":"inet","name":"f","handle":1}}]}`),
		[]byte("table inet f {\n}\n"))
	f.Add([]byte(`{"nftables":[{"table":{"family":"ip","name":"filter"}},{"rule":{"family":"ip","table":"filter","chain":"x","expr":[{"xt":null}]}}]}`), []byte("table ip filter {\n\tchain x {\n\t}\n}\n"))
	f.Fuzz(func(t *testing.T, asJSON, text []byte) {
		if l, err := newListing(asJSON, text); err == nil && l == nil {
			t.Error("neither a listing nor an error")
		}
		_ = saved(text)
		_ = complaint(text)
	})
}
