package builtins

import (
	"strings"
	"testing"
)

func TestCopiesListsThoseNotReadForLongestFirst(t *testing.T) {
	t.Parallel()
	b := saved(t, "scratch", "+", onHost)
	b.clock.advance(40 * day)
	for _, c := range []struct{ name, call, want string }{
		{"all", `len(copies())`, "3"},
		{"one target", `[c.target for c in copies(target = "offsite")]`, `["offsite"]`},
		{"those that are due", `len(copies(unread_for = "30d"))`, "3"},
		{"none is due", `len(copies(unread_for = "60d"))`, "0"},
		{"at most", `len(copies(most = 1))`, "1"},
		{"another item", `len(copies(item = "nobody"))`, "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := b.run("return " + c.call)
			if out.Err != nil || !strings.Contains(out.Value.String(), c.want) {
				t.Errorf("got %v, %v, want %s", out.Value, out.Err, c.want)
			}
		})
	}
}
