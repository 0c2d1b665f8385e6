package policytest

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// short is how much of a value stands in one line of a failure.
const short = 160

func clip(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	runes := []rune(text)
	return fmt.Sprintf("%s… (%d characters)", string(runes[:most]), len(runes))
}

// difference says where two values that are not equal first differ; "" where the values
// themselves say it.
func difference(got, want starlark.Value) string {
	path, what := differs("", got, want, 0)
	if path == "" && what == "" {
		return ""
	}
	if path == "" {
		return what
	}
	return "at " + path + ": " + what
}

// maxPath bounds how deep a difference is looked for.
const maxPath = 32

func differs(path string, got, want starlark.Value, depth int) (string, string) {
	leaf := ""
	if path != "" {
		leaf = fmt.Sprintf("got %s, want %s", clip(got.String(), short), clip(want.String(), short))
	}
	if got.Type() != want.Type() {
		return path, fmt.Sprintf("got %s, want %s", typed(got), typed(want))
	}
	if depth == maxPath {
		return path, leaf
	}
	switch g := got.(type) {
	case starlark.String:
		return path, stringDiffers(string(g), string(want.(starlark.String)), leaf)
	case *starlark.Dict:
		return dictDiffers(path, g, want.(*starlark.Dict), depth)
	case starlark.Indexable: // lists and tuples
		return listDiffers(path, g, want.(starlark.Indexable), depth)
	case starlark.HasAttrs:
		w, ok := want.(starlark.HasAttrs)
		for _, name := range g.AttrNames() {
			a, _ := g.Attr(name)
			if !ok || a == nil {
				continue
			}
			b, _ := w.Attr(name)
			if b == nil {
				return path, "only got has ." + name
			}
			if same, err := starlark.Equal(a, b); err != nil || !same {
				return differs(path+"."+name, a, b, depth+1)
			}
		}
	}
	return path, leaf
}

func typed(v starlark.Value) string {
	return fmt.Sprintf("%s (%s)", clip(v.String(), short), v.Type())
}

func listDiffers(path string, got, want starlark.Indexable, depth int) (string, string) {
	for i := range min(got.Len(), want.Len()) {
		if same, err := starlark.Equal(got.Index(i), want.Index(i)); err != nil || !same {
			return differs(fmt.Sprintf("%s[%d]", path, i), got.Index(i), want.Index(i), depth+1)
		}
	}
	n := min(got.Len(), want.Len())
	count := fmt.Sprintf("got %d elements, want %d", got.Len(), want.Len())
	if got.Len() > n {
		return path, count + fmt.Sprintf("; only got has [%d], %s", n, clip(got.Index(n).String(), short))
	}
	return path, count + fmt.Sprintf("; only want has [%d], %s", n, clip(want.Index(n).String(), short))
}

func dictDiffers(path string, got, want *starlark.Dict, depth int) (string, string) {
	for _, kv := range want.Items() {
		at := fmt.Sprintf("%s[%s]", path, clip(kv[0].String(), 60))
		have, ok, err := got.Get(kv[0])
		if err != nil || !ok {
			return path, fmt.Sprintf("only want has %s: %s", clip(kv[0].String(), 60), clip(kv[1].String(), short))
		}
		if same, err := starlark.Equal(have, kv[1]); err != nil || !same {
			return differs(at, have, kv[1], depth+1)
		}
	}
	for _, kv := range got.Items() {
		if _, ok, err := want.Get(kv[0]); err != nil || !ok {
			return path, fmt.Sprintf("only got has %s: %s", clip(kv[0].String(), 60), clip(kv[1].String(), short))
		}
	}
	return path, ""
}

// stringDiffers shows the line, or the place in it, from which texts differ.
func stringDiffers(got, want, leaf string) string {
	if !strings.Contains(got+want, "\n") && len(got)+len(want) < short {
		return leaf
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	line := 0
	for line < min(len(g), len(w))-1 && g[line] == w[line] {
		line++
	}
	a, b := []rune(g[line]), []rune(w[line])
	if g[line] == w[line] {
		return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
	}
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	from := max(0, at-20)
	return fmt.Sprintf("from line %d, character %d: got %q, want %q", line+1, at+1, clip(string(a[from:]), 60), clip(string(b[from:]), 60))
}
