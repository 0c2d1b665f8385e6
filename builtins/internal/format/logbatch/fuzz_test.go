package logbatch

import (
	"bytes"
	"testing"
)

// An index that is taken says the same when it is read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"v":1,"seq":1,"source":"web"}`))
	f.Add([]byte(`{"v":1,"seq":2,"previous":"00","parts":[{"file":"a","lines":1}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		x, err := Parse(raw)
		if err != nil {
			return
		}
		_ = Broken([]*Index{x, x}, []string{Digest(raw), Digest(raw)}) // it ends
		if again, err := Parse(bytes.Clone(raw)); err != nil || again.Seq != x.Seq {
			t.Errorf("read again: %v, %v", again, err)
		}
	})
}
