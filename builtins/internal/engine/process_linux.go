package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	self    = "/proc/self/exe" // what runs, even when its file was replaced meanwhile
	nobody  = 65534
	ceiling = 80 << 20 // bytes that the collector aims to stay below
)

// pair makes a socket with two ends: a connection here, and the child's file.
func pair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "engine"), os.NewFile(uintptr(fds[1]), "runner")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return conn, theirs, nil
}

// opened is the path of a program that was opened: who the child will be may not look
// into the program's folder.
func opened(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// keepApart has the descriptors that this process itself was started with, by a shell or
// by systemd, end at the child: Go opens none that would not.
func keepApart() error {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range list {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= int(os.Stderr.Fd()) {
			continue
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil && !errors.Is(err, unix.EBADF) {
			return err
		}
	}
	return nil
}

// confine takes rights from a process that is about to start.
func confine(cmd *exec.Cmd, local bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 && !local {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
}

// Main is the whole life of a child: what the verb calls.
func Main(open Open) error {
	conn, err := net.FileConn(os.Stdin)
	if err != nil {
		return fmt.Errorf("this is for runner itself, not for people: %w", err)
	}
	// A library that prints must not speak into the socket.
	if err := unix.Dup3(int(os.Stderr.Fd()), int(os.Stdin.Fd()), 0); err != nil {
		return err
	}
	debug.SetMemoryLimit(ceiling)
	for _, err := range []error{
		noNewPrivileges(),
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
	} {
		if err != nil {
			return fmt.Errorf("give up rights: %w", err)
		}
	}
	return Serve(conn, bound(open))
}

// noNewPrivileges holds for each thread by itself. Where the program is linked with cgo
// (tests are, the program that ships is not), the runtime reaches this thread alone.
func noNewPrivileges() error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	switch errno {
	case 0:
		return nil
	case syscall.ENOTSUP:
		return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	return errno
}

// bound takes the right to write files from a child whose store is elsewhere, once its
// library has been set up.
func bound(open Open) Open {
	return func(ctx context.Context, cfg Config, keep Keep) (Engine, error) {
		e, err := open(ctx, cfg, keep)
		if err == nil && !cfg.Local {
			err = unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{})
		}
		return e, err
	}
}
