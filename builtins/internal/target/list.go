package target

import (
	"context"
	"fmt"
	"path"
)

// maxListed bounds what List keeps in memory.
const maxListed = 512 << 20 // bytes of manifests, counted generously

// BadFolder is a folder of copies, or of one copy, that cannot be read.
type BadFolder struct {
	Folder string // "vm/erp/20261123T…-ID", or a folder above such
	Err    error
}

func (b *BadFolder) Error() string { return b.Err.Error() }
func (b *BadFolder) Unwrap() error { return b.Err }

// List returns the manifests of all copies. A manifest that is not one is an
// error of its own (E_BAD_MANIFEST, in the second result, as a BadFolder) and hides
// no other. Folders that the layout cannot have made are somebody else's and are
// passed over.
func (t *Target) List(ctx context.Context) ([]Manifest, []error, error) {
	if t.store == nil {
		return nil, nil, nil
	}
	l := &lister{t: t}
	err := l.walk(ctx, ".", 0)
	return l.good, l.bad, err
}

type lister struct {
	t    *Target
	good []Manifest
	bad  []error
	size int
}

func (l *lister) walk(ctx context.Context, dir string, depth int) error {
	infos, err := l.t.store.List(ctx, dir)
	if err != nil {
		return l.judge(dir, err, depth)
	}
	for _, info := range infos {
		if !info.Dir || !safePart(info.Name) {
			continue
		}
		next := path.Join(dir, info.Name)
		if depth < 2 {
			err = l.walk(ctx, next, depth+1)
		} else {
			err = l.take(ctx, next)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// judge decides whether an error ends the listing: a target that broke off does,
// one folder that is wrong does not.
func (l *lister) judge(folder string, err error, depth int) error {
	switch code(err) {
	case CodeDown, CodeMediaAbsent, CodeWrongMedium, "":
		return err
	}
	if depth == 0 {
		return err
	}
	l.bad = append(l.bad, &BadFolder{folder, err})
	return l.full()
}

func (l *lister) full() error {
	if len(l.good)+len(l.bad) > maxEntries || l.size > maxListed {
		return &Error{Code: CodeBadManifest, Target: l.t.spec.Name, Doing: "list copies",
			Said: fmt.Sprintf("there are more than %d manifests, or more than %d MiB of them", maxEntries, maxListed>>20)}
	}
	return nil
}

func (l *lister) take(ctx context.Context, folder string) error {
	m, err := l.t.manifest(ctx, folder)
	if code(err) == CodeNotFound {
		return nil // not complete, or not ours
	}
	if err != nil {
		return l.judge(folder, err, 3)
	}
	l.good = append(l.good, m)
	l.size += 2048 + 512*len(m.Copy.Files)
	return l.full()
}
