// Package files is the kind of folders and files of a host: one tar archive, packed with
// zstd, and the list of what could not be saved.
//
// It is opened by the reader that extracts it, so what opens comes back: types, owners,
// modes, times, links, holes, ACLs, user attributes and capabilities. What the place of
// recovery cannot hold is listed in not-restored.txt there.
package files

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/archive"
	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

// Names of the files of an artifact, and of what it declares.
const (
	Archive  = "files.tar.zst"
	NotSaved = "not-saved.txt"
	Paths    = "paths" // JSON: the absolute paths that were saved
)

const maxNotSaved = 16 << 20

// Kind is a set of files.
func Kind() kind.Kind {
	return kind.Kind{Name: "files", Title: "folders and files", Opens: true, Recover: recoverTree, Commands: commands,
		Open: func() target.Checker { return &checker{} }}
}

// checker opens one artifact.
type checker struct{ found bool }

func (c *checker) File(ctx context.Context, file string, r io.Reader) error {
	switch file {
	case Archive:
		c.found = true
		_, err := archive.Check(ctx, file, r)
		return err
	case NotSaved:
		n, err := io.Copy(io.Discard, io.LimitReader(r, maxNotSaved+1))
		if err != nil {
			return err
		}
		return small(n)
	}
	return foreign(file)
}

func (c *checker) End() error { return whole(c.found) }

func small(size int64) error {
	if size > maxNotSaved {
		return fmt.Errorf("%s has more than %d bytes", NotSaved, maxNotSaved)
	}
	return nil
}

func foreign(file string) error { return fmt.Errorf("%.40q is not a file of this kind", file) }

func whole(found bool) error {
	if !found {
		return fmt.Errorf("there is no %s in this copy", Archive)
	}
	return nil
}

func recoverTree(ctx context.Context, j *kind.Job) error {
	found := false
	for _, f := range j.Artifact.Files {
		switch f.Name {
		case Archive:
			found = true
			r, err := j.Open(ctx, f.Name)
			if err != nil {
				return err
			}
			report, err := j.ExtractTree(ctx, f.Name, r, "tree")
			if err == nil {
				err = j.NotRestored(report.Skipped)
			}
			r.Close()
			if err != nil {
				return fmt.Errorf("extract %s: %w\nwhat is in %s is incomplete", f.Name, err, j.Into)
			}
		case NotSaved:
			if err := small(f.Size); err != nil {
				return err
			}
			path, err := j.Write(ctx, f.Name)
			if err != nil {
				return err
			}
			j.Skipped = append(j.Skipped, "not everything could be read when it was saved: "+path+" lists what is missing")
		default:
			return foreign(f.Name)
		}
	}
	if err := whole(found); err != nil {
		return err
	}
	return putBack(j)
}

// attributes are the words that make tar keep all that it can.
const attributes = "--numeric-owner --acls --xattrs --xattrs-include='*'"

// putBack says how what was extracted gets to its place. It goes by way of tar, path by
// path: a copy of the whole tree would give the folders above a path the modes that they
// have there.
func putBack(j *kind.Job) error {
	root, err := filepath.Abs(filepath.Join(j.Into, "tree"))
	if err != nil {
		return err
	}
	var paths []string
	if err := json.Unmarshal([]byte(j.Artifact.Declared[Paths]), &paths); err != nil {
		return nil // a copy that does not say it comes back all the same
	}
	words := ""
	for _, p := range paths {
		if _, err := os.Lstat(filepath.Join(root, filepath.Clean("/"+p))); err == nil {
			words += " " + kind.Quote("."+strings.TrimSuffix(filepath.Clean("/"+p), "/"))
		}
	}
	if words != "" {
		j.Say = append(j.Say, "# put it back, as root, over what is there now:",
			"tar -C "+kind.Quote(root)+" "+attributes+" --sparse -cf -"+words+" | tar -C / "+attributes+" --delay-directory-restore -xpf -")
	}
	return nil
}

func commands(a ledger.Artifact, dir string) (lines []string) {
	for _, f := range a.Files {
		if f.Name == Archive {
			lines = append(lines, "# as root, to keep owners; with -C / in the place of -C TREE it goes over what is there:",
				"mkdir TREE && tar "+attributes+" --delay-directory-restore -xpf "+dir+"/"+kind.Quote(f.Name)+" -C TREE")
		}
	}
	return lines
}
