package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/neosofia/runner/runtime/failure"
)

// A lease is an OS lock (flock) on a file named after what is held. It ends with
// its process, whatever happens; it is never judged by its age. Its file tells
// who holds it, for the message of those who wait.

// Holder is the content of a lease's file.
type Holder struct {
	Run  string `json:"run"`
	Host string `json:"host"`
	Boot string `json:"boot"`
	PID  int    `json:"pid"`
}

func (h Holder) String() string {
	return fmt.Sprintf("run %s (pid %d on %s)", h.Run, h.PID, h.Host)
}

// BusyError says that a lease is held by another run.
type BusyError struct {
	Name   string
	Holder Holder
}

func (e *BusyError) Error() string { return fmt.Sprintf("%s is held by %s", e.Name, e.Holder) }

// leases are those of one run. Branches of the run share them.
type leases struct {
	dir  string // "": a run without a state directory, in memory
	self Holder
	mu   sync.Mutex
	held map[string]*lease
}

type lease struct {
	file  *os.File
	users int
}

func leaseFile(dir, name string) string {
	return filepath.Join(dir, "leases", url.PathEscape(name)+".lock")
}

// try takes one lease, or says who holds it.
func (l *leases) try(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if have, ok := l.held[name]; ok {
		have.users++
		return nil
	}
	if l.dir == "" {
		l.held[name] = &lease{users: 1}
		return nil
	}
	path := leaseFile(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make lease %s: %w", name, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("make lease %s: %w", name, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("lock %s: %w", path, err)
		}
		busy := &BusyError{Name: name}
		_ = json.NewDecoder(f).Decode(&busy.Holder) // who it is only words the message
		return busy
	}
	raw, err := json.Marshal(l.self)
	if err == nil {
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt(raw, 0)
		}
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("write lease %s: %w", name, err)
	}
	l.held[name] = &lease{file: f, users: 1}
	return nil
}

func (l *leases) release(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	have := l.held[name]
	if have == nil {
		return
	}
	if have.users--; have.users > 0 {
		return
	}
	delete(l.held, name)
	if have.file != nil {
		have.file.Close()
	}
}

// Hold takes a lease outside of a run, or fails with a *BusyError.
func Hold(state string, self Holder, name string) (release func() error, err error) {
	l := &leases{dir: state, self: self, held: map[string]*lease{}}
	if err := l.try(name); err != nil {
		return nil, err
	}
	return l.held[name].file.Close, nil
}

// hold takes all names, in one order for everybody, and waits for other runs.
func (l *leases) hold(ctx context.Context, s *Step, names []string) (func(), error) {
	names = append([]string(nil), names...)
	sort.Strings(names)
	var got []string
	release := func() {
		for _, n := range got {
			l.release(n)
		}
	}
	for i, n := range names {
		if i > 0 && names[i-1] == n {
			continue
		}
		if err := l.wait(ctx, s, n); err != nil {
			release()
			return nil, err
		}
		got = append(got, n)
	}
	return release, nil
}

func (l *leases) wait(ctx context.Context, s *Step, name string) error {
	reported := false
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := l.try(name)
		var busy *BusyError
		if !errors.As(err, &busy) {
			return err
		}
		if !reported {
			s.run.observe(Event{Kind: EventWait, Step: s.ID, Primitive: s.name, Text: "waiting: " + busy.Error()})
			reported = true
		}
		if err := s.Sleep(ctx, pause); err != nil {
			return &failure.Error{Code: failure.CodeOf(err), Doing: "wait for " + busy.Error(), Cause: err, Said: err.Error()}
		}
	}
}

// Alive reports whether a run holds its lease: its process lives.
func Alive(state, run string) bool {
	f, err := os.Open(leaseFile(state, "run:"+run))
	if err != nil {
		return false
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return true
	}
	return false
}

// AnyAlive returns a run of a state folder whose process lives, or "".
func AnyAlive(state string) string {
	files, err := os.ReadDir(filepath.Join(state, "leases"))
	if err != nil {
		return ""
	}
	for _, f := range files {
		name, err := url.PathUnescape(strings.TrimSuffix(f.Name(), ".lock"))
		if run, ok := strings.CutPrefix(name, "run:"); ok && err == nil && Alive(state, run) {
			return run
		}
	}
	return ""
}
