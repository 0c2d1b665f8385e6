package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestArgumentsAreNamedValues(t *testing.T) {
	got, err := namedArgs([]string{"guest=erp", "note=a=b", "empty="})
	if err != nil || len(got) != 3 || got["guest"] != "erp" || got["note"] != "a=b" || got["empty"] != "" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"guest", "=erp", ""} {
		if _, err := namedArgs([]string{bad}); codeOf(err) != exitUsage {
			t.Errorf("%q: got %v, want a misuse", bad, err)
		}
	}
}

func TestArgumentsFitMain(t *testing.T) {
	for _, c := range []struct {
		name, params string
		given        map[string]string
		want         string // part of the error; "" for none
	}{
		{"none wanted, none given", "", nil, ""},
		{"one wanted, none given", "guest", nil, "wants an argument guest\nhint: --arg guest=VALUE"},
		{"one wanted and given", "guest", map[string]string{"guest": "erp"}, ""},
		{"a default is enough", `guest = "erp"`, nil, ""},
		{"one given that is not taken", "guest", map[string]string{"guest": "erp", "gast": "x"},
			`has no argument "gast"` + "\nhint: it takes guest"},
		{"none taken", "", map[string]string{"a": "1"}, `has no argument "a"` + "\nhint: it takes none"},
		{"one that is named only", "*, guest", nil, "wants an argument guest"},
		{"any are taken", "**rest", map[string]string{"a": "1"}, ""},
		{"one, and any more", "guest, *more, **rest", map[string]string{"a": "1"}, "wants an argument guest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "p.star")
			if err := os.WriteFile(path, []byte("def main("+c.params+"):\n    pass\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := (&flags{}).runtime().Load(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = fits(p, c.given)
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || codeOf(err) != exitUsage) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
