package kind

import (
	"strings"
	"testing"
)

func TestTheLedgerShowsTheFirstChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, want string }{
		"nothing changed":          {"", ""},
		"one change":               {"since x:\n~ a\n", "since x:\n~ a"},
		"five changes":             {"since x:\n1\n2\n3\n4\n5\n", "since x:\n1\n2\n3\n4\n5"},
		"seven changes":            {"since x:\n1\n2\n3\n4\n5\n6\n7\n", "since x:\n1\n2\n3\n4\n5\n2 more changes"},
		"a line that is a command": {"since x:\n+ \x1b[2Ja\u202eb\r\n", "since x:\n+ \ufffd[2Ja\ufffdb"},
		"bytes that are no text":   {"since x:\n\xff\xfe\n", "since x:\n\ufffd\ufffd"},
		"a line without end":       {"since x:\n" + strings.Repeat("a", 5000), "since x:\n" + strings.Repeat("a", 160) + "…"},
	} {
		if got := FirstChanges([]byte(c.file)); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
