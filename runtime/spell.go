package runtime

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
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
	return msg + nearest(m[1], names), ""
}

// nearest asks for the one of several names that was meant; of none near it says nothing.
func nearest(name string, names []string) string {
	best, near := "", min(3, 1+max(1, len(name)/3)) // of a short name more is another name
	for _, n := range slices.Sorted(slices.Values(names)) {
		if d := distance(name, n); d < near {
			best, near = n, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
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

// distance is how many characters must be inserted, removed, replaced, or exchanged with
// their neighbour.
func distance(a, b string) int {
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			row[j] = 1 + min(last[j], row[j-1], last[j-1])
			if a[i-1] == b[j-1] {
				row[j] = last[j-1]
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
