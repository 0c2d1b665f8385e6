package ledger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// An auditor reads a ledger where nothing can be written: on a medium, or with another
// account. SQLite cannot read what is in the write-ahead log without writing beside
// it, so a copy of both is read, and removed with Close.

// writable reports whether the database and its folder can be written.
func writable(path string) bool {
	return unix.Access(filepath.Dir(path), unix.W_OK) == nil && unix.Access(path, unix.W_OK) == nil
}

// borrow copies the database into a folder of its own. Its log is copied first: pages
// that move from there into the database meanwhile are then in both.
func (s *SQLite) borrow() (path string, err error) {
	if s.borrowed, err = os.MkdirTemp("", "runner-ledger-"); err != nil {
		return "", fmt.Errorf("copy it to where it can be opened: %w", err)
	}
	path = filepath.Join(s.borrowed, filepath.Base(s.path))
	for _, ext := range []string{"-wal", ""} {
		err := copyFile(path+ext, s.path+ext)
		if ext != "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			os.RemoveAll(s.borrowed)
			return "", fmt.Errorf("copy it to where it can be opened: %w", err)
		}
	}
	return path, nil
}

func copyFile(to, from string) (err error) {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}
