// Package source finds the files that a policy is made of.
//
// A label names a file: ":lib.star" beside the loading one, "//dir/lib.star"
// below the root, "@stdlib//lib.star" in the library that the binary carries.
// The root is the nearest folder above the policy that holds runner.lock or
// .git, else the policy's own folder. No label leaves its root, not even by a
// symbolic link. The whole graph of loads is resolved, ordered and hashed before
// anything is executed, so that a run is bound to the text it ran.
package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"go.starlark.net/syntax"
)

// MaxSize bounds one file.
const MaxSize = 1 << 20

// Module is one file of a graph.
type Module struct {
	Label  string // "//policies/nightly.star" or "@stdlib//protect.star"
	Name   string // as positions show it
	Source []byte
	SHA256 string
	File   *syntax.File
	Loads  map[string]string // label as written -> label
}

// Graph is a policy with everything that it loads; a module comes after those
// that it loads, the policy last.
type Graph struct {
	Modules []*Module
	Entry   *Module
}

// From is the part of the graph that a module reaches, as if it had been loaded.
func (g *Graph) From(entry *Module) *Graph {
	reached := map[string]bool{entry.Label: true}
	for i := len(g.Modules) - 1; i >= 0; i-- { // a module stands before those that load it
		if m := g.Modules[i]; reached[m.Label] {
			for _, label := range m.Loads {
				reached[label] = true
			}
		}
	}
	part := &Graph{Entry: entry}
	for _, m := range g.Modules {
		if reached[m.Label] {
			part.Modules = append(part.Modules, m)
		}
	}
	return part
}

// Digest covers labels and contents of all modules.
func (g *Graph) Digest() string {
	h := sha256.New()
	sums := g.Sums()
	labels := make([]string, 0, len(sums))
	for l := range sums {
		labels = append(labels, l)
	}
	sort.Strings(labels)
	for _, l := range labels {
		fmt.Fprintf(h, "%s\x00%s\x00", l, sums[l])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Sums maps every label to the SHA-256 of its file.
func (g *Graph) Sums() map[string]string {
	out := map[string]string{}
	for _, m := range g.Modules {
		out[m.Label] = m.SHA256
	}
	return out
}

// Options are the dialect: no while, no recursion, no global reassignment.
func Options() *syntax.FileOptions { return &syntax.FileOptions{Set: true} }

// Loader resolves graphs.
type Loader struct {
	Stdlib fs.FS // files of @stdlib

	root   *os.Root
	typed  string // folder of the policy, as the operator wrote it
	policy string // the same folder, below the root
	loaded map[string]*Module
	stack  []string
	graph  *Graph
}

// Load resolves the graph of the policy at file.
func (l *Loader) Load(file string) (*Graph, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("find policy %s: %w", file, err)
	}
	dir := findRoot(filepath.Dir(abs))
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of policy %s: %w", file, err)
	}
	defer root.Close()
	rel, err := filepath.Rel(dir, abs)
	if err != nil {
		return nil, fmt.Errorf("find policy %s: %w", file, err)
	}
	l.root, l.loaded, l.stack, l.graph = root, map[string]*Module{}, nil, &Graph{}
	l.typed, l.policy = filepath.Dir(file), filepath.Dir(rel)
	m, err := l.module("//"+filepath.ToSlash(rel), syntax.Position{})
	if err != nil {
		return nil, err
	}
	l.graph.Entry = m
	return l.graph, nil
}

func findRoot(dir string) string {
	for d := dir; ; d = filepath.Dir(d) {
		for _, mark := range []string{"runner.lock", ".git"} {
			if _, err := os.Stat(filepath.Join(d, mark)); err == nil {
				return d
			}
		}
		if d == filepath.Dir(d) {
			return dir
		}
	}
}

func (l *Loader) module(label string, from syntax.Position) (*Module, error) {
	for i, s := range l.stack {
		if s == label {
			return nil, at(from, "load cycle: %s", strings.Join(append(append([]string{}, l.stack[i:]...), label), " -> "))
		}
	}
	if m, ok := l.loaded[label]; ok {
		return m, nil
	}
	data, name, err := l.read(label)
	if err != nil {
		return nil, at(from, "load %s: %v", label, err)
	}
	sum := sha256.Sum256(data)
	m := &Module{Label: label, Name: name, Source: data, SHA256: hex.EncodeToString(sum[:]), Loads: map[string]string{}}
	if m.File, err = Parse(name, data); err != nil {
		return nil, err
	}
	l.stack = append(l.stack, label)
	for _, stmt := range m.File.Stmts {
		load, ok := stmt.(*syntax.LoadStmt)
		if !ok {
			continue
		}
		written := load.ModuleName()
		start, _ := load.Module.Span()
		next, err := resolve(label, written)
		if err != nil {
			return nil, at(start, "%v", err)
		}
		m.Loads[written] = next
		if _, err := l.module(next, start); err != nil {
			return nil, err
		}
	}
	l.stack = l.stack[:len(l.stack)-1]
	l.loaded[label] = m
	l.graph.Modules = append(l.graph.Modules, m)
	return m, nil
}

func (l *Loader) read(label string) ([]byte, string, error) {
	var f fs.File
	var err error
	name := label
	if rest, ok := strings.CutPrefix(label, "@stdlib//"); ok {
		f, err = l.Stdlib.Open(rest)
	} else {
		rel := strings.TrimPrefix(label, "//")
		if name, err = l.shown(filepath.FromSlash(rel)); err != nil {
			return nil, label, err
		}
		f, err = l.openRegular(filepath.FromSlash(rel))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, name, errors.New("no such file")
	}
	if err != nil {
		return nil, name, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, name, err
	} else if !st.Mode().IsRegular() || st.Size() > MaxSize {
		return nil, name, fmt.Errorf("not a regular file of at most %d bytes", MaxSize)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err == nil && len(data) > MaxSize {
		err = fmt.Errorf("larger than %d bytes", MaxSize)
	}
	return data, name, err
}

// openRegular opens a file, and nothing that waits for a writer or acts when it is
// opened.
func (l *Loader) openRegular(rel string) (fs.File, error) {
	st, err := l.root.Stat(rel)
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return nil, err
	}
	return l.root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// shown is the name of a file below the root as the operator would type it, from
// where the policy was named.
func (l *Loader) shown(rel string) (string, error) {
	from, err := filepath.Rel(l.policy, rel)
	if err != nil {
		return "", err
	}
	return filepath.ToSlash(filepath.Join(l.typed, from)), nil
}

// resolve turns a label as written in a module into one from the root.
func resolve(from, written string) (string, error) {
	bad := func(why string) (string, error) {
		return "", fmt.Errorf("label %q %s\nhint: use :file.star, //dir/file.star or @stdlib//file.star", written, why)
	}
	if !strings.HasSuffix(written, ".star") {
		return bad("does not name a .star file")
	}
	base, rest := "", ""
	switch {
	case strings.HasPrefix(written, "@stdlib//"):
		base, rest = "@stdlib//", written[len("@stdlib//"):]
	case strings.HasPrefix(written, "//"):
		base, rest = "//", written[2:]
		if strings.HasPrefix(from, "@stdlib//") {
			return bad("leaves the library")
		}
	case strings.HasPrefix(written, ":"):
		rest = written[1:]
		if strings.Contains(rest, "/") {
			return bad("leaves its directory")
		}
		i := strings.Index(from, "//") + 2
		base, rest = from[:i], path.Join(path.Dir(from[i:]), rest)
	default:
		return bad("has no known form")
	}
	if !fs.ValidPath(rest) || path.Clean(rest) != rest || rest == "." {
		return bad("leaves its directory")
	}
	return base + rest, nil
}

// Error is a fault in a file, with its position.
type Error struct {
	Pos  syntax.Position
	Text string
}

func (e *Error) Error() string {
	if !e.Pos.IsValid() {
		return e.Text
	}
	return e.Pos.String() + ": " + e.Text
}

func at(pos syntax.Position, format string, args ...any) error {
	return &Error{pos, fmt.Sprintf(format, args...)}
}
