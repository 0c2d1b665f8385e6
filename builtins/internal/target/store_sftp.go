package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/pkg/sftp"
)

// sftpStore keeps names below a folder of an SFTP server. A connection that
// broke, or that a cancelled call had to break, is made anew by the next call.
type sftpStore struct {
	target string
	base   string
	dialer *dialer

	mu   sync.Mutex
	conn *session
}

// session returns a connection that works as far as is known.
func (s *sftpStore) session(ctx context.Context) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && !s.conn.broken() {
		return s.conn, nil
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
	stop := context.AfterFunc(ctx, func() { conn.cut(ctx.Err()) })
	defer stop()
	return s.judge(ctx, conn, doing+" "+name, fn(conn.client))
}

func (s *sftpStore) judge(ctx context.Context, conn *session, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err, ok := settled(s.target, err); ok {
		return err
	}
	e := &Error{Code: CodeDown, Target: s.target, Doing: doing, Said: err.Error(), Temporary: true, Cause: err}
	status, ok := errorAs[*sftp.StatusError](err)
	switch {
	case conn.broken():
		e.Said, e.Hint = "the connection broke: "+conn.why(err).Error(), "the transfer is resumed when the run is retried"
	case errors.Is(err, fs.ErrNotExist):
		e.Code, e.Temporary, e.Said = CodeNotFound, false, "it is not there"
	case errors.Is(err, fs.ErrPermission):
		e.Code, e.Temporary, e.Said, e.Hint = CodeDenied, false, "the server denies it", "check what the account may do there"
	case ok:
		s.failure(conn, e, status)
	default:
		conn.cut(err) // not an answer: the connection cannot be trusted any more
	}
	return e
}

// failure finds out what "failure" means, which is all that OpenSSH says of a
// full or read-only disk.
func (s *sftpStore) failure(conn *session, e *Error, status *sftp.StatusError) {
	e.Temporary = false
	e.Code = CodeDenied
	if status.Code == noSpace || status.Code == overQuota || strings.Contains(status.Error(), "no space left") {
		e.Code, e.Hint = CodeFull, "free space on the target, or shorten what it keeps"
		return
	}
	v, err := conn.client.StatVFS(s.base)
	switch {
	case err != nil:
	case v.Flag&1 != 0:
		e.Code, e.Said, e.Hint = CodeReadOnly, "the server's disk is read-only", "see dmesg on the server"
	case v.Frsize*v.Bavail < 8<<20 || v.Files > 0 && v.Favail == 0:
		e.Code, e.Said, e.Hint = CodeFull, "the server's disk is full", "free space on the target, or shorten what it keeps"
	}
}

// Codes of later versions of the protocol, which some servers use.
const (
	noSpace   = 14
	overQuota = 15
)

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
	n, err := f.ReadFromWithConcurrency(r, requests)
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
