package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

func (t *tree) symlink(e entry, base string) error {
	at := t.top().root
	if err := t.fresh(base, func() error { return at.Symlink(e.Linkname, base) }); err != nil {
		return err
	}
	if err := t.own(e, func(uid, gid int) error { return at.Lchown(base, uid, gid) }); err != nil {
		return err
	}
	if hasAttributes(e) {
		t.skip(e.Name, "attributes of a symbolic link are not restored")
	}
	return t.inDir(func(d *os.File) error { return linkTimes(d, base, accessTime(e), e.ModTime) })
}

func (t *tree) hardLink(e entry, base string) error {
	if t.nodes[e.link] {
		return t.leaveOut(e, "it is a hard link to an entry that was left out")
	}
	if err := t.wantTarget(e.link); err != nil {
		return err
	}
	if e.link == e.path {
		return nil // GNU tar writes one where a file is named twice: it stays as it is
	}
	return t.fresh(base, func() error { return t.levels[0].root.Link(e.link, e.path) })
}

// wantTarget holds that a hard link's target is there, is no directory, and is
// reached through directories only.
func (t *tree) wantTarget(link string) error {
	for i := range len(link) + 1 {
		if i < len(link) && link[i] != '/' {
			continue
		}
		fi, err := t.levels[0].root.Lstat(link[:i])
		if errors.Is(err, fs.ErrNotExist) {
			return misfit(fmt.Sprintf("is a hard link to %q, which is not there", link))
		}
		if err != nil {
			return err
		}
		if fi.IsDir() != (i < len(link)) {
			return misfit(fmt.Sprintf("is a hard link to %q, where %q is %v", link, link[:i], fi.Mode()))
		}
	}
	return nil
}

// node makes a named pipe or a device.
func (t *tree) node(e entry, base string) error {
	if e.Typeflag != tar.TypeFifo {
		switch {
		case t.opts.SkipDevices:
			return t.leaveOut(e, "devices are left out")
		case !t.isRoot:
			return t.leaveOut(e, "a device node needs root")
		}
	}
	err := t.fresh(base, func() error { return t.inDir(func(d *os.File) error { return makeNode(d, base, e) }) })
	if errors.Is(err, errNoNode) || errors.Is(err, fs.ErrPermission) {
		return t.leaveOut(e, err.Error())
	}
	if err != nil {
		return err
	}
	at := t.top().root
	if err := t.own(e, func(uid, gid int) error { return at.Lchown(base, uid, gid) }); err != nil {
		return err
	}
	if err := at.Chmod(base, closedMode(e)); err != nil {
		return err
	}
	if hasAttributes(e) {
		t.skip(e.Name, "attributes of a device or pipe are not restored")
	}
	return at.Chtimes(base, accessTime(e), e.ModTime)
}

// inDir lends the open directory of the top level to a system call.
func (t *tree) inDir(use func(d *os.File) error) error {
	d, err := t.top().root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return use(d)
}
