package crash

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/tests/internal/program"
	"github.com/neosofia/runner/tests/memdir"
)

var runner string // the binary

func TestMain(m *testing.M) {
	os.Exit(func() int {
		defer memdir.Use()() // a process that is killed loses nothing that it wrote
		dir, err := os.MkdirTemp("", "runner-crash")
		if err == nil {
			defer os.RemoveAll(dir)
			runner, err = program.Build(dir, "1.2.3")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// site is one lab, served here, and the state folder of the runners that use it.
type site struct {
	t     *testing.T
	state string
	world string
	lab   *lab.World
	meter *meter
	read  map[string]bool // files of copies that were found to be what they shall
	image string          // the rescue image of the last night
	died  int             // how often a runner was killed or interrupted
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, state: t.TempDir(), meter: &meter{}, read: map[string]bool{}}
	s.world = filepath.Join(s.state, "world")
	w, err := lab.Open(t.Context(), s.world)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	s.lab = w
	addrs, err := w.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.meter.intercept(t, s.world, addrs)
	return s
}

// event is a line of what --json tells.
type event struct {
	Event, Step, Primitive, Text string
	Replayed                     bool
}

// child is a running runner.
type child struct {
	cmd    *exec.Cmd
	out    bytes.Buffer // its standard output
	mu     sync.Mutex
	events []event
	text   strings.Builder // its standard error
	done   chan struct{}
	err    error
}

func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.Command(runner, append(args, "--lab", "--state", s.state)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.state}
	return cmd
}

// start runs a verb; watch is called with each event as it comes.
func (s *site) start(watch func(c *child, e event), args ...string) *child {
	s.t.Helper()
	c := &child{cmd: s.command(append(args, "--json")...), done: make(chan struct{})}
	c.cmd.Stdout = &c.out
	pipe, err := c.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.kill() })
	go func() {
		defer close(c.done)
		for in := bufio.NewScanner(pipe); in.Scan(); {
			var e event
			if json.Unmarshal(in.Bytes(), &e) != nil {
				e = event{Event: "line", Text: in.Text()}
			}
			c.mu.Lock()
			c.events = append(c.events, e)
			c.text.WriteString(in.Text() + "\n")
			c.mu.Unlock()
			if watch != nil {
				watch(c, e)
			}
		}
		c.err = c.cmd.Wait()
	}()
	return c
}

func (c *child) kill() { _ = c.cmd.Process.Kill() } // it may have ended just before

func (c *child) signal(sig syscall.Signal) { _ = c.cmd.Process.Signal(sig) }

// wait returns the exit code; -1 of one that was killed.
func (c *child) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(2 * time.Minute):
		c.signal(syscall.SIGQUIT)
		<-c.done
		t.Fatalf("a runner hangs:\n%s", c.said())
	}
	var exit *exec.ExitError
	if c.err != nil && !errors.As(c.err, &exit) {
		t.Fatal(c.err)
	}
	return c.cmd.ProcessState.ExitCode()
}

func (c *child) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String() + c.out.String()
}

// ask runs a verb to its end and wants an exit code.
func (s *site) ask(code int, args ...string) []byte {
	s.t.Helper()
	cmd := s.command(args...)
	var errText bytes.Buffer
	cmd.Stderr = &errText
	out, err := cmd.Output()
	if got := cmd.ProcessState.ExitCode(); got != code {
		s.t.Fatalf("runner %s: got exit code %d, want %d (%v)\n%s%s", strings.Join(args, " "), got, code, err, errText.Bytes(), out)
	}
	return out
}
