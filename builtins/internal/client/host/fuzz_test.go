package host

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// What a program printed is shown on a terminal: bounded, and of printable characters.
func FuzzTail(f *testing.F) {
	f.Add([]byte("sh: 1: nft: not found\n"))
	f.Add([]byte("\x1b[2J\xff\x00 long"))
	f.Fuzz(func(t *testing.T, out []byte) {
		if got := Tail(out); len(got) > len(out)*4+64 || !utf8.ValidString(strings.ToValidUTF8(got, "")) {
			t.Errorf("%d bytes of %d", len(got), len(out))
		}
	})
}
