package source

import (
	"errors"
	"strings"
	"testing"
)

func TestNestingIsBounded(t *testing.T) {
	many := func(n int, part string) string { return strings.Repeat(part, n) }
	const far = 300_000
	for name, text := range map[string]string{
		"brackets":              "X = " + many(far, "(") + "1" + many(far, ")"),
		"brackets of all kinds": "X = " + many(far, "[{(") + "1",
		"a sum":                 "X = 1" + many(far, "+1"),
		"signs":                 "X = " + many(far, "-") + "1",
		"not":                   "X = " + many(far, "not ") + "1",
		"lambda":                "X = " + many(far/4, "lambda: ") + "1",
		"lambda, with commas":   "X = " + many(far/8, "lambda a, b: ") + "1",
		"else":                  "X = " + many(far/8, "1 if 1 else ") + "1",
		"attributes":            "X = x" + many(far, ".a"),
		"calls":                 "X = x" + many(far, "()"),
		"indices":               "X = x" + many(far, "[0]"),
		"and":                   "X = 1" + many(far/4, " and 1"),
		"blocks": func() string {
			var b strings.Builder
			b.WriteString("def f():\n")
			for i := range 1200 {
				b.WriteString(many(i+1, " ") + "if 1:\n")
			}
			b.WriteString(many(1300, " ") + "pass\n")
			return b.String()
		}(),
		"elif":                   "def f():\n if 1:\n  pass\n" + many(far/20, " elif 1:\n  pass\n"),
		"brackets in parameters": "X = lambda a=" + many(far, "(") + "1",
	} {
		if _, err := Parse("x.star", []byte(text[:min(len(text), MaxSize)])); err == nil {
			t.Errorf("%s: taken", name)
		} else if limit := (*LimitError)(nil); !errors.As(err, &limit) {
			t.Errorf("%s: got %.200v", name, err)
		}
	}
	for name, text := range map[string]string{
		"a long list":              "X = [" + many(5000, "-1, ") + "]",
		"a table of functions":     "X = {" + many(5000, "1: lambda a, b: not a + b if a else -b, ") + "}",
		"a sum of some terms":      "X = 1" + many(400, " + 1"),
		"brackets in strings":      "X = " + `"` + many(5000, "(") + `"` + " # " + many(5000, "("),
		"in a string of lines":     "X = '''" + many(5000, "[\n") + "'''",
		"a string with a quote":    `X = "\"((" + '\'(('`,
		"many statements":          many(5000, "f(-1)\n"),
		"many functions":           many(2000, "def f():\n    if 1:\n        return [1]\n    return -1\n\n"),
		"statements on one line":   "X = 1" + many(2000, "; Y = -1"),
		"a comment that goes in":   "def f():\n    # x\n        # y\n    pass\n",
		"a line that goes on":      "X = [\n" + many(1000, "        1,\n    2,\n") + "]",
		"windows ends of a line":   "def f():\r\n    pass\r\n",
		"a string that has no end": "",
	} {
		if _, err := Parse("x.star", []byte(text)); err != nil {
			t.Errorf("%s: got %.200v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("def f():\n    return [lambda a, b: -1 if a else not b]\n")
	f.Add("X = '''(''' + \"\\\"(\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		_, _ = Parse("x.star", []byte(text)) // it ends
	})
}
