package logbatch

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
)

// Any bytes are a name on a host, as a key and as a value.
func TestNamesComeBackByteByByte(t *testing.T) {
	names := []Name{"", "/var/log/a.log", "/var/log/caf\xe9.log", "/var/log/ünï.log", "/var/log/a\nb.log", `"quoted"`, "\ufffd", "/a\x00b",
		"/b\u202eidi"}
	r := rand.New(rand.NewPCG(7, 7))
	for range 500 {
		b := make([]byte, r.IntN(12))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		names = append(names, Name(b))
	}
	for _, n := range names {
		x := struct {
			Of    Name
			Files Files
		}{n, Files{string(n): {Old: 7}}}
		raw, err := json.Marshal(x)
		if err != nil {
			t.Fatalf("%q: %v", n, err)
		}
		back := x
		back.Of, back.Files = "", nil
		if err := json.Unmarshal(raw, &back); err != nil || len(back.Files) != 1 || back.Of != n || back.Files[string(n)].Old != 7 {
			t.Fatalf("%q: got %+v, %v from %s", n, back, err, raw)
		}
	}
	// Earlier batches hold text as it is.
	var old Files
	if err := json.Unmarshal([]byte(`{"/var/log/a b.log": {"offset": 1}}`), &old); err != nil || old["/var/log/a b.log"].Offset != 1 {
		t.Errorf("got %v, %v", old, err)
	}
	if err := json.Unmarshal([]byte(`{"\"half": {}}`), &old); err == nil {
		t.Error("a quoted name without its end is taken")
	}
	if err := json.Unmarshal([]byte(`{"/a": {"unknown": 1}}`), &old); err == nil {
		t.Error("an unknown field is taken")
	}
}
