package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Options bound and shape ExtractTree. The zero value is ready for use.
type Options struct {
	// MaxBytes bounds the sum of all file sizes, holes included; 0 stands for
	// 16 TiB.
	MaxBytes int64
	// MaxEntries bounds the number of entries; 0 stands for 2^28.
	MaxEntries int64
	// SkipDevices leaves block and character devices out, for root too. For a
	// tree that is only looked at.
	SkipDevices bool
}

const defaultMaxBytes = 16 << 40

// ExtractTree checks a tar archive as Check does and puts its tree into dir,
// which has to be there and to be empty. No entry, symbolic link or hard link
// can write outside dir: everything goes through os.Root, and an entry below a
// symbolic link is refused.
//
// Kept are types, permissions with setuid and setgid, modification times, links
// and holes (any zero block of 4 KiB becomes one); as root also owners by number,
// device nodes, user.* and security.capability attributes and POSIX ACLs, which
// without root are restored as far as the system lets. Report.Skipped names the
// rest. The tree is not synced.
//
// dir takes the mode of the archive's root entry, and the tree holds the guest's
// setuid programs and devices: its parent has to be closed to other users. On an
// error dir holds a part of the tree, and the caller removes it.
func ExtractTree(ctx context.Context, name string, r io.Reader, dir string, opts Options) (Report, error) {
	s, err := open(ctx, name, r)
	if err != nil {
		return Report{}, err
	}
	defer s.close()
	if s.format.container != tarContainer {
		return Report{}, fmt.Errorf("extract tree of %s: a %s archive holds no tree", name, s.format)
	}
	report := Report{Format: s.format.String()}
	t, err := newTree(ctx, dir, opts, &report)
	if err != nil {
		return report, fmt.Errorf("extract %s: %w", name, err)
	}
	defer t.abandon()
	if err = s.entries(&report, t.place); err == nil {
		if err = t.leave(0); err != nil {
			err = fmt.Errorf("extract %s: %w", name, err)
		}
	}
	t.summarize()
	report.Bytes = s.n
	return report, err
}

// tree is a directory that is being filled. Its levels are the open directories
// from the root to the one in which the last entry was placed.
type tree struct {
	ctx     context.Context
	opts    Options
	isRoot  bool
	report  *Report
	levels  []*level
	buf     []byte
	bytes   int64
	more    int64           // skipped lines beyond the limit
	lines   int             // bytes of those within it
	nodes   map[string]bool // devices left out, that a hard link may name
	noOwner bool
}

// level is an open directory; what was held back until its entries are in
// place is applied when it is left.
type level struct {
	name         string // of the last path component
	root         *os.Root
	mode         fs.FileMode
	atime, mtime time.Time // zero: leave it
	setMode      bool
	entry        *entry // with attributes, or nil: a default ACL would pass to the entries
}

func newTree(ctx context.Context, dir string, opts Options, report *Report) (*tree, error) {
	if opts.MaxBytes == 0 {
		opts.MaxBytes = defaultMaxBytes
	}
	if opts.MaxEntries == 0 {
		opts.MaxEntries = maxEntries
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	t := &tree{
		ctx: ctx, opts: opts, isRoot: os.Geteuid() == 0, report: report,
		levels: []*level{{root: root}}, buf: make([]byte, inputBuffer), nodes: map[string]bool{},
	}
	if err := t.wantEmpty(dir); err != nil {
		t.abandon()
		return nil, err
	}
	return t, nil
}

func (t *tree) wantEmpty(dir string) error {
	d, err := t.levels[0].root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(1)
	if len(names) > 0 {
		return fmt.Errorf("directory %s is not empty", dir)
	}
	if err != io.EOF {
		return err
	}
	return nil
}

func (t *tree) top() *level { return t.levels[len(t.levels)-1] }

// abandon closes what is open; nothing is applied.
func (t *tree) abandon() {
	for _, l := range t.levels {
		_ = l.root.Close() // directories; nothing was written through them
	}
	t.levels = nil
}

// place restores one entry.
func (t *tree) place(e entry, r io.Reader) error {
	if e.Typeflag == tar.TypeXGlobalHeader {
		return nil // its only record is a comment
	}
	if t.report.Entries > t.opts.MaxEntries {
		return fmt.Errorf("more than %d entries", t.opts.MaxEntries)
	}
	if e.path == "." {
		if err := t.leave(1); err != nil {
			return err
		}
		return t.dress(t.top(), e)
	}
	parent, base := splitPath(e.path)
	if err := t.enter(parent); err != nil {
		return err
	}
	switch e.Typeflag {
	case tar.TypeDir:
		return t.dir(e, base)
	case tar.TypeReg:
		return t.file(e, base, r)
	case tar.TypeSymlink:
		return t.symlink(e, base)
	case tar.TypeLink:
		return t.hardLink(e, base)
	default:
		return t.node(e, base)
	}
}

// enter makes parent the top level, leaving and entering directories as needed.
// A directory that the archive has not named yet is made.
func (t *tree) enter(parent []string) error {
	same := 0
	for same < len(parent) && same+1 < len(t.levels) && t.levels[same+1].name == parent[same] {
		same++
	}
	if err := t.leave(same + 1); err != nil {
		return err
	}
	for _, name := range parent[same:] {
		at := t.top().root
		fi, err := at.Lstat(name)
		l := &level{name: name}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err = at.Mkdir(name, 0o755); err != nil {
				return err
			}
		case err != nil:
			return err
		case !fi.IsDir():
			return misfit(fmt.Sprintf("lies below %q, which is not a directory but %v", name, fi.Mode()))
		default: // it was left before: what is done in it must not show
			l.mode, l.mtime, l.setMode = fi.Mode()&modeBits, fi.ModTime(), true
			if !t.isRoot && l.mode&0o700 != 0o700 {
				if err := at.Chmod(name, l.mode|0o700); err != nil {
					return err
				}
			}
		}
		if l.root, err = at.OpenRoot(name); err != nil {
			return err
		}
		t.levels = append(t.levels, l)
	}
	return nil
}

// leave closes levels until n are left, and gives each its mode and times.
func (t *tree) leave(n int) error {
	for len(t.levels) > n {
		l := t.top()
		t.levels = t.levels[:len(t.levels)-1]
		err := t.finish(l)
		if cerr := l.root.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) finish(l *level) error {
	if l.setMode {
		if err := l.root.Chmod(".", l.mode); err != nil {
			return err
		}
	}
	if l.entry != nil { // behind the mode, which would change an ACL
		d, err := l.root.Open(".")
		if err != nil {
			return err
		}
		t.attributes(*l.entry, d)
		if err := d.Close(); err != nil {
			return err
		}
	}
	if l.mtime.IsZero() {
		return nil
	}
	return l.root.Chtimes(".", l.atime, l.mtime)
}
