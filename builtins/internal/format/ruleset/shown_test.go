package ruleset

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestNamesAndReasonsCanBeShown(t *testing.T) {
	for _, hostile := range []string{"a\x1b[2Jb", "a\nok", "a\u009bb"} {
		for name, d := range map[string]*Document{
			"a section": {Version: Version, Vendor: "linux", Sections: []Section{{Name: hostile, Entries: []json.RawMessage{}}}},
			"a part": {Version: Version, Vendor: "linux", Sections: []Section{{Name: "a", Entries: []json.RawMessage{}}},
				Missing: []Missing{{hostile, "x"}}},
			"a reason": {Version: Version, Vendor: "linux", Sections: []Section{{Name: "a", Entries: []json.RawMessage{}}},
				Missing: []Missing{{"x", hostile}}},
		} {
			raw, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Parse(raw); err == nil {
				t.Errorf("%s %q is taken", name, hostile)
			}
			if raw, err = d.Encode(); err != nil {
				t.Fatal(err)
			}
			if _, err := Parse(raw); err != nil || strings.ContainsAny(string(raw), "\x1b\u009b") {
				t.Errorf("%s %q: what is encoded is %s, %v", name, hostile, raw, err)
			}
		}
	}
}
