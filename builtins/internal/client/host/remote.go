package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	cryptossh "golang.org/x/crypto/ssh"

	"github.com/neosofia/runner/builtins/internal/client/ssh"
)

// remote is a machine over SSH.
type remote struct {
	name    string
	session *ssh.Session
	cfg     ssh.Config
}

// Remote connects to a machine. Errors are those of ssh.Open.
func Remote(ctx context.Context, name string, cfg ssh.Config) (Host, error) {
	s, err := ssh.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &remote{name, s, cfg}, nil
}

func (r *remote) Name() string { return r.name }
func (r *remote) Local() bool  { return false }
func (r *remote) Close() error { return r.session.Close() }

// Run sets the language and the path of the program itself: an account's own
// settings would change what it prints.
func (r *remote) Run(ctx context.Context, c Command) (Result, error) {
	s := streamsOf(c)
	words := append([]string{"env", "LC_ALL=C.UTF-8", "TZ=UTC", "PATH=" + searchPath}, c.Args...)
	err := r.session.Run(ctx, line(words), c.Stdin, s.out, s.err)
	var exit *cryptossh.ExitError
	var lost *cryptossh.ExitMissingError
	var silent *ssh.SilentError
	switch {
	case ctx.Err() != nil:
		return Result{}, context.Cause(ctx)
	case s.full():
		return Result{}, fmt.Errorf("run %s on %s: %w", c.Args[0], r.name, ErrTooMuch)
	case errors.As(err, &exit) && exit.Signal() != "":
		return s.result(-1), &KilledError{c.Args[0], exit.Signal()}
	case errors.As(err, &exit) && exit.ExitStatus() == 127:
		return s.result(127), fmt.Errorf("run %s on %s: %w", c.Args[0], r.name, ErrNoProgram)
	case errors.As(err, &exit):
		return s.result(exit.ExitStatus()), nil
	case errors.As(err, &lost):
		return s.result(-1), fmt.Errorf("run %s on %s: the connection ended before the program did", c.Args[0], r.name)
	case errors.As(err, &silent):
		return s.result(-1), fmt.Errorf("run %s on %s: %w", c.Args[0], r.name, silent)
	case err != nil:
		return Result{}, fmt.Errorf("run %s on %s: %w", c.Args[0], r.name, err)
	}
	return s.result(0), nil
}

// line joins words so that a shell takes each as it is.
func line(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}

// Open has a connection of its own: what is read may be large, and ends with it.
func (r *remote) Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	return OpenRemote(ctx, r.cfg, path, offset)
}

// OpenRemote reads one file of a machine and asks nothing else of it.
func OpenRemote(ctx context.Context, cfg ssh.Config, path string, offset int64) (io.ReadCloser, error) {
	s, err := ssh.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	rc, err := s.Reader(ctx, path, offset)
	if err != nil {
		s.Close()
		return nil, err
	}
	return rc, nil
}

func (r *remote) Stat(ctx context.Context, path string) (info fs.FileInfo, err error) {
	err = r.do(ctx, func() error { info, err = r.session.Stat(path); return err })
	return info, err
}

func (r *remote) List(ctx context.Context, dir string) (list []fs.FileInfo, err error) {
	err = r.do(ctx, func() error { list, err = r.session.ReadDir(dir); return err })
	slices.SortFunc(list, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	return list, err
}

func (r *remote) Write(ctx context.Context, path string, mode fs.FileMode, src io.Reader) error {
	return r.do(ctx, func() error {
		part := path + ".part"
		if err := r.session.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f, err := r.session.Create(part)
		if err != nil {
			return err
		}
		if err = f.Chmod(mode); err == nil { // before there is anything in it
			_, err = ssh.Copy(f, src)
		}
		if err == nil {
			if serr := f.Sync(); serr != nil && !strings.Contains(serr.Error(), "SSH_FX_OP_UNSUPPORTED") {
				err = serr
			}
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err == nil {
			err = r.session.PosixRename(part, path)
		}
		if err != nil {
			_ = r.session.Remove(part) // the first error counts
		}
		return err
	})
}

func (r *remote) Create(ctx context.Context, path string, mode fs.FileMode, src io.Reader) error {
	return r.do(ctx, func() error {
		f, err := r.session.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY)
		if err != nil {
			return err
		}
		if err = f.Chmod(mode); err == nil { // before there is anything in it
			_, err = ssh.Copy(f, src)
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		return err
	})
}

func (r *remote) MkdirAll(ctx context.Context, path string, mode fs.FileMode) error {
	return r.do(ctx, func() error {
		if err := r.session.MkdirAll(path); err != nil {
			return err
		}
		return r.session.Chmod(path, mode)
	})
}

func (r *remote) Remove(ctx context.Context, path string) error {
	return r.do(ctx, func() error {
		if err := r.session.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// do ends what the server does not answer when ctx ends: the connection goes.
func (r *remote) do(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { r.session.Close() })
	defer stop()
	if err := f(); ctx.Err() != nil {
		return context.Cause(ctx)
	} else if err != nil {
		return r.session.Why(err)
	}
	return nil
}
