package kind

import (
	"strings"
	"testing"
	"time"
)

func TestTheLedgerCountsChanges(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		sections []string
		want     string
	}{
		"nothing changed":           {nil, ""},
		"one change":                {[]string{"a"}, "1 in a"},
		"changes of sections":       {[]string{"b", "a", "b"}, "1 in a\n2 in b"},
		"five sections":             {strings.Split("1 2 3 4 5", " "), "1 in 1\n1 in 2\n1 in 3\n1 in 4\n1 in 5"},
		"seven sections":            {strings.Split("1 2 3 4 5 6 6 7", " "), "1 in 1\n1 in 2\n1 in 3\n1 in 4\n1 in 5\n3 in 2 other sections"},
		"a name that commands":      {[]string{"\x1b[2Ja\u202eb\r\n"}, "1 in \ufffd[2Ja\ufffdb"},
		"a name that is not a text": {[]string{"\xff\xfe"}, "1 in \ufffd\ufffd"},
		"a name without end":        {[]string{strings.Repeat("a", 5000)}, "1 in " + strings.Repeat("a", 155) + "…"},
	} {
		want := c.want
		if want != "" {
			want = "since 2026-11-22T03:00:00Z:\n" + want
		}
		if got := Changes(since, c.sections); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
