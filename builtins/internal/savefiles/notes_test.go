package savefiles

import (
	"fmt"
	"strings"
	"testing"
)

func said(paths []string, m mounts, lines ...string) *notes {
	n := &notes{paths: paths, mounts: m}
	text := strings.Join(lines, "\n")
	for len(text) > 0 { // as a pipe cuts it
		at := min(7, len(text))
		n.Write([]byte(text[:at]))
		text = text[at:]
	}
	n.end()
	return n
}

func TestNotesAreReadByName(t *testing.T) {
	n := said([]string{"/", "/a:b"}, mounts{"/proc": "proc", "/srv/x": "ext4"},
		`tar: ./proc/: file is on a different filesystem; not dumped`,
		`tar: srv/x/: file is on a different filesystem; not dumped`,
		`tar: srv/forged\n/etc\: Cannot open\: Permission denied: file changed as we read it`,
		`tar: a\:b: Cannot stat: No such file or directory`,
		`tar: run/socket: socket ignored`,
		`tar: Exiting with failure status due to previous errors`)
	want := "/srv/x: another file system is mounted there, and is not entered: name it in paths, or exclude it\n" +
		"/srv/forged\\n/etc: Cannot open: Permission denied: changed while it was read\n/a:b: is not there\n"
	if n.text() != want || len(n.virtual) != 1 || n.virtual[0] != "/proc" || len(n.sockets) != 1 || len(n.lost) != 1 || !n.lost["/a:b"] ||
		n.fatal != "" {
		t.Errorf("got %q, %+v", n.text(), n)
	}
	n = said(nil, nil, `tar: a: Cannot write: No space left on device`, `tar: Error is not recoverable: exiting now`)
	if n.fatal != "a: Cannot write: No space left on device" {
		t.Errorf("got %q", n.fatal)
	}
}

func TestNotesAreBounded(t *testing.T) {
	n := &notes{}
	for i := range 200_000 {
		fmt.Fprintf(n, "tar: %d%s: Cannot open: Permission denied\n", i, strings.Repeat("x", 200))
	}
	n.Write([]byte(strings.Repeat("y", 10*maxLine)))
	gaps := n.gaps("a", "i")
	size := 0
	for _, g := range gaps {
		size += len(g.What) + len(g.Why)
	}
	last := gaps[len(gaps)-1]
	if len(gaps) > maxGaps+1 || size > maxGapBytes+1000 || last.What != "more paths" ||
		!strings.HasPrefix(last.Why, fmt.Sprint(200_000-len(gaps)+1)) {
		t.Errorf("got %d gaps of %d bytes, the last %+v", len(gaps), size, last)
	}
	if text := n.text(); len(text) > maxNotes+1000 || len(n.line) > maxLine || !strings.Contains(text, "\nand ") {
		t.Errorf("got %d bytes of text", len(n.text()))
	}
}

func TestNamesAreUnescaped(t *testing.T) {
	for in, want := range map[string]string{`a\nb`: "a\nb", `\303\274`: "ü", `a\\b`: `a\b`, `a\ b`: "a b", `a\`: `a\`, `\9`: "9",
		`plain`: "plain"} {
		if got := unescape(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
