package runtime

import (
	"regexp"
	"sort"

	"go.starlark.net/starlark"
)

var undefined = regexp.MustCompile(`^undefined: (\w+)$`)

// suggest adds the name that was meant to a message of the resolver, which knows
// only the names that a file uses.
func suggest(msg string, env starlark.StringDict) string {
	m := undefined.FindStringSubmatch(msg)
	if m == nil {
		return msg
	}
	names := env.Keys()
	for n := range starlark.Universe {
		names = append(names, n)
	}
	sort.Strings(names)
	best, near := "", min(3, len(m[1]))
	for _, n := range names {
		if d := distance(m[1], n); d < near {
			best, near = n, d
		}
	}
	if best == "" {
		return msg
	}
	return msg + " (did you mean " + best + "?)"
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
