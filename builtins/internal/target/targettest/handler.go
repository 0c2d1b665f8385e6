package targettest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pkg/sftp"
)

// handler answers the requests of a connection out of the server's folder.
type handler struct{ s *Server }

func (h *handler) path(name string) string { return filepath.Join(h.s.Dir, filepath.Clean("/"+name)) }

func (h *handler) faults() Faults {
	h.s.mu.Lock()
	f := h.s.faults
	h.s.mu.Unlock()
	if f.Mute {
		<-h.s.quiet
	}
	return f
}

// errFailure is what OpenSSH says for a full disk and for many other things.
var errFailure = sftp.ErrSSHFxFailure

// change decides whether something may be changed; what is there may need more.
func (h *handler) change(existing bool) error {
	f := h.faults()
	switch {
	case f.ReadOnly, f.Fail:
		return errFailure
	case f.Deny, f.Keep && existing:
		return os.ErrPermission
	}
	return nil
}

// Fileread implements sftp.FileReader.
func (h *handler) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	h.faults()
	return os.Open(h.path(r.Filepath))
}

// Filewrite implements sftp.FileWriter.
func (h *handler) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	name := h.path(r.Filepath)
	_, err := os.Stat(name)
	if err := h.change(err == nil); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &file{f, h}, nil
}

// file counts what is written.
type file struct {
	*os.File
	h *handler
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	s := f.h.s
	faults := f.h.faults()
	s.mu.Lock()
	s.written += int64(len(p))
	cut := faults.CutAfter > 0 && s.written > faults.CutAfter
	full := faults.FullAfter > 0 && s.written > faults.FullAfter
	if cut {
		s.faults.CutAfter = 0
	}
	s.mu.Unlock()
	if cut {
		s.cut()
		return 0, errFailure
	}
	if full {
		return 0, errFailure
	}
	return f.File.WriteAt(p, off)
}

// Filecmd implements sftp.FileCmder.
func (h *handler) Filecmd(r *sftp.Request) error {
	name := h.path(r.Filepath)
	if err := h.change(r.Method != "Mkdir"); err != nil {
		return err
	}
	switch r.Method {
	case "Setstat":
		if r.AttrFlags().Size {
			return os.Truncate(name, int64(r.Attributes().Size))
		}
		return nil
	case "Rename":
		if _, err := os.Lstat(h.path(r.Target)); err == nil {
			return errFailure
		}
		return os.Rename(name, h.path(r.Target))
	case "Mkdir":
		return os.Mkdir(name, 0o700)
	case "Remove", "Rmdir":
		return os.Remove(name)
	}
	return sftp.ErrSSHFxOpUnsupported
}

// PosixRename implements sftp.PosixRenameFileCmder.
func (h *handler) PosixRename(r *sftp.Request) error {
	if err := h.change(true); err != nil {
		return err
	}
	return os.Rename(h.path(r.Filepath), h.path(r.Target))
}

// StatVFS implements sftp.StatVFSFileCmder.
func (h *handler) StatVFS(*sftp.Request) (*sftp.StatVFS, error) {
	v := &sftp.StatVFS{Bsize: 4096, Frsize: 4096, Blocks: 1 << 30, Bavail: 1 << 28, Bfree: 1 << 28, Files: 1 << 20, Favail: 1 << 20}
	f := h.faults()
	if f.NoStatVFS {
		return nil, sftp.ErrSSHFxOpUnsupported
	}
	if f.ReadOnly {
		v.Flag = 1
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if f.FullAfter > 0 && h.s.written > f.FullAfter {
		v.Bavail = 0
	}
	return v, nil
}

// Filelist implements sftp.FileLister.
func (h *handler) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	name := h.path(r.Filepath)
	if r.Method != "List" {
		info, err := os.Stat(name)
		return h.answer(err, info)
	}
	entries, err := os.ReadDir(name)
	var infos []fs.FileInfo
	for _, e := range entries {
		info, ierr := e.Info()
		if ierr != nil {
			err = errors.Join(err, ierr)
			continue
		}
		infos = append(infos, info)
	}
	return h.answer(err, infos...)
}

// Lstat implements sftp.LstatFileLister.
func (h *handler) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := os.Lstat(h.path(r.Filepath))
	return h.answer(err, info)
}

func (h *handler) answer(err error, infos ...fs.FileInfo) (sftp.ListerAt, error) {
	if err != nil {
		return nil, err
	}
	lose := h.faults().Lose
	for i, info := range infos {
		if lose > 0 && info.Mode().IsRegular() {
			infos[i] = smaller{info, lose}
		}
	}
	return listing(infos), nil
}

type smaller struct {
	fs.FileInfo
	by int64
}

func (s smaller) Size() int64 { return max(0, s.FileInfo.Size()-s.by) }

type listing []fs.FileInfo

// ListAt implements sftp.ListerAt.
func (l listing) ListAt(to []fs.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[offset:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}
