// Package savefiles saves folders and files of a host: GNU tar reads them there, and its
// stream is packed into the spool, and parsed while it comes, as a restore parses it.
//
// What is saved is what tar could read. Each thing that it could not is named by it on
// its standard error, in a form in which a name cannot forge a line; package savefiles
// makes gaps of these lines, and a line that it does not know is one, too.
package savefiles

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/kind/files"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Asset is the row of the SOP's table that a set of files belongs to by default.
const Asset = "files"

// Request is what a policy asks for; save_files documents its arguments.
type Request struct {
	Host    string
	Paths   []string
	Exclude []string
	Name    string
	Asset   string
}

// Item names the set: by its host and paths, unless the policy gives it a name. It
// refuses paths and patterns that cannot be meant.
func Item(s *site.Site, a Request) (string, error) {
	h, err := s.Host(a.Host)
	if err != nil {
		return "", err
	}
	if len(a.Paths) == 0 {
		return "", errors.New("paths is empty: name at least one folder or file")
	}
	for _, p := range a.Paths {
		if !path.IsAbs(p) || strings.ContainsRune(p, 0) {
			return "", fmt.Errorf("path %q is not absolute", p)
		}
		for _, x := range a.Exclude {
			if x = path.Clean(x); path.IsAbs(x) && below(path.Clean(p), x) {
				return "", fmt.Errorf("exclude %q leaves nothing of path %q", x, p)
			}
		}
	}
	size := 0
	for _, x := range a.Exclude {
		if size += len(x); x == "" || strings.ContainsRune(x, 0) || size > 64<<10 {
			return "", fmt.Errorf("exclude holds %.40q: want patterns, of 64 KiB together at most", x)
		}
	}
	return cmp.Or(a.Name, h.Name+":"+strings.Join(a.Paths, ",")), nil
}

// below reports whether a clean path is another one, or lies in it.
func below(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// Save saves the files of a host.
func Save(ctx context.Context, s *runtime.Step, a Request) (runtime.Result, error) {
	w := systems.Of(s)
	item, err := Item(w.Site, a)
	if err != nil {
		return runtime.Result{}, err
	}
	asset, err := w.Asset(a.Asset, Asset)
	if err != nil {
		return runtime.Result{}, err
	}
	h, on, err := w.Host(ctx, a.Host)
	if err != nil {
		return runtime.Result{}, err
	}
	defer h.Close()
	draft, err := w.Spool().Begin(s)
	if err != nil {
		return runtime.Result{}, err
	}
	defer draft.Discard() // nothing is left of it once it is done
	art := ledger.Artifact{ID: s.ArtifactID(), Kind: "files", Asset: asset, Item: item, Run: s.Run, Step: s.ID,
		Source: "host " + on.Name, Created: s.Now(),
		Consistency: "files as they were read, one after another"}
	j := &job{s: s, h: h, draft: draft, mounts: readMounts(ctx, s, h)}
	j.choose(a.Paths)
	own := j.own(w)
	if h.Local() {
		art.Devices = w.DevicesOf(j.places(own)...)
	}
	got, err := j.run(ctx, a.Exclude, own)
	if err != nil {
		return runtime.Result{}, host.Explain(on.Name, "save "+strings.Join(a.Paths, ", "), err)
	}
	if len(j.notes.lost) >= len(j.paths) {
		return runtime.Result{}, &failure.Error{Code: CodeNothing, System: "host " + on.Name, Doing: "save " + strings.Join(a.Paths, ", "),
			Said: j.notes.first(),
			Hint: "a disk that is not mounted, or a path that was renamed? Nothing was saved"}
	}
	j.links(ctx)
	if text := j.notes.text(); text != "" {
		if err := draft.Put(files.NotSaved, []byte(text)); err != nil {
			return runtime.Result{}, err
		}
	}
	if art.Files, art.Origin, err = draft.Done(); err != nil {
		return runtime.Result{}, err
	}
	for _, f := range art.Files {
		art.Bytes += f.Size
	}
	art.Gaps = j.notes.gaps(asset, item)
	if art.Declared, err = declared(j.paths, got.Entries, got.Bytes); err != nil {
		return runtime.Result{}, err
	}
	j.report(item)
	return runtime.Result{Value: art, Facts: ledger.Facts{Artifacts: []ledger.Artifact{art}}}, nil
}

func declared(paths []string, entries, bytes int64) (map[string]string, error) {
	raw, err := json.Marshal(paths)
	return map[string]string{files.Paths: string(raw), "entries": fmt.Sprint(entries), "bytes": fmt.Sprint(bytes)}, err
}

// choose drops a path that lies below another one of the same file system: it would be
// saved twice.
func (j *job) choose(paths []string) {
	var clean []string
	for _, p := range paths {
		clean = append(clean, path.Clean(p))
	}
	slices.Sort(clean)
	clean = slices.Compact(clean)
	for _, p := range clean {
		if !slices.ContainsFunc(j.paths, func(q string) bool { return below(p, q) && len(j.mounts) > 0 && j.mounts.of(p) == j.mounts.of(q) }) {
			j.paths = append(j.paths, p)
		}
	}
}

// own are runner's folders on this machine that lie below a path: the state folder, where
// the very archive is written, and targets, where copies of copies would grow from night
// to night.
func (j *job) own(w *systems.Systems) (out []string) {
	if !j.h.Local() {
		return nil
	}
	folders := []string{filepath.Dir(w.Env.Spool)}
	for _, t := range w.Site.Targets {
		if dir := t.Place.Folder(); dir != "" {
			folders = append(folders, dir)
		}
	}
	for _, f := range folders {
		if real, err := filepath.EvalSymlinks(f); err == nil && real != f {
			folders = append(folders, real) // one that is not there cannot be saved either
		}
	}
	for _, f := range folders {
		f = path.Clean(f)
		if slices.ContainsFunc(j.paths, func(p string) bool { return p != f && below(f, p) }) {
			j.s.Log("%s is left out: it is runner's own", f)
			out = append(out, f)
		}
	}
	return out
}

// places are what is saved, each on a file system of its own: the paths, and what is
// mounted below them.
func (j *job) places(own []string) []string {
	out := slices.Clone(j.paths)
	for place, fs := range j.mounts {
		inside := func(dirs []string) bool {
			return slices.ContainsFunc(dirs, func(dir string) bool { return below(place, dir) })
		}
		if inside(j.paths) && !inside(own) && !virtual[fs] {
			out = append(out, place)
		}
	}
	return out
}

// links says of paths that are symbolic links: the link alone is saved.
func (j *job) links(ctx context.Context) {
	for _, p := range j.paths {
		list, err := j.h.List(ctx, path.Dir(p))
		if err != nil {
			continue // tar reached the path all the same, or said that it did not
		}
		for _, info := range list {
			if info.Name() == path.Base(p) && info.Mode()&fs.ModeSymlink != 0 {
				j.notes.add(p, "is a symbolic link, and the link alone is saved: name what it leads to")
			}
		}
	}
}

// tell says what was left out on purpose.
func (j *job) report(item string) {
	for _, l := range []struct {
		names []string
		what  string
	}{
		{j.notes.sockets, "sockets are not saved, whoever listens makes them anew"},
		{j.notes.virtual, "what the kernel or the memory holds is not saved"},
	} {
		if n := len(l.names); n > 0 {
			j.s.Log("%s: %s: %s", item, l.what, strings.Join(l.names[:min(n, 5)], ", ")+more(n-5))
		}
	}
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}
