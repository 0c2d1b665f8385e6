package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/pkg/sftp"

	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/runtime/failure"
)

// sftpStore keeps names below a folder of an SFTP server. A connection that
// broke, or that a cancelled call had to break, is made anew by the next call.
type sftpStore struct {
	target string
	base   string
	dialer *dialer

	mu   sync.Mutex
	conn *ssh.Session
}

// session returns a connection that works as far as is known.
func (s *sftpStore) session(ctx context.Context) (*ssh.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && !s.conn.Broken() {
		return s.conn, nil
	}
	if s.conn != nil {
		s.conn.Close() // what is left of it
		s.conn = nil
	}
	conn, err := s.dialer.dial(ctx)
	if err != nil {
		return nil, err
	}
	s.conn = conn
	return conn, nil
}

// do runs requests. pkg/sftp knows neither contexts nor deadlines: when ctx ends,
// or the server is silent for too long, the connection is cut and fn returns.
func (s *sftpStore) do(ctx context.Context, doing, name string, fn func(c *sftp.Client) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	conn, err := s.session(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.Cut(ctx.Err()) })
	defer stop()
	return s.judge(ctx, conn, doing+" "+name, fn(conn.Client))
}

func (s *sftpStore) judge(ctx context.Context, conn *ssh.Session, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err, ok := settled(s.target, err); ok {
		return err
	}
	e := &failure.Error{Code: CodeDown, System: system(s.target), Doing: doing, Said: err.Error(), Temporary: true, Cause: err}
	status, ok := errorAs[*sftp.StatusError](err)
	switch {
	case isA[*ssh.NoiseError](conn.Why(err)):
		e = s.dialer.noSFTP(doing, conn.Why(err))
	case conn.Broken():
		e.Said, e.Hint = "the connection broke: "+conn.Why(err).Error(), "the transfer is resumed when the run is retried"
	case errors.Is(err, fs.ErrNotExist):
		e.Code, e.Temporary, e.Said = CodeNotFound, false, "it is not there"
	case errors.Is(err, fs.ErrPermission):
		e.Code, e.Temporary, e.Said, e.Hint = CodeDenied, false, "the server denies it", "check what the account may do there"
	case ok:
		s.failure(conn, e, status)
	default:
		conn.Cut(err) // not an answer: the connection cannot be trusted any more
	}
	return e
}

// Put implements Store. Requests are on the way concurrently, so after an error
// the file can have holes; whoever resumes has to compare it.
func (s *sftpStore) Put(ctx context.Context, name string, offset, _ int64, r io.Reader) (n int64, err error) {
	err = s.do(ctx, "write", name, func(c *sftp.Client) error {
		full := path.Join(s.base, name)
		f, err := c.OpenFile(full, os.O_WRONLY|os.O_CREATE)
		if errors.Is(err, fs.ErrNotExist) {
			if err := s.folders(c, path.Dir(full)); err != nil {
				return err
			}
			f, err = c.OpenFile(full, os.O_WRONLY|os.O_CREATE)
		}
		if err != nil {
			return err
		}
		n, err = s.fill(c, f, offset, r)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		return err
	})
	return n, err
}

func (s *sftpStore) fill(c *sftp.Client, f *sftp.File, offset int64, r io.Reader) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if info.Size() != offset {
		if err := f.Truncate(offset); err != nil {
			return 0, err
		}
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := f.ReadFromWithConcurrency(r, ssh.Requests)
	if err != nil {
		return n, err
	}
	if _, ok := c.HasExtension("fsync@openssh.com"); ok {
		if err := f.Sync(); err != nil {
			return n, err
		}
	}
	if info, err = f.Stat(); err == nil && info.Size() != offset+n {
		err = damaged(s.target, "write "+f.Name(), "the server has %d bytes of it; %d were sent", info.Size(), offset+n)
	}
	return n, err
}

// folders makes a folder and those above it, but not the target's own.
func (s *sftpStore) folders(c *sftp.Client, dir string) error {
	if dir == s.base || dir == "." || dir == "/" {
		return nil
	}
	if info, err := c.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is not a folder", dir)
		}
		return nil
	}
	if err := s.folders(c, path.Dir(dir)); err != nil {
		return err
	}
	err := c.Mkdir(dir)
	if err != nil {
		if info, serr := c.Stat(dir); serr == nil && info.IsDir() {
			return nil // somebody else made it
		}
	}
	return err
}
