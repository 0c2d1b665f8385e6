package medium

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/neosofia/runner/builtins/internal/kinds"
	"github.com/neosofia/runner/runtime/failure"

	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/builtins/internal/target"
)

// Extracted says what came out of a copy.
type Extracted struct {
	Paths   []string // files and folders that were made
	Skipped []string // entries that could not be made, with the reason
	Config  []string // configuration files
	Say     []string // lines for the operator: what to type, what differs
}

// Archive writes the clear files of a copy into a folder, as the vendor's tools
// want them.
func (m *Medium) Archive(ctx context.Context, id, dir string) (Extracted, error) {
	x, err := m.find(id)
	if err != nil {
		return Extracted{}, err
	}
	j, opening := m.job(x, dir, kinds.Checker(x.Artifact.Kind))
	for _, f := range x.Artifact.Files {
		if _, err := j.Write(ctx, f.Name); err != nil {
			return extracted(j), err
		}
	}
	if err := ended(ctx, opening, j, dir); err != nil {
		return extracted(j), err
	}
	if k, known := kinds.Find(x.Artifact.Kind); known && k.Commands != nil {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return extracted(j), err
		}
		j.Say = append(j.Say, k.Commands(x.Artifact, kind.Quote(abs))...)
	}
	return extracted(j), nil
}

// ended says ok of what came back only where verify would.
func ended(ctx context.Context, o *target.Opening, j *kind.Job, into string) error {
	err := o.End(ctx)
	if err == nil && o.Note() != "" {
		j.Say = append(j.Say, "note: its bytes are those that were saved, but "+o.Note())
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w\nwhat is in %s came from a copy that does not open: do not use it", err, into)
}

// Extract brings the content of a copy into a new folder below dir, in the way of
// its kind: disks as raw sparse files, a container's tree below rootfs, …
func (m *Medium) Extract(ctx context.Context, id, dir string) (Extracted, error) {
	x, err := m.find(id)
	if err != nil {
		return Extracted{}, err
	}
	into := filepath.Join(dir, m.folder(x)+"-"+x.Artifact.Created.UTC().Format("20060102T150405Z"))
	k, known := kinds.Find(x.Artifact.Kind)
	if !known || k.Recover == nil {
		return m.Archive(ctx, id, into)
	}
	check := kinds.Checker(x.Artifact.Kind)
	if k.Opens {
		check = nil
	}
	j, opening := m.job(x, into, check)
	if len(x.Artifact.Files) > 0 { // before anything is made: is there a key for it?
		r, err := hinted(func(ctx context.Context, _ string) (io.ReadCloser, error) {
			return m.t.OpenFile(ctx, x.Copy, x.Artifact.Files[0], m.ids)
		})(ctx, "")
		if err != nil {
			return Extracted{}, err
		}
		if err := r.Close(); err != nil {
			return Extracted{}, err
		}
	}
	if err := makeInto(into); err != nil {
		return Extracted{}, err
	}
	if err = k.Recover(ctx, j); err != nil {
		return extracted(j), err
	}
	return extracted(j), ended(ctx, opening, j, into)
}

// folder is the name of an item, with its kind where the medium holds several
// kinds of it: an image and a ruleset of one host can be of the same second.
func (m *Medium) folder(x target.Manifest) string {
	name := kind.Safe(x.Artifact.Item)
	if slices.ContainsFunc(m.list, func(o target.Manifest) bool {
		return o.Artifact.Kind != x.Artifact.Kind && o.Artifact.Item == x.Artifact.Item
	}) {
		name += "-" + kind.Safe(x.Artifact.Kind)
	}
	return name
}

func extracted(j *kind.Job) Extracted {
	return Extracted{Paths: j.Paths, Skipped: j.Skipped, Config: j.Config, Say: j.Say}
}

// job is a copy of this medium that comes back. What is read of it is held against
// all that verify demands.
func (m *Medium) job(x target.Manifest, into string, check func() target.Checker) (*kind.Job, *target.Opening) {
	opening := m.t.Opening(x.Artifact, x.Copy, m.ids, check)
	j := &kind.Job{Artifact: x.Artifact, Into: into, Options: m.ask, Open: hinted(opening.Open)}
	for i := len(m.list) - 1; i >= 0; i-- { // they are sorted, the newest first
		if o := m.list[i]; o.Artifact.Kind == x.Artifact.Kind && o.Artifact.Item == x.Artifact.Item && o.Artifact.ID != x.Artifact.ID {
			other := m.t.Opening(o.Artifact, o.Copy, m.ids, kinds.Checker(o.Artifact.Kind))
			j.Others = append(j.Others, kind.Other{Artifact: o.Artifact, Open: hinted(other.Open), End: other.End})
		}
	}
	return j, opening
}

// hinted says how the key is given, where one is missing.
func hinted(open func(context.Context, string) (io.ReadCloser, error)) func(context.Context, string) (io.ReadCloser, error) {
	return func(ctx context.Context, file string) (io.ReadCloser, error) {
		r, err := open(ctx, file)
		var known *failure.Error
		if errors.As(err, &known) && failure.Is(err, target.CodeNoIdentity) {
			named := *known
			named.Hint = "name the file of the recovery key with --identity"
			return nil, &named
		}
		return r, err
	}
}

// makeInto makes the folder that is extracted into, and those above it. What is
// there is not written over.
func makeInto(into string) error {
	err := os.MkdirAll(filepath.Dir(into), 0o755)
	if err == nil {
		err = os.Mkdir(into, 0o700)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is there already\nhint: move it away, or name another folder with --to", into)
	case err != nil:
		return fmt.Errorf("make the folder to restore into: %w", err)
	}
	return nil
}
