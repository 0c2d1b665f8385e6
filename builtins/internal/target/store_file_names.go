package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/neosofia/runner/builtins/internal/durable"
	"github.com/neosofia/runner/builtins/internal/store"
)

// Stat implements Store.
func (s *fileStore) Stat(ctx context.Context, name string) (store.Info, error) {
	if err := ctx.Err(); err != nil {
		return store.Info{}, err
	}
	info, err := s.root.Lstat(name)
	if err != nil {
		return store.Info{}, s.fail("look up", name, err)
	}
	return fileInfo(info), nil
}

func fileInfo(info fs.FileInfo) store.Info {
	return store.Info{Name: info.Name(), Size: info.Size(), Dir: info.IsDir(), Regular: info.Mode().IsRegular()}
}

// List implements Store.
func (s *fileStore) List(ctx context.Context, dir string) ([]store.Info, error) {
	f, err := s.root.OpenFile(dir, os.O_RDONLY|durable.OpenFlags, 0)
	if err != nil {
		return nil, s.fail("list", dir, err)
	}
	defer f.Close()
	var all []store.Info
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		some, err := f.Readdir(1000)
		for _, info := range some {
			all = append(all, fileInfo(info))
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err == nil && len(all) > store.MaxEntries {
			err = fmt.Errorf("the folder has more than %d entries", store.MaxEntries)
		}
		if err != nil {
			return nil, s.fail("list", dir, err)
		}
	}
}

// Program makes a file one that can be started.
func (s *fileStore) Program(_ context.Context, name string) error {
	if err := s.root.Chmod(name, 0o755); err != nil {
		return s.fail("allow to start", name, err)
	}
	return nil
}

// Rename implements Store.
func (s *fileStore) Rename(ctx context.Context, from, to string) error {
	err := s.guard(ctx)
	if err == nil {
		err = durable.MakeFolders(s.root, path.Dir(to))
	}
	if err == nil {
		err = s.root.Rename(from, to)
	}
	if err == nil {
		err = durable.SyncFolder(s.root, path.Dir(to))
	}
	if err == nil && path.Dir(from) != path.Dir(to) {
		err = durable.SyncFolder(s.root, path.Dir(from))
	}
	return s.fail("rename "+from+" to", to, err)
}

// Delete implements Store.
func (s *fileStore) Delete(ctx context.Context, name string) error {
	err := s.guard(ctx)
	if err == nil {
		err = s.root.Remove(name)
	}
	if err == nil {
		err = durable.SyncFolder(s.root, path.Dir(name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return s.fail("delete", name, err)
}

// Space returns free and total bytes of the file system.
func (s *fileStore) Space(ctx context.Context) (free, total int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	free, total, err = durable.Space(s.root)
	return free, total, s.fail("look up space of", ".", err)
}
