package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/neosofia/runner/runtime/source"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// EvalSite evaluates a site.star: only constructors are predeclared, nothing can
// be loaded, and nothing can be defined that outlives it. It returns the digest
// of the text.
func EvalSite(name string, text []byte, constructors starlark.StringDict, limits Limits) (string, error) {
	sum := sha256.Sum256(text)
	f, err := source.Parse(name, text)
	if err != nil {
		return "", explainSyntax(err, nil, vocabulary{})
	}
	for _, s := range f.Stmts {
		if l, ok := s.(*syntax.LoadStmt); ok {
			pos, _ := l.Span()
			return "", fmt.Errorf("%s: a site loads nothing", pos)
		}
	}
	if err := guardFile(f); err != nil {
		return "", err
	}
	env := guards(limits.Defaults())
	for n, v := range constructors {
		env[n] = v
	}
	prog, err := starlark.FileProgram(f, env.Has)
	if err != nil {
		return "", explainSyntax(err, text, vocabulary{names: constructors})
	}
	thread := &starlark.Thread{Name: name, Print: func(*starlark.Thread, string) {}}
	_, err = initialise(thread, prog, env, limits.Defaults())
	p := &Program{Graph: &source.Graph{Modules: []*source.Module{{Name: name, Source: text}}}}
	return hex.EncodeToString(sum[:]), p.trace(err)
}
