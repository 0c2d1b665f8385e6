package ledger

import (
	"bytes"
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

// borrowTries bounds how often a copy is begun anew because somebody wrote meanwhile.
const borrowTries = 20

var errWritten = errors.New("a run is writing it: try again when the run has ended")

// borrow copies the database into a folder of its own.
func (s *SQLite) borrow() (path string, err error) {
	if s.borrowed, err = os.MkdirTemp("", "runner-ledger-"); err != nil {
		return "", fmt.Errorf("copy it to where it can be opened: %w", err)
	}
	path = filepath.Join(s.borrowed, filepath.Base(s.path))
	whole := false
	for try := 0; !whole && err == nil && try < borrowTries; try++ {
		whole, err = copyDatabase(path, s.path)
	}
	if err == nil && !whole {
		err = errWritten
	}
	if err != nil {
		os.RemoveAll(s.borrowed)
		return "", fmt.Errorf("copy it to where it can be opened: %w", err)
	}
	return path, nil
}

// copyDatabase copies a database and its log, and says whether the two belong
// together. Whoever commits appends to the log: a log that is the same after the
// database was copied holds every page that moved from there into it meanwhile.
// Without a log, the database itself must not have changed.
func copyDatabase(to, from string) (whole bool, err error) {
	before, err := os.Stat(from)
	if err != nil {
		return false, err
	}
	logged, err := copyLog(to, from)
	if err != nil {
		return false, err
	}
	if err := copyFile(to, from); err != nil {
		return false, err
	}
	after, err := os.Stat(from)
	if err != nil {
		return false, err
	}
	switch same, err := sameFile(to+"-wal", from+"-wal"); {
	case err != nil:
		return false, err
	case !same:
		return false, nil
	}
	return logged || os.SameFile(before, after) && before.Size() == after.Size() && before.ModTime().Equal(after.ModTime()), nil
}

// copyLog says whether there is a log.
func copyLog(to, from string) (bool, error) {
	err := copyFile(to+"-wal", from+"-wal")
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(to + "-wal") // of an earlier try
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return false, err
	}
	return err == nil, err
}

// sameFile says whether two files hold the same bytes, or are both not there.
func sameFile(a, b string) (bool, error) {
	x, aerr := os.ReadFile(a)
	y, berr := os.ReadFile(b)
	switch {
	case errors.Is(aerr, fs.ErrNotExist) && errors.Is(berr, fs.ErrNotExist):
		return true, nil
	case errors.Is(aerr, fs.ErrNotExist) || errors.Is(berr, fs.ErrNotExist):
		return false, nil
	}
	return bytes.Equal(x, y), errors.Join(aerr, berr)
}

func copyFile(to, from string) (err error) {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}
