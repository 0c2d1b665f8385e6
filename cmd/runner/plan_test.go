package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCallsAreShownAsAPolicyWouldWriteThem(t *testing.T) {
	for _, c := range []struct{ name, args, want string }{
		{"no arguments", `{}`, "p()"},
		{"in the order of their names", `{"b":"x","a":1}`, "p(a = 1, b = x)"},
		{"what has an id, by its id", `{"artifact":{"id":"4d5e","bytes":9}}`, "p(artifact = 4d5e)"},
		{"a list of them", `{"copies":[{"id":"a"},{"id":"b"}]}`, "p(copies = [a, b])"},
		{"other values as JSON", `{"apply":true,"m":{"k":null},"n":1.5}`, `p(apply = true, m = {"k":null}, n = 1.5)`},
		{"what is not known", `{"artifact":"(from snapshot_vm)"}`, "p(artifact = (from snapshot_vm))"},
		{"what is no JSON", `{`, "p(…)"},
		{"nothing at all", ``, "p(…)"},
	} {
		if got := callText("p", json.RawMessage(c.args)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	for _, pad := range []string{"", "a"} {
		long := callText("p", json.RawMessage(`{"text":"`+pad+strings.Repeat("é", 200)+`"}`))
		if len(long) > 110 || !strings.HasSuffix(long, "…)") || !utf8.ValidString(long) {
			t.Errorf("a long call: got %d bytes, %q", len(long), long)
		}
	}
}

func TestStepsAreInTheOrderInWhichAReaderCounts(t *testing.T) {
	want := []string{"/0", "/1", "/1[0]/0", "/1[0]/1", "/1[2]/0", "/1[10]/0", "/2", "/10", "/10[0]/9", "/10[0]/10"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, func(a, b string) int {
		switch {
		case stepLess(a, b):
			return -1
		case stepLess(b, a):
			return 1
		}
		return 0
	})
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
