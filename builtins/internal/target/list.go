package target

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/mirror"
	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/runtime/failure"
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

// OddError is something on a target that is not a copy and no part of the layout: a copy
// whose manifest is not there, what a repair of the file system found, folders of
// somebody else. It harms no copy, and somebody should know of it.
type OddError struct{ Path, What string }

func (e *OddError) Error() string { return fmt.Sprintf("%q %s", e.Path, e.What) }

// List returns the manifests of all copies. In the second result is, and hides no
// other: a manifest that is not one (E_BAD_MANIFEST, as a BadFolder), and what the
// layout cannot have made (as an OddError).
func (t *Target) List(ctx context.Context) ([]Manifest, []error, error) {
	l := &lister{t: t}
	err := l.walk(ctx, ".", 0)
	return l.good, l.bad, err
}

type lister struct {
	t    *Target
	good []Manifest
	bad  []error
	open []string // folders of copies that have no manifest
	size int
}

// systems are folders that operating systems keep on media of their own accord. In
// lost+found nothing is looked for: fsck's finds are reported by the copies that lack them.
var systems = []string{partsFolder, "lost+found", "System Volume Information", "$RECYCLE.BIN", ".Trashes", ".fseventsd", ".Spotlight-V100",
	".TemporaryItems"}

func (l *lister) walk(ctx context.Context, dir string, depth int) error {
	infos, err := l.t.store.List(ctx, dir)
	if err != nil {
		return l.judge(dir, err, depth)
	}
	if depth == 1 && slices.ContainsFunc(infos, isOutfit) {
		return nil // a target of its own lies in this one's folder
	}
	for _, info := range infos {
		next := path.Join(dir, info.Name)
		switch {
		case depth == 0 && l.t.mirror != nil && info.Name == mirror.Folder:
			continue
		case depth == 0 && (!info.Dir || slices.Contains(systems, info.Name) || strings.HasPrefix(info.Name, ".Trash-")):
			continue // README, checkpoints, programs: nothing in them is a copy
		case !info.Dir || !safePart(info.Name), depth == 0 && strings.HasPrefix(info.Name, "FOUND."): // what a repair of FAT found
			err = l.odd(next, "was not made by runner: nothing of it is a copy")
		case depth < 2:
			err = l.walk(ctx, next, depth+1)
		default:
			err = l.take(ctx, next)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) odd(path, what string) error {
	l.bad = append(l.bad, &OddError{path, what})
	return l.full()
}

// judge decides whether an error ends the listing: a target that broke off does,
// one folder that is wrong does not.
func (l *lister) judge(folder string, err error, depth int) error {
	if depth == 0 || code(err).Name == "" || failure.Is(err, CodeDown, CodeMediaAbsent, CodeWrongMedium) {
		return err
	}
	l.bad = append(l.bad, &BadFolder{folder, err})
	return l.full()
}

func (l *lister) full() error {
	if len(l.good)+len(l.bad) > store.MaxEntries || l.size > maxListed {
		return &failure.Error{Code: CodeBadManifest, System: system(l.t.spec.Name), Doing: "list copies",
			Said: fmt.Sprintf("there are more than %d manifests, or more than %d MiB of them", store.MaxEntries, maxListed>>20)}
	}
	return nil
}

func (l *lister) take(ctx context.Context, folder string) error {
	m, err := l.t.manifest(ctx, folder)
	if failure.Is(err, CodeNotFound) {
		if stamp, _, ok := strings.Cut(path.Base(folder), "-"); ok && isStamp(stamp) {
			l.open = append(l.open, folder)
			return l.odd(folder, "is not a complete copy: it has no manifest. Writing it broke off, or what names its files was removed")
		}
		return l.odd(folder, "was not made by runner: nothing of it is a copy")
	}
	if err != nil {
		return l.judge(folder, err, 3)
	}
	l.good = append(l.good, m)
	l.size += 2048 + 512*len(m.Copy.Files)
	return l.full()
}

// isOutfit says what lies at the root of every target that a run has written to.
func isOutfit(info store.Info) bool {
	return info.Name == partsFolder && info.Dir || info.Regular && strings.HasPrefix(info.Name, "checkpoint-") &&
		strings.HasSuffix(info.Name, ".txt")
}

func isStamp(text string) bool {
	_, err := time.Parse(timeLayout, text)
	return err == nil
}
