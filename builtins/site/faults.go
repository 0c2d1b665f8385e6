package site

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/neosofia/runner/runtime"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Faults are all that is wrong with a site, each at the place where the value stands, in
// the order of the file.
type Faults struct{ List []*runtime.Trace }

func (f *Faults) Error() string { return f.join((*runtime.Trace).Error) }

// Details shows each fault with its line.
func (f *Faults) Details() string {
	return f.join(func(t *runtime.Trace) string {
		said, hint, ok := strings.Cut(t.Err.Error(), "\nhint: ")
		if !ok {
			return t.Details()
		}
		return (&runtime.Trace{Frames: t.Frames, Line: t.Line, Err: errors.New(said)}).Details() + "\nhint: " + hint
	})
}

func (f *Faults) join(text func(*runtime.Trace) string) string {
	var all []string
	for _, t := range f.List {
		all = append(all, text(t))
	}
	return strings.Join(all, "\n")
}

// bad is what is wrong with an argument of a constructor.
func bad(arg, format string, args ...any) error {
	return &runtime.ArgumentError{Arg: arg, Err: fmt.Errorf(format, args...)}
}

// badKey is what is wrong with one entry of a dict.
func badKey(arg, key, format string, args ...any) error {
	return &runtime.ArgumentError{Arg: arg, Key: key, Err: fmt.Errorf(format, args...)}
}

// place is a position in the file of the site.
type place struct{ line, col int32 }

func placeOf(pos syntax.Position) place { return place{pos.Line, pos.Col} }

// book collects the faults of a site.
type book struct {
	path   string
	file   *syntax.File
	lines  []string
	calls  map[place]*syntax.CallExpr  // by their parenthesis, as the interpreter names them
	made   map[string]*syntax.CallExpr // "target usb" -> the call that declared it
	broken map[string]bool             // names of calls with a fault: what refers to them is not judged
	faults []*runtime.Trace
}

func newBook(path string, text []byte) *book {
	b := &book{path: path, lines: strings.Split(string(text), "\n"), calls: map[place]*syntax.CallExpr{},
		made: map[string]*syntax.CallExpr{}, broken: map[string]bool{}}
	file, err := (&syntax.FileOptions{Set: true}).Parse(path, text, 0)
	if err != nil {
		return b // EvalSite says it, with what to write instead
	}
	b.file = file
	syntax.Walk(file, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok {
			b.calls[placeOf(call.Lparen)] = call
		}
		return true
	})
	return b
}

// add notes a fault; of one place the first counts.
func (b *book) add(pos syntax.Position, err error) {
	for _, have := range b.faults {
		if placeOf(have.Position()) == placeOf(pos) {
			return
		}
	}
	line := ""
	if n := int(pos.Line); n >= 1 && n <= len(b.lines) {
		line = mask(strings.ReplaceAll(b.lines[n-1], "\t", " "))
	}
	b.faults = append(b.faults, &runtime.Trace{Frames: []runtime.Frame{{Pos: pos, Name: "site"}}, Line: line, Err: masked(err)})
}

// caller is the call that a constructor stands for, and whether it is known.
func (b *book) caller(thread *starlark.Thread) (*syntax.CallExpr, syntax.Position) {
	pos := thread.CallFrame(1).Pos
	return b.calls[placeOf(pos)], pos
}

// call notes what is wrong with one call; errors of arguments stand at these.
func (b *book) call(fn string, call *syntax.CallExpr, pos syntax.Position, errs []error) {
	for _, err := range flat(errs) {
		at := pos
		var arg *runtime.ArgumentError
		if errors.As(err, &arg) && call != nil {
			at = b.value(call, arg.Arg, arg.Key)
		}
		b.add(at, fmt.Errorf("%s: %w", fn, err))
	}
}

func flat(errs []error) (out []error) {
	for _, err := range errs {
		if list, ok := err.(interface{ Unwrap() []error }); ok {
			out = append(out, flat(list.Unwrap())...)
		} else if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// value is the place of the value of an argument, or of a key in it: that of the text
// itself where the argument is a name that stands for it.
func (b *book) value(call *syntax.CallExpr, arg, key string) syntax.Position {
	for _, a := range call.Args {
		kw, ok := a.(*syntax.BinaryExpr)
		if !ok || kw.Op != syntax.EQ {
			continue
		}
		if name, ok := kw.X.(*syntax.Ident); !ok || name.Name != arg {
			continue
		}
		return start(b.inside(b.behind(kw.Y), key))
	}
	return call.Lparen
}

func start(e syntax.Node) syntax.Position {
	pos, _ := e.Span()
	return pos
}

// inside is the entry of a dict with that key, the element of a list that is that text, or
// the only one.
func (b *book) inside(e syntax.Expr, key string) syntax.Expr {
	switch x := e.(type) {
	case *syntax.DictExpr:
		for _, entry := range x.List {
			if e, ok := entry.(*syntax.DictEntry); ok {
				if lit, ok := e.Key.(*syntax.Literal); ok && lit.Value == key {
					return b.behind(e.Value)
				}
			}
		}
	case *syntax.ListExpr:
		for _, e := range x.List {
			if lit, ok := b.behind(e).(*syntax.Literal); ok && lit.Value == key {
				return lit
			}
		}
		if len(x.List) == 1 {
			return b.behind(x.List[0])
		}
	}
	return e
}

// behind is what a name of the file stands for.
func (b *book) behind(e syntax.Expr) syntax.Expr {
	name, ok := e.(*syntax.Ident)
	if !ok || b.file == nil {
		return e
	}
	for _, s := range b.file.Stmts {
		if as, ok := s.(*syntax.AssignStmt); ok && as.Op == syntax.EQ {
			if left, ok := as.LHS.(*syntax.Ident); ok && left.Name == name.Name {
				return as.RHS
			}
		}
	}
	return e
}

// at is the place of an argument of what was declared under a name.
func (b *book) at(what, name, arg, key string) syntax.Position {
	call := b.made[what+" "+name]
	if call == nil {
		return syntax.MakePosition(&b.path, 1, 1)
	}
	return b.value(call, arg, key)
}

// err is what was found, and what ended the evaluation where that is something else.
func (b *book) err(last error) error {
	last = masked(last)
	if len(b.faults) == 0 {
		return last
	}
	var t *runtime.Trace
	if errors.As(last, &t) {
		b.faults = append(b.faults, t)
	} else if last != nil {
		b.faults = append(b.faults, &runtime.Trace{Err: last})
	}
	slices.SortStableFunc(b.faults, func(x, y *runtime.Trace) int {
		p, q := x.Position(), y.Position()
		if p.Line != q.Line {
			return int(p.Line) - int(q.Line)
		}
		return int(p.Col) - int(q.Col)
	})
	return &Faults{b.faults}
}
