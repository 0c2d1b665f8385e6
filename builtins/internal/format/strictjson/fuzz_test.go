package strictjson

import (
	"encoding/json"
	"testing"
)

// What is taken is JSON for everybody, and within the bound.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"a":1,"A":2}`))
	f.Add([]byte(`[{"a":{"b":[]}}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var v any
		if err := Decode(raw, 1<<16, &v); err == nil && (!json.Valid(raw) || len(raw) > 1<<16) {
			t.Errorf("%d bytes are taken: %.100q", len(raw), raw)
		}
	})
}
