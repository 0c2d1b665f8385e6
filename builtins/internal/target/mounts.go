package target

import "strings"

type mount struct {
	number string // major:minor
	point  string
	fs     string
	source string
}

// findMount returns the mount that covers a path: the longest mount point, and
// of several on the same one the last, which hides those below it.
func findMount(table []byte, path string) (best mount, ok bool) {
	for line := range strings.Lines(string(table)) {
		m, good := parseMount(line)
		if good && covers(m.point, path) && (!ok || len(m.point) >= len(best.point)) {
			best, ok = m, true
		}
	}
	return best, ok
}

func covers(point, path string) bool {
	return point == "/" || path == point || strings.HasPrefix(path, point) && path[len(point)] == '/'
}

// parseMount reads "36 35 98:0 /root /point options [optional…] - type source options".
func parseMount(line string) (mount, bool) {
	head, tail, ok := strings.Cut(strings.TrimSpace(line), " - ")
	fields, rest := strings.Fields(head), strings.Fields(tail)
	if !ok || len(fields) < 6 || len(rest) < 2 {
		return mount{}, false
	}
	return mount{number: fields[2], point: unescape(fields[4]), fs: rest[0], source: unescape(rest[1])}, true
}

// unescape undoes the kernel's \040 for blanks.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1:i+4]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func octal(s string) bool {
	return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' && s[2] <= '7'
}
