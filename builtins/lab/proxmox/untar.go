package proxmox

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// untar unpacks a container's archive into the trees of its volumes. Names
// cannot leave a tree: everything goes through os.Root.
type untar struct {
	in     io.Reader
	mounts []mount
	owners map[string]map[string][2]int // tree -> path -> owner
	dirs   []dirMeta
}

// dirMeta is set last, since writing into a folder changes it.
type dirMeta struct {
	root *os.Root
	name string
	mode fs.FileMode
	at   time.Time
}

func (x *untar) run(step func() error) error {
	roots := map[string]*os.Root{}
	defer func() {
		for _, r := range roots {
			r.Close()
		}
	}()
	for _, m := range x.mounts {
		root, err := os.OpenRoot(m.tree)
		if err != nil {
			return err
		}
		roots[m.tree] = root
		x.owners[m.tree] = map[string][2]int{}
	}
	tr := tar.NewReader(x.in)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
		name := path.Clean("/" + h.Name)
		if strings.HasPrefix(name, "/etc/vzdump/pct.") {
			continue
		}
		m, rel := x.place(name)
		if err := x.entry(roots[m.tree], rel, h, tr); err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
		if h.Uid != 0 || h.Gid != 0 {
			x.owners[m.tree][rel] = [2]int{h.Uid, h.Gid}
		}
	}
	if _, err := io.Copy(io.Discard, x.in); err != nil { // the compressor's checksum
		return err
	}
	for i := len(x.dirs) - 1; i >= 0; i-- {
		d := x.dirs[i]
		if err := errors.Join(d.root.Chmod(d.name, d.mode), d.root.Chtimes(d.name, d.at, d.at)); err != nil {
			return err
		}
	}
	for tree, owners := range x.owners {
		if err := writeOwners(tree, owners); err != nil {
			return err
		}
	}
	return nil
}

// place finds the volume that a name of the container belongs to.
func (x *untar) place(name string) (mount, string) {
	best := x.mounts[0]
	for _, m := range x.mounts {
		if (name == m.at || strings.HasPrefix(name, strings.TrimSuffix(m.at, "/")+"/")) && len(m.at) > len(best.at) {
			best = m
		}
	}
	rel := strings.TrimPrefix(strings.TrimPrefix(name, strings.TrimSuffix(best.at, "/")), "/")
	if rel == "" {
		rel = "."
	}
	return best, rel
}

func (x *untar) entry(root *os.Root, rel string, h *tar.Header, data io.Reader) error {
	mode := h.FileInfo().Mode()
	if dir := path.Dir(rel); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.MkdirAll(rel, 0o755); err != nil {
			return err
		}
		x.dirs = append(x.dirs, dirMeta{root, rel, mode.Perm() | mode&(fs.ModeSticky|fs.ModeSetgid|fs.ModeSetuid), h.ModTime})
		return nil
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, rel)
	case tar.TypeLink:
		return root.Link(strings.TrimPrefix(path.Clean("/"+h.Linkname), "/"), rel)
	case tar.TypeReg:
		return writeRegular(root, rel, h, mode, data)
	}
	return nil // device nodes and pipes: the lab's guests have none
}

func writeRegular(root *os.Root, rel string, h *tar.Header, mode fs.FileMode, data io.Reader) error {
	f, err := root.OpenFile(rel, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := copySparse(f, data, h.Size); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return errors.Join(root.Chmod(rel, mode.Perm()|mode&(fs.ModeSticky|fs.ModeSetgid|fs.ModeSetuid)), root.Chtimes(rel, h.ModTime, h.ModTime))
}

// copySparse leaves out blocks of zeros, so that holes come back as holes.
func copySparse(f *os.File, data io.Reader, size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	buf := make([]byte, len(zeroBlock))
	for at := int64(0); ; {
		n, err := io.ReadFull(data, buf)
		if n > 0 && string(buf[:n]) != string(zeroBlock[:n]) {
			if _, err := f.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if at != size {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}
