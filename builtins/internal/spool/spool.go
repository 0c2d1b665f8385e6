// Package spool is the folder below the state folder where artifacts lie that no
// storage of a system holds: until they are copied, and the newest of the kinds
// that want it for the next comparison. What is secret lies in it only sealed.
package spool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/kinds"
	"github.com/neosofia/runner/builtins/internal/target"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

const (
	spoolPart = ".part"

	unfinished = 7 * 24 * time.Hour // how long a run that died may still be taken up with its half artifact
	spoolRun   = "run"              // beside the files: which run makes them
)

// Draft is one artifact's folder while it is made.
type Draft struct {
	dir   string // where it will be
	id    string
	files []*spoolFile
}

// Dir is the folder; "" is none.
type Dir string

// Begin begins the artifact of a step anew: what an attempt before left is gone.
func (d Dir) Begin(s *runtime.Step) (*Draft, error) {
	if d == "" {
		return nil, errors.New("open the spool: there is no state folder")
	}
	sp := &Draft{dir: filepath.Join(string(d), s.ArtifactID()), id: s.ArtifactID()}
	for _, dir := range []string{sp.dir, sp.dir + spoolPart} {
		if err := os.RemoveAll(dir); err != nil {
			return nil, spoolError(err)
		}
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return nil, spoolError(err)
	}
	if err := os.Mkdir(sp.dir+spoolPart, 0o700); err != nil {
		return nil, spoolError(err)
	}
	if err := os.WriteFile(filepath.Join(sp.dir+spoolPart, spoolRun), []byte(s.Run), 0o600); err != nil {
		return nil, spoolError(err)
	}
	return sp, nil
}

// spoolError words a failure of the state folder's disk.
func spoolError(err error) error {
	e := &failure.Error{Code: CodeSpool, Doing: "write the spool below the state folder", Said: err.Error(), Cause: err}
	if full(err) {
		e.Code, e.Hint = CodeFull, "free space on the disk of the state folder: runner needs room for what is not copied yet; du -sh "+
			"STATE/spool shows how much that is"
	}
	return e
}

// Codes are those of primitives that make artifacts in the spool.
func Codes() []failure.Code {
	return []failure.Code{CodeSpool, CodeFull}
}

// spoolFile learns size and digest as it is written.
type spoolFile struct {
	f    *os.File
	name string
	size int64
	sum  hash.Hash
	done bool
}

func (f *spoolFile) Write(p []byte) (int, error) {
	n, err := f.f.Write(p)
	f.size += int64(n)
	f.sum.Write(p[:n])
	if err != nil {
		return n, spoolError(err)
	}
	return n, nil
}

// Close makes the file durable.
func (f *spoolFile) Close() error {
	if f.done {
		return nil
	}
	f.done = true
	err := f.f.Sync()
	if cerr := f.f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return spoolError(err)
	}
	return nil
}

// Create adds a file. Closing it makes it durable.
func (sp *Draft) Create(name string) (io.WriteCloser, error) {
	if name == spoolRun || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return nil, fmt.Errorf("write the spool: %q cannot be the name of a file", name)
	}
	f, err := os.OpenFile(filepath.Join(sp.dir+spoolPart, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, spoolError(err)
	}
	sf := &spoolFile{f: f, name: name, sum: sha256.New()}
	sp.files = append(sp.files, sf)
	return sf, nil
}

// Put adds a small file.
func (sp *Draft) Put(name string, content []byte) error {
	f, err := sp.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// Drop takes a file back that is not wanted.
func (sp *Draft) Drop(name string) error {
	sp.files = slices.DeleteFunc(sp.files, func(f *spoolFile) bool { return f.name == name })
	if err := os.Remove(filepath.Join(sp.dir+spoolPart, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return spoolError(err)
	}
	return nil
}

// Done gives the files, in the order in which they were created, and the origin of
// the artifact that they make.
func (sp *Draft) Done() ([]ledger.File, ledger.Origin, error) {
	var files []ledger.File
	for _, f := range sp.files {
		if err := f.Close(); err != nil {
			return nil, ledger.Origin{}, err
		}
		files = append(files, ledger.File{Name: f.name, Size: f.size, SHA256: hex.EncodeToString(f.sum.Sum(nil))})
	}
	if err := syncDir(sp.dir + spoolPart); err != nil {
		return nil, ledger.Origin{}, spoolError(err)
	}
	if err := os.Rename(sp.dir+spoolPart, sp.dir); err != nil {
		return nil, ledger.Origin{}, spoolError(err)
	}
	if err := syncDir(filepath.Dir(sp.dir)); err != nil {
		return nil, ledger.Origin{}, spoolError(err)
	}
	return files, ledger.Origin{Spool: sp.id}, nil
}

// Discard lets go of an artifact that was not made.
func (sp *Draft) Discard() {
	for _, f := range sp.files {
		f.f.Close()
	}
	os.RemoveAll(sp.dir + spoolPart) // what stays is cleaned up at the end of a run
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

var spoolID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Open reads a file of an artifact.
func (d Dir) Open(id, file string, offset int64) (io.ReadCloser, error) {
	if !spoolID.MatchString(id) || file != filepath.Base(file) || d == "" {
		return nil, &failure.Error{Code: target.CodeArchiveMissing, Doing: "read " + file + " of the spool", Said: "there is no such artifact"}
	}
	f, err := os.Open(filepath.Join(string(d), id, file))
	if err == nil {
		if _, err = f.Seek(offset, io.SeekStart); err == nil {
			return f, nil
		}
		f.Close()
	}
	return nil, &failure.Error{Code: target.CodeArchiveMissing, Doing: "read " + file + " of the spool", Said: err.Error(), Cause: err,
		Hint: "it is kept only until it is copied; a new run makes it again"}
}

// Has reports whether the files of an artifact are still there, with
// the sizes that they had.
func (d Dir) Has(a ledger.Artifact) bool {
	if !spoolID.MatchString(a.Origin.Spool) || d == "" {
		return false
	}
	for _, f := range a.Files {
		st, err := os.Stat(filepath.Join(string(d), a.Origin.Spool, filepath.Base(f.Name)))
		if err != nil || st.Size() != f.Size {
			return false
		}
	}
	return true
}

// Previous is the artifact that a new one is compared with.
type Previous struct {
	Artifact ledger.Artifact
	dir      Dir
}

// Open reads one of its files.
func (p *Previous) Open(file string) (io.ReadCloser, error) {
	return p.dir.Open(p.Artifact.Origin.Spool, file, 0)
}

// Previous finds the newest earlier artifact of a kind and item that the spool
// still holds; nil when there is none.
func (d Dir) Previous(ctx context.Context, s *runtime.Step, kind, item string) (*Previous, error) {
	c, err := s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.Artifacts(ctx, ledger.Query{Item: item})
	if err != nil {
		return nil, err
	}
	for i := len(all) - 1; i >= 0; i-- {
		if a := all[i]; a.Kind == kind && a.ID != s.ArtifactID() && d.Has(a) {
			return &Previous{a, d}, nil
		}
	}
	return nil, nil
}

// CleanUp removes what is not needed any more: artifacts that every demanded
// target has, those that have a newer one of their item, and what runs that ended
// left unfinished, or runs that nobody took up for a week. Batches of a stream stay until each of them is everywhere.
func (d Dir) CleanUp(ctx context.Context, c ledger.Catalog, everywhere func(ctx context.Context, c ledger.Catalog, a ledger.Artifact,
	batch bool) (bool, error)) error {
	if d == "" {
		return nil
	}
	entries, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clean up the spool: %w", err)
	}
	newer := map[string]bool{} // kind/item of which the spool has a newer artifact
	arts := make([]ledger.Artifact, 0, len(entries))
	for _, e := range entries {
		id, part := strings.CutSuffix(e.Name(), spoolPart)
		a, known, err := c.Artifact(ctx, id)
		if err != nil {
			return err
		}
		if !part && known {
			arts = append(arts, a)
			continue
		}
		over, err := d.runEnded(ctx, c, e.Name())
		if info, ierr := e.Info(); part && ierr == nil {
			clock := runtime.RealClock{}
			over = over || clock.Now().Sub(info.ModTime()) > unfinished
		}
		if err != nil || !over {
			if err != nil {
				return err
			}
			continue
		}
		if err := os.RemoveAll(filepath.Join(string(d), e.Name())); err != nil {
			return fmt.Errorf("clean up the spool: %w", err)
		}
	}
	sortNewestFirst(arts)
	for _, a := range arts {
		k, _ := kinds.Find(a.Kind)
		key := a.Kind + "/" + a.Item
		done, err := everywhere(ctx, c, a, k.Batch)
		if err != nil {
			return err
		}
		stay := k.Batch && !done || !newer[key] && (k.Keep || !done)
		newer[key] = true
		if stay {
			continue
		}
		if err := os.RemoveAll(filepath.Join(string(d), a.ID)); err != nil {
			return fmt.Errorf("clean up the spool: %w", err)
		}
	}
	return nil
}

// runEnded says whether the run that made an entry of the spool is over.
func (d Dir) runEnded(ctx context.Context, c ledger.Catalog, entry string) (bool, error) {
	raw, err := os.ReadFile(filepath.Join(string(d), entry, spoolRun))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // just made, or not ours
	}
	if err != nil {
		return false, err
	}
	over := false
	err = c.Rows(ctx, ledger.Query{Kind: ledger.RowRunEnd, ID: string(raw)}, func(ledger.Row) error { over = true; return nil })
	return over, err
}

// sortNewestFirst sorts artifacts by the time of what they hold.
func sortNewestFirst(arts []ledger.Artifact) {
	sort.SliceStable(arts, func(i, j int) bool { return arts[i].Created.After(arts[j].Created) })
}
