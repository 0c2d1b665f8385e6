package runtime

import (
	"testing"
	"testing/fstest"

	"go.starlark.net/starlark"
)

func TestWhatWasMeant(t *testing.T) {
	v := vocabulary{
		names: starlark.StringDict{"snapshot_vm": starlark.None, "log": starlark.None, "copy": starlark.None},
		stdlib: fstest.MapFS{
			"protect.star":      {Data: []byte("def protect(artifact):\n    pass\n\nLEVELS = [1]\n\ndef _own():\n    pass\n")},
			"protect_test.star": {Data: []byte("def test_it(t):\n    pass\n")},
		},
	}
	for _, c := range []struct{ msg, said, hint string }{
		{"undefined: snapshot_v", "undefined: snapshot_v (did you mean snapshot_vm?)", ""},
		{"undefined: logg", "undefined: logg (did you mean log?)", ""},
		{"undefined: cpy", "undefined: cpy (did you mean copy?)", ""},
		{"undefined: lgo", "undefined: lgo (did you mean log?)", ""},
		{"undefined: lxx", "undefined: lxx", ""},
		{"undefined: backup", "undefined: backup", ""},
		{"undefined: protect", "undefined: protect", `load("@stdlib//protect.star", "protect")`},
		{"undefined: LEVELS", "undefined: LEVELS", `load("@stdlib//protect.star", "LEVELS")`},
		{"undefined: _own", "undefined: _own", ""},
		{"undefined: test_it", "undefined: test_it", ""},
		{"does not support while loops", "does not support while loops", ""},
	} {
		if said, hint := v.suggest(c.msg); said != c.said || hint != c.hint {
			t.Errorf("%s: got %q and %q, want %q and %q", c.msg, said, hint, c.said, c.hint)
		}
	}
}
