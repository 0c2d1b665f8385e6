package site

import (
	"fmt"
	"strings"

	"go.starlark.net/syntax"
)

// prose are the arguments whose text is for people, or names what lies elsewhere: dots in
// it stand for nothing.
var prose = map[string]bool{"title": true, "note": true, "reason": true, "online": true, "location": true, "sop": true, "step": true,
	"instead": true, "approved_by": true, "gap": true, "item": true, "files": true, "exclude": true}

// placeholders notes the values of an example that nobody replaced, by the name that they
// stand under: "age1pq1...".
func (b *book) placeholders() {
	if b.file == nil {
		return
	}
	var look func(name string, n syntax.Node)
	look = func(name string, n syntax.Node) {
		syntax.Walk(n, func(n syntax.Node) bool {
			switch x := n.(type) {
			case *syntax.ExprStmt:
				if _, doc := x.X.(*syntax.Literal); doc {
					return false
				}
			case *syntax.AssignStmt:
				if left, ok := x.LHS.(*syntax.Ident); ok {
					look(left.Name, x.RHS)
					return false
				}
			case *syntax.BinaryExpr:
				if left, ok := x.X.(*syntax.Ident); ok && x.Op == syntax.EQ {
					if !prose[left.Name] {
						look(left.Name, x.Y)
					}
					return false
				}
			case *syntax.Literal:
				if text, ok := x.Value.(string); ok && placeholder(text) {
					b.add(start(x), fmt.Errorf("%s holds the placeholder %q%s", name, text, replacement(text)))
				}
			}
			return true
		})
	}
	look("the site", b.file)
}

// placeholder reports whether a text is one of an example.
func placeholder(text string) bool {
	return strings.Contains(text, "...") || strings.Contains(text, "…")
}

// replacement says where the true value comes from.
func replacement(text string) string {
	switch {
	case strings.HasPrefix(text, "age1"):
		return "\nhint: runner recovery-key new, on another machine, prints the recipient"
	case strings.HasPrefix(text, "ssh-"), strings.HasPrefix(text, "ecdsa-"):
		return "\nhint: ssh-keyscan -t ed25519 HOST prints it; compare it on the host's console"
	case strings.Count(text, ":") > 0 && strings.Trim(text, "0123456789abcdefABCDEF:.…") == "":
		return "\nhint: pvenode cert info prints it, on another system: " + showPin
	}
	return ""
}
