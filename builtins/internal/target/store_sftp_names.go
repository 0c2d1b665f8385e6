package target

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/pkg/sftp"
)

// Stat implements Store.
func (s *sftpStore) Stat(ctx context.Context, name string) (info store.Info, err error) {
	err = s.do(ctx, "look up", name, func(c *sftp.Client) error {
		i, err := c.Lstat(path.Join(s.base, name))
		if err == nil {
			info = fileInfo(i)
		}
		return err
	})
	return info, err
}

// List implements Store.
func (s *sftpStore) List(ctx context.Context, dir string) (all []store.Info, err error) {
	err = s.do(ctx, "list", dir, func(c *sftp.Client) error {
		infos, err := c.ReadDir(path.Join(s.base, dir))
		if err == nil && len(infos) > store.MaxEntries {
			err = fmt.Errorf("the folder has more than %d entries", store.MaxEntries)
		}
		for _, i := range infos {
			all = append(all, fileInfo(i))
		}
		return err
	})
	return all, err
}

// Program makes a file one that can be started.
func (s *sftpStore) Program(ctx context.Context, name string) error {
	return s.do(ctx, "allow to start", name, func(c *sftp.Client) error { return c.Chmod(path.Join(s.base, name), 0o755) })
}

// Rename implements Store.
func (s *sftpStore) Rename(ctx context.Context, from, to string) error {
	return s.do(ctx, "rename "+from+" to", to, func(c *sftp.Client) error {
		old, free := path.Join(s.base, from), path.Join(s.base, to)
		if err := s.folders(c, path.Dir(free)); err != nil {
			return err
		}
		if _, ok := c.HasExtension("posix-rename@openssh.com"); ok {
			return c.PosixRename(old, free)
		}
		// The plain request refuses to replace.
		if err := c.Remove(free); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return c.Rename(old, free)
	})
}

// Delete implements Store.
func (s *sftpStore) Delete(ctx context.Context, name string) error {
	return s.do(ctx, "delete", name, func(c *sftp.Client) error {
		full := path.Join(s.base, name)
		info, err := c.Lstat(full)
		if err == nil && info.IsDir() {
			err = c.RemoveDirectory(full)
		} else if err == nil {
			err = c.Remove(full)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// Space returns free and total bytes, where the server tells.
func (s *sftpStore) Space(ctx context.Context) (free, total int64, err error) {
	free, total = -1, -1
	err = s.do(ctx, "look up space of", s.base, func(c *sftp.Client) error {
		if _, ok := c.HasExtension("statvfs@openssh.com"); !ok {
			return nil
		}
		v, err := c.StatVFS(s.base)
		if err != nil {
			return err
		}
		free, total = bytesOf(v.Frsize, v.Bavail), bytesOf(v.Frsize, v.Blocks)
		return nil
	})
	return free, total, err
}

// bytesOf multiplies what a server says; a product that cannot be is unknown.
func bytesOf(unit, n uint64) int64 {
	if unit == 0 || n > (1<<62)/unit {
		return -1
	}
	return int64(unit * n)
}

// Close ends the connection.
func (s *sftpStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return nil
	}
	s.conn.Cut(errors.New("the target was closed"))
	s.conn = nil
	return nil
}
