package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// local is this machine.
type local struct{ name, root string }

// Local returns this machine.
func Local(name string) Host { return local{name: name} }

// LocalAt is this machine with its files below a root; it runs no programs if that is
// not "".
func LocalAt(name, root string) Host { return local{name, root} }

func (l local) at(path string) string {
	if l.root == "" {
		return path
	}
	return filepath.Join(l.root, path)
}

func (l local) Name() string { return l.name }
func (l local) Local() bool  { return true }
func (l local) Close() error { return nil }

// grace is what a program gets to end after SIGTERM.
const grace = 5 * time.Second

func (l local) Run(ctx context.Context, c Command) (Result, error) {
	if l.root != "" {
		return Result{}, fmt.Errorf("run %s: %w", c.Args[0], ErrNoProgram)
	}
	path, err := lookPath(c.Args[0])
	if err != nil {
		return Result{}, err
	}
	s := streamsOf(c)
	cmd := exec.CommandContext(ctx, path, c.Args[1:]...)
	cmd.Args[0] = c.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, s.out, s.err
	cmd.Env = []string{"PATH=" + searchPath, "LC_ALL=C.UTF-8", "HOME=" + os.Getenv("HOME"), "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	err = cmd.Run()
	if cmd.Process != nil && ctx.Err() != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind; none is right
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return Result{}, context.Cause(ctx)
	case s.full():
		return Result{}, fmt.Errorf("run %s: %w", c.Args[0], ErrTooMuch)
	case errors.As(err, &exit):
		if st, ok := exit.Sys().(syscall.WaitStatus); ok && st.Signaled() {
			return s.result(-1), &KilledError{c.Args[0], st.Signal().String()}
		}
		return s.result(exit.ExitCode()), nil
	case err != nil:
		return Result{}, fmt.Errorf("run %s: %w", c.Args[0], err)
	}
	return s.result(0), nil
}

// searchPath is where programs of a system lie; cron and su leave out sbin.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func lookPath(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, dir := range filepath.SplitList(searchPath) {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("run %s: %w", name, ErrNoProgram)
}

func (l local) Open(_ context.Context, path string, offset int64) (io.ReadCloser, error) {
	f, err := os.Open(l.at(path))
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (l local) Stat(_ context.Context, path string) (fs.FileInfo, error) { return os.Stat(l.at(path)) }

func (l local) List(_ context.Context, dir string) ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(l.at(dir))
	if err != nil {
		return nil, err
	}
	var out []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, info)
	}
	return out, nil
}

func (l local) Write(_ context.Context, path string, mode fs.FileMode, r io.Reader) error {
	path = l.at(path)
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		os.Remove(part)
	}
	return err
}

func (l local) Create(_ context.Context, path string, mode fs.FileMode, r io.Reader) error {
	f, err := os.OpenFile(l.at(path), os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (l local) MkdirAll(_ context.Context, path string, mode fs.FileMode) error {
	return os.MkdirAll(l.at(path), mode)
}

func (l local) Remove(_ context.Context, path string) error {
	if err := os.Remove(l.at(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
