package proxmox

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The files of a container lie in a folder of the world, with their modes,
// links and holes. Their owners stand in a file beside it, so that the lab
// needs no root: path below the tree -> uid, gid; 0 and 0 when it is missing.

func ownersPath(tree string) string { return tree + ".owners.json" }

func readOwners(tree string) (map[string][2]int, error) {
	owners := map[string][2]int{}
	return owners, readJSON(ownersPath(tree), &owners)
}

func writeOwners(tree string, owners map[string][2]int) error {
	return writeJSON(ownersPath(tree), owners)
}

// removeTree deletes a container's files, folders without permissions too.
func removeTree(tree string) error {
	if !exists(tree) {
		return nil
	}
	err := filepath.WalkDir(tree, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove tree: %w", err)
	}
	if err := os.RemoveAll(tree); err != nil {
		return err
	}
	if err := os.Remove(ownersPath(tree)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// walkDirs visits all folders of a tree, the deepest first.
func walkDirs(root string, visit func(string) error) error {
	var dirs []string
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, p)
		}
		return err
	})
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
		err = visit(dirs[i])
	}
	return err
}
