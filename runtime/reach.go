package runtime

import (
	"fmt"

	"github.com/neosofia/runner/runtime/source"
	"go.starlark.net/syntax"
)

// reach finds statements that nothing reaches: those after return, break, continue and
// fail, and after an if of which every branch ends so.
func (c *checker) reach(m *source.Module) {
	c.block(m.File.Stmts)
	syntax.Walk(m.File, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DefStmt:
			c.block(n.Body)
		case *syntax.ForStmt:
			c.block(n.Body)
		case *syntax.IfStmt:
			c.block(n.True)
			c.block(n.False)
		}
		return true
	})
}

// block says of the first statement of a block that is not reached.
func (c *checker) block(list []syntax.Stmt) {
	for i, s := range list[:max(0, len(list)-1)] {
		if word := ends(s); word != "" {
			at, _ := s.Span()
			pos, _ := list[i+1].Span()
			c.warn(pos, fmt.Sprintf("this is never reached: %s in line %d", word, at.Line), "")
			return
		}
	}
}

// ends is the word by which a statement keeps the next one from being reached.
func ends(s syntax.Stmt) string {
	switch s := s.(type) {
	case *syntax.ReturnStmt:
		return "return"
	case *syntax.BranchStmt:
		if s.Token != syntax.PASS {
			return s.Token.String()
		}
	case *syntax.ExprStmt:
		if call, ok := s.X.(*syntax.CallExpr); ok && builtinName(call.Fn) == "fail" {
			return "fail"
		}
	case *syntax.IfStmt:
		if leaves(s.True) && leaves(s.False) {
			return "every branch ends the if"
		}
	}
	return ""
}

func leaves(list []syntax.Stmt) bool {
	for _, s := range list {
		if ends(s) != "" {
			return true
		}
	}
	return false
}
