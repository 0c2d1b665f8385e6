package ledger

import (
	"strings"
	"unicode"
)

// Token names a step where a system keeps notes, so that work which it began can be
// found again.
func Token(run, step string) string { return TokenPrefix + run + step }

// TokenPrefix begins every token.
const TokenPrefix = "runner:"

// Token is that of the step that made the artifact.
func (a Artifact) Token() string { return Token(a.Run, a.Step) }

// TokenIn finds the token of a step in notes: the only one there.
func TokenIn(notes string) (run, step string, ok bool) {
	for _, word := range strings.FieldsFunc(notes, func(r rune) bool { return unicode.IsSpace(r) || r == '\'' || r == '"' }) {
		text, is := strings.CutPrefix(word, TokenPrefix)
		if !is {
			continue
		}
		name, rest, whole := strings.Cut(text, "/")
		if !whole || name == "" || ok {
			return "", "", false
		}
		run, step, ok = name, "/"+rest, true
	}
	return run, step, ok
}

// ForeignID names the artifact that another tool left at a place: whoever finds it gives it
// this id, also after a ledger was lost.
func ForeignID(system, node, volume string) string { return shortHash("foreign", system, node, volume) }
