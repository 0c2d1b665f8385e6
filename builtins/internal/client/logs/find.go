package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/host"
)

// file is a log file as it stands now.
type file struct {
	path       string
	dev, inode uint64
	size       int64
	changed    time.Time
}

func (f file) packed() bool {
	switch path.Ext(f.path) {
	case ".gz", ".xz", ".zst", ".bz2":
		return true
	}
	return false
}

// rotatedName is what logrotate, savelog, and loggers that rotate themselves put
// behind a log's name or before its ending: a number, a date with the hour or seconds
// of it, the seconds since 1970.
var rotatedName = regexp.MustCompile(`^(\.\d{1,3}|[._-](\d{8,14}|\d{4}[._-]\d\d([._-]\d\d)?|\d\d[._-]\d\d[._-]\d{4})([._:T-]?\d+)*Z?|\.old)$`)

// log is one log: the file that is written now, unless it is just not there, and
// those that it was rotated to, oldest first.
type log struct {
	path    string
	rotated []file
	current *file
}

// all are its files, oldest first.
func (l log) all() []file {
	if l.current == nil {
		return l.rotated
	}
	return append(l.rotated[:len(l.rotated):len(l.rotated)], *l.current)
}

// find lists the logs that fit a pattern.
func (r *fileRead) find(ctx context.Context, pattern string) ([]log, error) {
	dir := path.Dir(pattern)
	list, err := r.h.List(ctx, dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	there := map[string]bool{}
	var names []string
	for _, info := range list {
		if info.Mode().IsRegular() {
			names = append(names, info.Name())
			there[info.Name()] = true
		}
	}
	bases := append([]string(nil), names...)
	for p := range r.known { // it may have been rotated, and not been made anew yet
		if path.Dir(p) == dir && !there[path.Base(p)] {
			bases = append(bases, path.Base(p))
		}
	}
	var out []log
	for _, name := range bases {
		fits, _ := path.Match(path.Base(pattern), name) // the site checked the pattern
		if !fits || rotatedOf(name, bases) != "" {
			continue
		}
		l, err := r.look(ctx, dir, name, names, there)
		if err != nil {
			return nil, err
		}
		if len(l.all()) > 0 {
			out = append(out, l)
		}
	}
	return out, nil
}

// look gathers the files of a log. A file that is being packed lies there twice: the
// one that is not packed is whole.
func (r *fileRead) look(ctx context.Context, dir, name string, names []string, there map[string]bool) (log, error) {
	l := log{path: path.Join(dir, name)}
	var paths []string
	for _, other := range names {
		if other == name || rotatedOf(other, []string{name}) == name {
			if clear := strings.TrimSuffix(other, path.Ext(other)); (file{path: other}).packed() && there[clear] && clear != name {
				continue
			}
			paths = append(paths, path.Join(dir, other))
		}
	}
	if len(paths) == 0 {
		return l, nil
	}
	files, err := r.stat(ctx, paths)
	if err != nil {
		return l, err
	}
	for _, f := range files {
		if f.path == l.path {
			l.current = &f
		} else {
			l.rotated = append(l.rotated, f)
		}
	}
	return l, nil
}

// rotatedOf is the name of the log that a name was rotated from; "" for none.
func rotatedOf(name string, names []string) string {
	if (file{path: name}).packed() {
		name = strings.TrimSuffix(name, path.Ext(name))
	}
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

// stat asks for the identity of files and sorts them by age. Those that went
// meanwhile are left out.
func (r *fileRead) stat(ctx context.Context, paths []string) ([]file, error) {
	files, err := r.identities(ctx, paths)
	if err != nil {
		return nil, err
	}
	sort.SliceStable(files, func(i, j int) bool {
		a, b := files[i], files[j]
		if !a.changed.Equal(b.changed) {
			return a.changed.Before(b.changed)
		}
		return a.path > b.path // .2 is older than .1
	})
	return files, nil
}

// identities are in the order of the paths. No name is printed: one can hold line
// ends, and look like a line. Where a line is missing the halves are asked for, down
// to the file that went.
func (r *fileRead) identities(ctx context.Context, paths []string) ([]file, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	res, err := r.h.Run(ctx, host.Command{Args: append([]string{"stat", "-c", "%d %i %s %Y %y", "--"}, paths...)})
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(res.Stdout)), "\n")
	if lines[0] == "" {
		lines = nil
	}
	if len(lines) != len(paths) {
		if len(paths) == 1 {
			return nil, nil
		}
		half := len(paths) / 2
		a, err := r.identities(ctx, paths[:half:half])
		if err != nil {
			return nil, err
		}
		b, err := r.identities(ctx, paths[half:])
		return append(a, b...), err
	}
	var files []file
	for i, line := range lines {
		f := strings.Fields(line)
		var v [4]int64
		if len(f) < len(v) {
			return nil, fmt.Errorf("read what stat printed: %q", line)
		}
		for k := range v {
			if v[k], err = strconv.ParseInt(f[k], 10, 64); err != nil || v[k] < 0 {
				return nil, fmt.Errorf("read what stat printed: %q", line)
			}
		}
		files = append(files, file{paths[i], uint64(v[0]), uint64(v[1]), v[2], time.Unix(v[3], fraction(f[len(v):])).UTC()})
	}
	return files, nil
}

// fraction is what "2026-11-28 08:00:00.123456789 +0000" has of a second: 0 when a
// system's stat does not tell.
func fraction(changed []string) int64 {
	if len(changed) > 1 {
		if _, digits, ok := strings.Cut(changed[1], "."); ok && len(digits) == 9 {
			if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n >= 0 {
				return n
			}
		}
	}
	return 0
}
