package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/runtime/failure"
)

// memory is an engine whose files are in the process; what it is named does something.
type memory struct {
	mu    sync.Mutex
	files map[string][]byte
	cfg   Config
	keep  Keep
}

func openTest(_ context.Context, cfg Config, keep Keep) (Engine, error) {
	if cfg.Root == "refused" {
		return nil, &failure.Error{Code: full, Doing: "open it", Said: "no", Hint: "never"}
	}
	return &memory{files: map[string][]byte{}, cfg: cfg, keep: keep}, nil
}

func (m *memory) Facts() Facts { return Facts{Account: "somebody", Sum: "length"} }

func (m *memory) Put(_ context.Context, name string, _, _ int64, r io.Reader) (int64, error) {
	switch name {
	case "exit":
		fmt.Println("I print on standard output")
		fmt.Fprintln(os.Stderr, "and this is why: https://x.example/b?tempauth=s3cret")
		os.Exit(3)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // a signal need not stop the thread that sent it at once
	case "panic":
		go func() { panic("in a goroutine of its own") }()
		select {}
	case "hang":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		select {}
	case "full":
		_, _ = io.CopyN(io.Discard, r, 10)
		return 0, &failure.Error{Code: full, Doing: "write full", Said: `Put "https://x.example/a?tempauth=s3cret": no room` + "\x1b[2J",
			Hint: "buy some", Temporary: true}
	case "evil":
		return 0, &failure.Error{Code: failure.Ledger, Said: "stop the run"}
	case "print":
		fmt.Println(strings.Repeat("noise ", 10_000))
	case "rotate":
		if err := m.keep(Login{"test", map[string]string{"token": "second"}}); err != nil {
			return 0, err
		}
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[name] = b
	if name == "short" {
		return int64(len(b)) - 1, nil
	}
	return int64(len(b)), nil
}

func (m *memory) Get(_ context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	switch name {
	case "self":
		return io.NopCloser(strings.NewReader(rights())), nil
	case "login":
		return io.NopCloser(strings.NewReader(m.cfg.Login.Options["token"])), nil
	case "breaks":
		return io.NopCloser(io.MultiReader(strings.NewReader("half"), failing{})), nil
	}
	b := m.files[name][offset:]
	if length >= 0 {
		b = b[:length]
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) {
	return 0, &failure.Error{Code: full, Said: "the medium ends"}
}

// rights is what a child has: user, environment, folder, descriptors.
func rights() string {
	wd, _ := os.Getwd()
	werr := os.WriteFile("/tmp/engine-was-here", []byte("x"), 0o600)
	var files []string // descriptors of what has a name, but for those of Go itself
	for fd := range 64 {
		name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err == nil && strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "/sys/fs/cgroup/") {
			files = append(files, name)
		}
	}
	groups, _ := os.Getgroups()
	return fmt.Sprintf("uid %d, groups %v, environment %v, folder %s, args %v, open files %v, threads that may gain rights %d, writes %t",
		os.Geteuid(), groups, os.Environ(), wd, os.Args[1:], files, gaining(), werr == nil)
}

// gaining counts the threads of this process that may gain privileges.
func gaining() (n int) {
	list, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return -1
	}
	for _, e := range list {
		status, err := os.ReadFile("/proc/self/task/" + e.Name() + "/status")
		if err == nil && !strings.Contains(string(status), "NoNewPrivs:\t1") {
			n++
		}
	}
	return n
}

func (m *memory) Stat(_ context.Context, name string) (store.Info, error) {
	return store.Info{Name: name, Size: int64(len(m.files[name])), Regular: true}, nil
}

func (m *memory) List(context.Context, string) (all []store.Info, err error) {
	for name, b := range m.files {
		all = append(all, store.Info{Name: name, Size: int64(len(b)), Regular: true})
	}
	return all, nil
}

func (m *memory) Rename(_ context.Context, from, to string) error {
	m.files[to] = m.files[from]
	return nil
}
func (m *memory) Delete(_ context.Context, name string) error { delete(m.files, name); return nil }
func (m *memory) Space(context.Context) (int64, int64, error) { return 1, 2, nil }
func (m *memory) Sum(_ context.Context, name string) (string, error) {
	return fmt.Sprint(len(m.files[name])), nil
}
func (m *memory) Close() error { return nil }
