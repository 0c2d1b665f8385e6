package sftp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"syscall"

	pkgsftp "github.com/pkg/sftp"
)

// operations names the requests of the protocol as faults do.
var operations = map[string]string{
	"Setstat": "setstat", "Rename": "rename", "PosixRename": "rename", "Rmdir": "rmdir", "Mkdir": "mkdir", "Remove": "remove",
	"Link": "link", "Symlink": "symlink", "List": "list", "Stat": "stat", "Lstat": "stat",
}

// Filecmd does the operations that answer with a status only.
func (h *handlers) Filecmd(r *pkgsftp.Request) error {
	due, err := h.meet(operations[r.Method])
	if err != nil {
		return err
	}
	name := rel(r.Filepath)
	if appendOnly(due) && r.Method != "Mkdir" {
		return pkgsftp.ErrSSHFxPermissionDenied
	}
	switch r.Method {
	case "Setstat":
		return status(h.setstat(r, name))
	case "Rename":
		if _, err := h.root.Lstat(rel(r.Target)); err == nil {
			return errors.New("file exists") // OpenSSH's answer to the old rename
		}
		return status(h.root.Rename(name, rel(r.Target)))
	case "Rmdir":
		if info, err := h.root.Lstat(name); err == nil && !info.IsDir() {
			return errors.New("not a directory")
		}
		return status(h.root.Remove(name))
	case "Remove":
		if info, err := h.root.Lstat(name); err == nil && info.IsDir() {
			return errors.New("is a directory")
		}
		return status(h.root.Remove(name))
	case "Mkdir":
		return status(h.root.Mkdir(name, 0o755))
	case "Link":
		return status(h.root.Link(name, rel(r.Target)))
	case "Symlink":
		// The library gives the link's text as Filepath.
		return status(h.root.Symlink(r.Filepath, rel(r.Target)))
	}
	return pkgsftp.ErrSSHFxOpUnsupported
}

// PosixRename replaces the target, as rename(2) does.
func (h *handlers) PosixRename(r *pkgsftp.Request) error {
	due, err := h.meet("rename")
	if err != nil {
		return err
	}
	if appendOnly(due) {
		return pkgsftp.ErrSSHFxPermissionDenied
	}
	return status(h.root.Rename(rel(r.Filepath), rel(r.Target)))
}

func (h *handlers) setstat(r *pkgsftp.Request, name string) error {
	flags, attrs := r.AttrFlags(), r.Attributes()
	if flags.Size {
		f, err := h.root.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Truncate(int64(attrs.Size)), f.Close()); err != nil {
			return err
		}
	}
	if flags.Permissions {
		if err := h.root.Chmod(name, attrs.FileMode()); err != nil {
			return err
		}
	}
	if flags.Acmodtime {
		return h.root.Chtimes(name, attrs.AccessTime(), attrs.ModTime())
	}
	return nil
}

// Filelist answers listings and stats.
func (h *handlers) Filelist(r *pkgsftp.Request) (pkgsftp.ListerAt, error) {
	if _, err := h.meet(operations[r.Method]); err != nil {
		return nil, err
	}
	name := rel(r.Filepath)
	switch r.Method {
	case "List":
		return h.list(name)
	case "Stat":
		info, err := h.root.Stat(name)
		return lister{info}, status(err)
	}
	return nil, pkgsftp.ErrSSHFxOpUnsupported
}

// Lstat answers for a link itself.
func (h *handlers) Lstat(r *pkgsftp.Request) (pkgsftp.ListerAt, error) {
	if _, err := h.meet("stat"); err != nil {
		return nil, err
	}
	info, err := h.root.Lstat(rel(r.Filepath))
	return lister{info}, status(err)
}

func (h *handlers) list(name string) (pkgsftp.ListerAt, error) {
	d, err := h.root.Open(name)
	if err != nil {
		return nil, status(err)
	}
	defer d.Close()
	infos, err := d.Readdir(-1)
	if err != nil {
		return nil, status(err)
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].Name() < infos[j].Name() })
	return lister(infos), nil
}

// Readlink answers the text of a link.
func (h *handlers) Readlink(p string) (string, error) {
	if _, err := h.meet("readlink"); err != nil {
		return "", err
	}
	to, err := h.root.Readlink(rel(p))
	return to, status(err)
}

// StatVFS answers with the figures of the machine's file system.
func (h *handlers) StatVFS(r *pkgsftp.Request) (*pkgsftp.StatVFS, error) {
	if _, err := h.meet("statvfs"); err != nil {
		return nil, err
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(h.cfg.Root, &st); err != nil {
		return nil, fmt.Errorf("read figures of the file system: %w", err)
	}
	return &pkgsftp.StatVFS{
		Bsize: uint64(st.Bsize), Frsize: uint64(st.Frsize), Blocks: st.Blocks, Bfree: st.Bfree, Bavail: st.Bavail,
		Files: st.Files, Ffree: st.Ffree, Favail: st.Ffree, Namemax: uint64(st.Namelen),
	}, nil
}

type lister []fs.FileInfo

func (l lister) ListAt(out []fs.FileInfo, off int64) (int, error) {
	if off >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(out, l[off:])
	if off+int64(n) == int64(len(l)) {
		return n, io.EOF
	}
	return n, nil
}
