package savefiles

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
)

// notes are what tar says on its standard error, line by line as it comes: "tar: NAME:
// MESSAGE". Names are escaped there, so that a line is one. They are bounded, whatever a
// tree makes tar say; what is beyond is counted.
type notes struct {
	paths  []string
	mounts mounts

	line    []byte
	all     []note
	size    int // bytes of all
	beyond  int
	lost    map[string]bool // paths of the call of which nothing was read
	sockets []string
	virtual []string // mounts that hold nothing of their own
	fatal   string
	last    string
}

// note is what happened to a file.
type note struct{ path, why string }

const (
	maxLine     = 64 << 10
	maxNotes    = 4 << 20  // bytes of not-saved.txt
	maxGaps     = 100      // gaps by name, and
	maxGapBytes = 32 << 10 // bytes of those
)

// Write implements io.Writer. It never fails: tar goes on.
func (n *notes) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '\n':
			n.end()
		case len(n.line) < maxLine:
			n.line = append(n.line, c)
		}
	}
	return len(p), nil
}

// end takes the line that was written.
func (n *notes) end() {
	text := strings.ToValidUTF8(string(n.line), "?")
	n.line = n.line[:0]
	if text == "" {
		return
	}
	said, ok := strings.CutPrefix(text, "tar: ")
	switch {
	case !ok:
		n.last = text
		return
	case strings.Contains(said, "Exiting with failure status due to previous errors"):
		return
	case strings.Contains(said, "not recoverable"):
		n.fatal = firstOf(n.last, said)
		return
	}
	n.last = said
	name, why, ok := cut(said)
	if !ok {
		return // no file is named: the exit status says what it is worth
	}
	full := "/" + strings.TrimPrefix(strings.TrimPrefix(name, "./"), "/")
	if len(full) > 1 {
		full = strings.TrimSuffix(full, "/")
	}
	n.take(full, why)
}

// cut parts a line at the first ": " that is not escaped. A colon in a name is.
func cut(said string) (name, why string, ok bool) {
	for i := 0; i+1 < len(said); i++ {
		switch {
		case said[i] == '\\':
			i++
		case said[i] == ':' && said[i+1] == ' ':
			return strings.ReplaceAll(said[:i], `\:`, ":"), said[i+2:], i > 0
		}
	}
	return "", "", false
}

// take sorts a message. What it does not know is a gap with tar's own words.
func (n *notes) take(path, why string) {
	switch {
	case why == "socket ignored":
		if len(n.sockets) < maxGaps {
			n.sockets = append(n.sockets, path)
		}
		return
	case strings.HasPrefix(why, "file is on a different filesystem"):
		if fs := n.mounts.at(unescape(path)); virtual[fs] {
			n.virtual = append(n.virtual, path)
			return
		}
		why = "another file system is mounted there, and is not entered: name it in paths, or exclude it"
	case strings.HasPrefix(why, "file changed as we read it"):
		why = "changed while it was read"
	case strings.HasPrefix(why, "File removed before we read it"):
		why = "went while it was read"
	case strings.HasPrefix(why, "Cannot stat: No such file"):
		why = "is not there"
	}
	if raw := unescape(path); why == "is not there" || strings.HasPrefix(why, "Cannot stat") || strings.HasPrefix(why, "Cannot open") {
		for _, p := range n.paths {
			if p == raw {
				if n.lost == nil {
					n.lost = map[string]bool{}
				}
				n.lost[p] = true
			}
		}
	}
	n.add(path, why)
}

func (n *notes) add(path, why string) {
	if n.size += len(path) + len(why) + 3; n.size > maxNotes {
		n.beyond++
		return
	}
	n.all = append(n.all, note{path, why})
}

func (n *notes) any() bool { return len(n.all) > 0 }

func (n *notes) first() string {
	if len(n.all) == 0 {
		return firstOf(n.last, "nothing was read")
	}
	return n.all[0].path + " " + n.all[0].why + more(len(n.all)+n.beyond-1)
}

// text lists all of them; "" when there are none.
func (n *notes) text() string {
	var b strings.Builder
	for _, x := range n.all {
		fmt.Fprintf(&b, "%s: %s\n", x.path, x.why)
	}
	if n.beyond > 0 {
		fmt.Fprintf(&b, "and %d more\n", n.beyond)
	}
	return b.String()
}

// gaps are the first of them by name, each once, and the others in one sum.
func (n *notes) gaps(asset, item string) (out []ledger.Gap) {
	seen := map[note]bool{}
	size, left := 0, n.beyond
	for _, x := range n.all {
		if seen[x] {
			continue
		}
		seen[x] = true
		if size += len(x.path) + len(x.why); len(out) >= maxGaps || size > maxGapBytes {
			left++
			continue
		}
		out = append(out, ledger.Gap{Asset: asset, Item: item, What: x.path, Why: x.why})
	}
	if left > 0 {
		why := fmt.Sprintf("%d more could not be saved as they were: not-saved.txt of the artifact lists them", left)
		out = append(out, ledger.Gap{Asset: asset, Item: item, What: "more paths", Why: why})
	}
	return out
}

// unescape undoes the escaping of a name, to compare it.
func unescape(name string) string {
	if !strings.Contains(name, `\`) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '\\' || i+1 == len(name) {
			b.WriteByte(name[i])
			continue
		}
		if i+4 <= len(name) {
			if v, err := strconv.ParseUint(name[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		i++
		if at := strings.IndexByte("abfnrtv", name[i]); at >= 0 {
			b.WriteByte("\a\b\f\n\r\t\v"[at])
		} else {
			b.WriteByte(name[i])
		}
	}
	return b.String()
}
