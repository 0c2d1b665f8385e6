package unifi

import "testing"

// What a console says is shown: it is bounded.
func FuzzSaid(f *testing.F) {
	f.Add([]byte(`{"meta":{"rc":"error","msg":"api.err.Invalid"},"data":[]}`))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got := said(body); len(got) > 4096 {
			t.Errorf("%d bytes are shown", len(got))
		}
	})
}
