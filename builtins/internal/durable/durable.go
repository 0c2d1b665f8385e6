// Package durable keeps names in a folder of this machine such that they are there after
// the power went: folders are made and synced, one after another. Paths are below an
// os.Root, so that no link leads out of it.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// MakeFolders makes a folder and those above it.
func MakeFolders(root *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	info, err := root.Lstat(dir)
	if err == nil && info.IsDir() {
		return nil
	}
	if err == nil {
		return fmt.Errorf("%s is a %s, not a folder", dir, info.Mode().Type())
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := MakeFolders(root, path.Dir(dir)); err != nil {
		return err
	}
	if err := root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncFolder(root, path.Dir(dir))
}

// SyncFolder makes what was named or removed in a folder durable.
func SyncFolder(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return syncFolder(f)
}

// Space returns free and total bytes of the root's file system; -1 unknown.
func Space(root *os.Root) (free, total int64, err error) {
	f, err := root.Open(".")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	return space(f)
}
