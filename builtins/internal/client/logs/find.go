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

// rotatedName is what logrotate, savelog and their like append.
var rotatedName = regexp.MustCompile(`^(\.\d{1,3}|[.-]\d{8}(?:[.-]\d+)?|-\d{4}-\d\d-\d\d(?:[T_-]?\d+)?|\.old)(\.(gz|xz|zst|bz2))?$`)

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
	for _, n := range names {
		if rest, ok := strings.CutPrefix(name, n); ok && rest != "" && rotatedName.MatchString(rest) {
			return n
		}
	}
	return ""
}

// stat asks for the identity of files and sorts them by age. Those that went
// meanwhile are left out.
func (r *fileRead) stat(ctx context.Context, paths []string) ([]file, error) {
	res, err := r.h.Run(ctx, host.Command{Args: append([]string{"stat", "-c", "%d %i %s %Y %n", "--"}, paths...)})
	if err != nil {
		return nil, err
	}
	var files []file
	for _, line := range strings.Split(strings.TrimSpace(string(res.Stdout)), "\n") {
		f := strings.SplitN(line, " ", 5)
		if len(f) != 5 {
			continue
		}
		var v [4]int64
		for i := range v {
			if v[i], err = strconv.ParseInt(f[i], 10, 64); err != nil || v[i] < 0 {
				return nil, fmt.Errorf("read what stat printed: %q", line)
			}
		}
		files = append(files, file{f[4], uint64(v[0]), uint64(v[1]), v[2], time.Unix(v[3], 0).UTC()})
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
