package logbatch

import (
	"encoding/json"
	"testing"
)

func TestGapsCanBeShown(t *testing.T) {
	for _, hostile := range []string{"a\x1b[2Jb", "a\nok", "a\u009bb"} {
		x := Index{Version: 1, Source: "s", Kind: Lines, Seq: 1, Parts: []Part{}, Gaps: []Gap{{hostile, hostile}}}
		raw, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(raw); err == nil {
			t.Errorf("%q is taken", hostile)
		}
		if raw, err = x.Encode(); err != nil {
			t.Errorf("%q: %v", hostile, err)
		}
		if _, err := Parse(raw); err != nil {
			t.Errorf("%q: what is encoded cannot be read: %v", hostile, err)
		}
		x.Gaps, x.Source = nil, hostile
		if raw, err = json.Marshal(x); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(raw); err == nil {
			t.Errorf("source %q is taken", hostile)
		}
	}
}
