package policytest

import (
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

func TestWhereValuesFirstDiffer(t *testing.T) {
	long := strings.Repeat("x", 200)
	tests := []struct{ got, want, text string }{
		{`1`, `2`, ""},
		{`"a"`, `"b"`, ""},
		{`1`, `"1"`, `got 1 (int), want "1" (string)`},
		{`[1, 2, 3]`, `[1, 5, 3]`, "at [1]: got 2, want 5"},
		{`[1, 2, 3]`, `[1, 2]`, "got 3 elements, want 2; only got has [2], 3"},
		{`[]`, `["a"]`, `got 0 elements, want 1; only want has [0], "a"`},
		{`[1]`, `(1,)`, "got [1] (list), want (1,) (tuple)"},
		{`{"a": 1}`, `{"a": 2}`, `at ["a"]: got 1, want 2`},
		{`{"a": 1}`, `{"a": 1, "b": 2}`, `only want has "b": 2`},
		{`{"a": 1, "c": 3}`, `{"a": 1}`, `only got has "c": 3`},
		{`[{"target": ["x", "y"]}]`, `[{"target": ["x", "z"]}]`, `at [0]["target"][1]: got "y", want "z"`},
		{`"a\nb\nc"`, `"a\nB\nc"`, `from line 2, character 1: got "b", want "B"`},
		{`"a\nb"`, `"a\nb\nc"`, `got 2 lines, want 3`},
		{`"` + long + `1"`, `"` + long + `2"`, `from line 1, character 201: got "xxxxxxxxxxxxxxxxxxxx1", want "xxxxxxxxxxxxxxxxxxxx2"`},
	}
	for _, c := range tests {
		eval := func(text string) starlark.Value {
			v, err := starlark.EvalOptions(&syntax.FileOptions{}, &starlark.Thread{}, "x", text, nil)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if text := difference(eval(c.got), eval(c.want)); text != c.text {
			t.Errorf("%s and %s: got %q, want %q", c.got, c.want, text, c.text)
		}
	}
}

func TestLongValuesAreClipped(t *testing.T) {
	if got := clip(strings.Repeat("ä", 30), 10); got != "ääääääääää… (30 characters)" {
		t.Errorf("got %q", got)
	}
}
