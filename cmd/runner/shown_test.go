package main

import "testing"

func TestNoTextOfAMediumMovesTheCursor(t *testing.T) {
	for in, want := range map[string]string{
		"dd if=x of=/dev/STICK   # plain, ü": "dd if=x of=/dev/STICK   # plain, ü",
		"a\x1b[2Jb":                          "a\uFFFD[2Jb",
		"a\nok   everything":                 "a\uFFFDok   everything",
		"a\u202eb\u009bc\rd\x00":             "a\uFFFDb\uFFFDc\uFFFDd\uFFFD",
		"\xff\x9b":                           "\uFFFD\uFFFD",
	} {
		if got := shown(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got, want := shownLines("a\x1b\nhint:\tb", "  "), "a\uFFFD\n  hint: b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
