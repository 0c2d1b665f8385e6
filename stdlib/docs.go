package stdlib

import (
	"fmt"
	"io/fs"
	"strings"

	"go.starlark.net/syntax"
)

// Doc describes a function of the library, from its own text.
type Doc struct {
	Name, Label string // "gfs", "@stdlib//retention.star"
	Args        string
	Doc         string // its first lines
	More        string // arguments and result, as they are documented
	Example     string // the body of a main
}

// Docs lists the functions of the library, by file.
func Docs() ([]Doc, error) {
	names, err := fs.Glob(Files, "*.star")
	if err != nil {
		return nil, err
	}
	var out []Doc
	for _, name := range names {
		if strings.HasSuffix(name, "_test.star") {
			continue
		}
		text, err := Files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		file, err := (&syntax.FileOptions{Set: true}).Parse(name, text, 0)
		if err != nil {
			return nil, err
		}
		for _, s := range file.Stmts {
			def, ok := s.(*syntax.DefStmt)
			if !ok || strings.HasPrefix(def.Name.Name, "_") {
				continue
			}
			d, err := docOf(def)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			d.Label = "@stdlib//" + name
			out = append(out, d)
		}
	}
	return out, nil
}

func docOf(def *syntax.DefStmt) (Doc, error) {
	d := Doc{Name: def.Name.Name}
	var args []string
	for _, p := range def.Params {
		switch p := p.(type) {
		case *syntax.Ident:
			args = append(args, p.Name)
		case *syntax.BinaryExpr: // with a default
			if name, ok := p.X.(*syntax.Ident); ok {
				args = append(args, name.Name+"?")
			}
		}
	}
	d.Args = strings.Join(args, ", ")
	first, ok := def.Body[0].(*syntax.ExprStmt)
	if !ok {
		return d, fmt.Errorf("%s is not explained", d.Name)
	}
	text, ok := first.X.(*syntax.Literal)
	if !ok || text.Token != syntax.STRING {
		return d, fmt.Errorf("%s is not explained", d.Name)
	}
	doc := dedent(text.Value.(string))
	doc, example, ok := strings.Cut(doc, "\nExample:\n")
	if !ok {
		return d, fmt.Errorf("%s has no example", d.Name)
	}
	d.Example = strings.TrimSpace(dedent("\n" + example))
	d.Doc, d.More, _ = strings.Cut(strings.TrimSpace(doc), "\n\nArgs:\n")
	if d.More != "" {
		d.More = "Args:\n" + d.More
	}
	return d, nil
}

// dedent takes the indentation of the lines after the first away.
func dedent(text string) string {
	lines := strings.Split(text, "\n")
	least := -1
	for _, l := range lines[1:] {
		if t := strings.TrimLeft(l, " "); t != "" && (least < 0 || len(l)-len(t) < least) {
			least = len(l) - len(t)
		}
	}
	for i := range lines[1:] {
		if l := lines[i+1]; least > 0 && len(l) >= least {
			lines[i+1] = l[least:]
		}
	}
	return strings.Join(lines, "\n")
}
