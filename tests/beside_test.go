package tests

import (
	"bufio"
	"bytes"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// started is a program that runs beside its story.
type started struct {
	cmd  *exec.Cmd
	done chan error
	mu   sync.Mutex
	text bytes.Buffer
}

type startedKey struct{}

func (s *started) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// cmdStart goes on when a line of the program's output matches, so that what
// follows happens while the program is at that point or shortly after.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) >= 3, "start NAME REGEXP PROGRAM ARG...")
	re := regexp.MustCompile(args[1])
	path := args[2]
	if !strings.Contains(path, "/") {
		path = ts.Getenv("BIN") + "/" + path
	}
	s := &started{cmd: exec.Command(path, args[3:]...), done: make(chan error, 1)}
	s.cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "XDG_STATE_HOME", "STATE_DIRECTORY", "TMPDIR"} {
		s.cmd.Env = append(s.cmd.Env, name+"="+ts.Getenv(name))
	}
	r, w := io.Pipe()
	s.cmd.Stdout, s.cmd.Stderr = w, w
	ts.Check(s.cmd.Start())
	ts.Defer(func() { s.cmd.Process.Kill() })
	go func() {
		err := s.cmd.Wait()
		w.Close()
		s.done <- err
	}()
	seen := make(chan bool, 1)
	go s.watch(r, re, seen)
	if !<-seen {
		ts.Fatalf("%s ended, and no line matched %s:\n%s", args[2], args[1], s.output())
	}
	ts.Value(startedKey{}).(map[string]*started)[args[0]] = s
}

func (s *started) watch(r io.Reader, re *regexp.Regexp, seen chan<- bool) {
	found := false
	for in := bufio.NewScanner(r); in.Scan(); {
		s.mu.Lock()
		s.text.Write(append(in.Bytes(), '\n'))
		s.mu.Unlock()
		if !found && re.Match(in.Bytes()) {
			found = true
			seen <- true
		}
	}
	if !found {
		seen <- false
	}
}

func running(ts *testscript.TestScript, name string) *started {
	s := ts.Value(startedKey{}).(map[string]*started)[name]
	if s == nil {
		ts.Fatalf("nothing was started as %s", name)
	}
	return s
}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) == 2, "signal NAME KILL|INT|STOP|CONT")
	sig, ok := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "INT": syscall.SIGINT, "STOP": syscall.SIGSTOP,
		"CONT": syscall.SIGCONT}[args[1]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[1])
	}
	ts.Check(running(ts, args[0]).cmd.Process.Signal(sig))
}

func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) == 2 || len(args) == 3, "ended NAME CODE [REGEXP]")
	s := running(ts, args[0])
	<-s.done
	ts.Logf("%s", s.output())
	if got, w := s.cmd.ProcessState.ExitCode(), number(ts, args[1]); got != w {
		ts.Fatalf("exit code of %s: got %d, want %d\n%s", args[0], got, w, s.output())
	}
	if len(args) == 3 && !regexp.MustCompile("(?m)"+args[2]).MatchString(s.output()) {
		ts.Fatalf("output of %s does not match %s:\n%s", args[0], args[2], s.output())
	}
}
