package gauge

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Mode is what RUNNER_BENCH asks for.
type Mode int

// Modes.
const (
	Off Mode = iota
	Smoke
	Full
)

// Begin returns what is asked for, and skips the test when nothing is.
func Begin(t testing.TB) Mode {
	t.Helper()
	switch v := os.Getenv("RUNNER_BENCH"); v {
	case "full":
		return Full
	case "smoke":
		return Smoke
	case "":
		t.Skip("set RUNNER_BENCH to smoke or full")
	default:
		t.Fatalf("RUNNER_BENCH is %q; smoke and full are known", v)
	}
	return Off
}

// Size returns the bytes of an input.
func (m Mode) Size(t testing.TB, smoke, full int64) int64 {
	if m != Full {
		return smoke
	}
	return number(t, "RUNNER_BENCH_MIB", full>>20) << 20
}

// Rounds returns how often a comparison is made.
func (m Mode) Rounds(t testing.TB) int {
	if m != Full {
		return 1
	}
	return int(number(t, "RUNNER_BENCH_ROUNDS", 5))
}

func number(t testing.TB, name string, otherwise int64) int64 {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q; want a number above zero", name, v)
	}
	return n
}

// packages say where the peers come from.
var packages = map[string]string{"sshd": "openssh-server", "ssh-keygen": "openssh-client", "sftp": "openssh-client", "age": "age",
	"zstd": "zstd", "openssl": "openssl", "rclone": "rclone", "restic": "restic", "cp": "coreutils", "sync": "coreutils"}

// Find returns the path of a peer, in the folders of root too.
func Find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + program)
}

// Need skips the test where a peer is missing, with the package that has it. In
// CI it fails.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := Find(p); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing: install %s", p, packages[p])
		}
		t.Skipf("install %s to compare with %s", packages[p], p)
	}
}

// Cost is what a piece of work took.
type Cost struct {
	CPU  time.Duration // user and system
	Wall time.Duration
	Peak int64 // resident bytes of the largest process
}

func (c Cost) String() string {
	return fmt.Sprintf("%.2f/%.2f s", c.CPU.Seconds(), c.Wall.Seconds())
}

// Plus adds work that was done one after the other.
func (c Cost) Plus(o Cost) Cost {
	return Cost{c.CPU + o.CPU, c.Wall + o.Wall, max(c.Peak, o.Peak)}
}

// Run runs a command to its end. Its peak is at least this process's own: the
// kernel counts what a child shared with its parent before it became itself.
func Run(t testing.TB, cmd *exec.Cmd) Cost {
	t.Helper()
	var said bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &said
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &said
	}
	start := time.Now()
	err := cmd.Run()
	c := Cost{Wall: time.Since(start)}
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, said.Bytes())
	}
	c.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.Peak = u.Maxrss << 10
	}
	return c
}

// Tools runs programs one after the other.
func Tools(t testing.TB, lines ...[]string) (all Cost) {
	t.Helper()
	for _, l := range lines {
		path, err := Find(l[0])
		if err != nil {
			t.Fatal(err)
		}
		all = all.Plus(Run(t, exec.CommandContext(t.Context(), path, l[1:]...)))
	}
	return all
}

// Used is the processor time that this process has used.
func Used(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Self is what a piece of work took in this process.
func Self(t testing.TB, work func()) Cost {
	t.Helper()
	used, began := Used(t), time.Now()
	work()
	return Cost{CPU: Used(t) - used, Wall: time.Since(began)}
}

// Median of an even number is the higher of the two.
func Median[T any, V cmp.Ordered](list []T, of func(T) V) V {
	var v []V
	for _, x := range list {
		v = append(v, of(x))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// Size counts the bytes of the files below a folder.
func Size(t testing.TB, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
