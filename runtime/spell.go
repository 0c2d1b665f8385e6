package runtime

import (
	"fmt"
	"io/fs"
	"regexp"
	"sort"
	"strings"

	"go.starlark.net/starlark"
)

var undefined = regexp.MustCompile(`^undefined: (\w+)$`)

// vocabulary is what a file can name, and the library that it could load more from.
type vocabulary struct {
	names  starlark.StringDict
	stdlib fs.FS
}

// suggest adds the name that was meant to a message of the resolver, which knows
// only the names that a file uses. Where the library has the name, the hint is its load.
func (v vocabulary) suggest(msg string) (said, hint string) {
	m := undefined.FindStringSubmatch(msg)
	if m == nil {
		return msg, ""
	}
	if label := v.loadable(m[1]); label != "" {
		return msg, fmt.Sprintf("load(%q, %q)", label, m[1])
	}
	names := v.names.Keys()
	for n := range starlark.Universe {
		names = append(names, n)
	}
	sort.Strings(names)
	best, near := "", min(3, 1+max(1, len(m[1])/3)) // of a short name more is another name
	for _, n := range names {
		if d := distance(m[1], n); d < near {
			best, near = n, d
		}
	}
	if best == "" {
		return msg, ""
	}
	return msg + " (did you mean " + best + "?)", ""
}

// loadable is the label of the file of the library that defines a name; "" is none.
func (v vocabulary) loadable(name string) string {
	if v.stdlib == nil {
		return ""
	}
	files, err := fs.Glob(v.stdlib, "*.star")
	if err != nil {
		return ""
	}
	defines := regexp.MustCompile(`(?m)^(def )?` + regexp.QuoteMeta(name) + `( =|\()`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.star") || strings.HasPrefix(name, "_") {
			continue
		}
		if text, err := fs.ReadFile(v.stdlib, file); err == nil && defines.Match(text) {
			return "@stdlib//" + file
		}
	}
	return ""
}

// distance is how many characters must be inserted, removed or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := last
			if a[i] != b[j] {
				next = 1 + min(last, row[j], row[j+1])
			}
			last, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
