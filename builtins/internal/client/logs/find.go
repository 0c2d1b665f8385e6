package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

// file is a log file as it stands now.
type file struct {
	path       string
	dev, inode uint64
	size       int64
	changed    time.Time

	head   []byte // of its clear bytes, once it was looked at
	looked bool
	clear  int64  // how many there are, of a packed one that was unpacked to its end
	end    []byte // the last of them
	bad    *ReadError

	was   *mark // it is this one
	copy  bool  // it is the beginning of the log itself
	done  bool  // it was read to its end, though no mark says so
	waits bool  // it holds more than was read
}

func (f *file) packed() bool { return packed(f.path) }

func packed(name string) bool {
	switch path.Ext(name) {
	case ".gz", ".xz", ".zst", ".bz2":
		return true
	}
	return false
}

// unpackedName is the name that a file had before it was packed.
func unpackedName(name string) string {
	if packed(name) {
		return strings.TrimSuffix(name, path.Ext(name))
	}
	return name
}

// rotatedName is what logrotate, savelog, and loggers that rotate themselves put
// behind a log's name or before its ending: a number, a date with the hour or seconds
// of it, the seconds since 1970. Files that hold what is known need no such name.
var rotatedName = regexp.MustCompile(`^(\.\d{1,3}|[._-](\d{8,14}|\d{4}[._-]\d\d([._-]\d\d)?|\d\d[._-]\d\d[._-]\d{4})([._:T-]?\d+)*Z?|\.old)$`)

// log is one log with the files that can be its: by their names, and those whose
// names say nothing but begin as its does.
type log struct {
	path    string
	files   []*file // oldest first, the one that is written now last
	current *file   // that one; nil when it is just not there
	strays  []*file

	known    bool
	paths    []string        // under which it is known: a rotated file may have been taken
	spots    []logbatch.Spot // for a log of its own before
	marks    []*mark
	names    []logbatch.Name // that were learnt
	old      int64
	reported bool // something is missing
}

// listing is what lies in one folder.
type listing struct {
	dir   string
	files map[string]*file
	links map[string]string // symbolic link -> the file of the folder that it means
	bases []string          // names that are, or can be, logs
}

// find lists the logs that fit a pattern.
func (r *fileRead) find(ctx context.Context, pattern string) ([]*log, error) {
	d, err := r.list(ctx, pattern)
	if err != nil || d == nil {
		return nil, err
	}
	var out []*log
	for _, name := range d.bases {
		fits, _ := path.Match(path.Base(pattern), name) // the site checked the pattern
		p := path.Join(d.dir, name)
		if _, known := r.known[p]; !fits || rotatedOf(name, d.bases) != "" || !known && r.claimed[p] {
			continue
		}
		if l := r.look(d, name); len(l.files) > 0 || len(l.strays) > 0 {
			out = append(out, l)
		}
	}
	// Those that are known first: what they are recognised in is not a log of its own.
	slices.SortStableFunc(out, func(a, b *log) int {
		switch {
		case a.known == b.known:
			return 0
		case a.known:
			return -1
		}
		return 1
	})
	return out, nil
}

func (r *fileRead) list(ctx context.Context, pattern string) (*listing, error) {
	d := &listing{dir: path.Dir(pattern), links: map[string]string{}}
	list, err := r.h.List(ctx, d.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", d.dir, err)
	}
	var regular, links []string
	for _, info := range list {
		fits, _ := path.Match(path.Base(pattern), info.Name())
		switch {
		case info.Mode().IsRegular():
			regular = append(regular, info.Name())
			if fits {
				d.bases = append(d.bases, info.Name())
			}
		case info.Mode()&fs.ModeSymlink != 0 && fits:
			links = append(links, info.Name())
		}
	}
	away := literal(path.Base(pattern))
	for p := range r.known {
		if path.Dir(p) == d.dir {
			away = append(away, path.Base(p))
		}
	}
	for _, name := range away { // it may have been rotated, and not been made anew yet
		if !slices.Contains(d.bases, name) && !slices.Contains(links, name) {
			d.bases = append(d.bases, name)
		}
	}
	near := regular
	if len(links) == 0 {
		near = slices.DeleteFunc(slices.Clone(regular), func(name string) bool {
			return !slices.ContainsFunc(d.bases, func(b string) bool { return strings.HasPrefix(name, stem(b)) })
		})
	}
	if d.files, err = r.identities(ctx, d.dir, append(near[:len(near):len(near)], links...)); err != nil {
		return nil, err
	}
	r.follow(d, links, pattern)
	return d, nil
}

// literal is the one name that a pattern fits, if it is but one.
func literal(pattern string) []string {
	name, escaped := "", false
	for _, c := range []byte(pattern) {
		switch {
		case !escaped && c == '\\':
			escaped = true
			continue
		case !escaped && strings.IndexByte("*?[", c) >= 0:
			return nil
		}
		name, escaped = name+string([]byte{c}), false
	}
	return []string{name}
}

// escape is the pattern that only one path fits.
func escape(p string) string {
	return path.Join(path.Dir(p), strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path.Base(p)))
}

// follow takes symbolic links that mean a file of the same folder, as loggers make
// them that put the date into the name. One that leads elsewhere could lead anywhere.
func (r *fileRead) follow(d *listing, links []string, pattern string) {
	for _, link := range links {
		f := d.files[link]
		delete(d.files, link)
		means := ""
		for name, other := range d.files {
			if f != nil && other.dev == f.dev && other.inode == f.inode && !slices.Contains(links, name) {
				means = name
			}
		}
		switch {
		case means == "" && f != nil && path.Join(d.dir, link) == pattern:
			r.led = pattern
		case means != "" && !slices.Contains(d.bases, means) && rotatedOf(means, d.bases) == "":
			d.links[link] = means
			d.bases = append(d.bases, link)
		}
	}
}

// nearest is the log whose name, or else whose stem, most of a name begins with; "" for
// none.
func nearest(name string, bases []string) string {
	whole, near := "", ""
	for _, b := range bases {
		rest, begins := strings.CutPrefix(name, stem(b))
		switch {
		case name != b && strings.HasPrefix(name, b) && len(b) > len(whole):
			whole = b
		case name != b && begins && rest != "" && !unicode.IsLetter(rune(rest[0])) && (near == "" || len(stem(b)) > len(stem(near))):
			near = b
		}
	}
	return cmp.Or(whole, near)
}

func stem(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

// look gathers the files of a log. A file that is being packed lies there twice: the
// one that is not packed is whole.
func (r *fileRead) look(d *listing, name string) *log {
	l := &log{path: path.Join(d.dir, name)}
	own := name
	if means, ok := d.links[name]; ok {
		own = means
	}
	for p, spot := range r.known {
		if p == l.path || path.Dir(p) == d.dir && rotatedOf(path.Base(p), d.bases) == name {
			l.known = true
			l.paths = append(l.paths, p)
			l.spots = append(l.spots, spot)
			l.old = max(l.old, spot.Old)
		}
	}
	for other, f := range d.files {
		clear := unpackedName(other)
		switch of := rotatedOf(other, d.bases); {
		case clear != other && d.files[clear] != nil && clear != own:
		case other == own:
			l.current = f
		case of == name, own != name && (rotatedOf(other, []string{own}) != "" || shape(clear) == shape(own)):
			l.files = append(l.files, f)
		case of == "" && nearest(other, d.bases) == name && !r.isKnown(f.path):
			l.strays = append(l.strays, f)
		}
	}
	l.sort()
	slices.SortFunc(l.strays, older)
	return l
}

func (r *fileRead) isKnown(p string) bool { _, ok := r.known[p]; return ok }

// sort puts the files in order of age, each but once: of hard links one is read.
func (l *log) sort() {
	files := slices.DeleteFunc(l.files, func(f *file) bool { return f == l.current })
	slices.SortFunc(files, older)
	if l.current != nil {
		files = append(files, l.current)
	}
	seen := map[[2]uint64]bool{}
	l.files = nil
	for _, f := range slices.Backward(files) {
		if id := [2]uint64{f.dev, f.inode}; !seen[id] {
			seen[id] = true
			l.files = append(l.files, f)
		}
	}
	slices.Reverse(l.files)
}

// older goes by the names where the times say nothing: .10 is older than .2, a day
// than the next.
func older(a, b *file) int {
	if c := a.changed.Compare(b.changed); c != 0 {
		return c
	}
	dated := func(f *file) bool { return year.MatchString(path.Base(f.path)) }
	switch da, db := dated(a), dated(b); {
	case da != db && da:
		return -1
	case da != db:
		return 1
	case da:
		return strings.Compare(a.path, b.path)
	}
	return cmp.Or(len(b.path)-len(a.path), strings.Compare(b.path, a.path))
}

var year = regexp.MustCompile(`\d{4}`)

// shape is a name without what its digits are. Numbers get longer, days do not.
func shape(name string) string {
	return digits.ReplaceAllStringFunc(name, func(run string) string {
		if len(run) < 4 {
			return "0"
		}
		return strings.Repeat("0", len(run))
	})
}

var digits = regexp.MustCompile(`\d+`)

// rotatedOf is the name of the log that a name was rotated from; "" for none.
func rotatedOf(name string, names []string) string {
	name = unpackedName(name)
	for _, n := range names {
		if rest, ok := strings.CutPrefix(name, n); ok && rotatedName.MatchString(rest) {
			return n
		}
		ending := path.Ext(n)
		stem := strings.TrimSuffix(n, ending)
		rest, ok := strings.CutPrefix(name, stem)
		if !ok || stem == "" || ending == "" || rotatedName.MatchString(ending) {
			continue
		}
		if rest, ok = strings.CutSuffix(rest, ending); ok && rotatedName.MatchString(rest) {
			return n
		}
	}
	return ""
}
