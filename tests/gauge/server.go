package gauge

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

const (
	serverSize = "RUNNER_BENCH_SERVER"
	serverDir  = "RUNNER_BENCH_WORLD"
	listening  = "listening on "
)

// StartServer runs a test of this very binary in a process of its own, so that its
// processor time is not counted, until the calling test ends. That test asks
// ServerAsked for the size, and ends with Serving. The address is what it gave there.
func StartServer(t testing.TB, test string, size int) (addr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), serverSize+"="+strconv.Itoa(size), serverDir+"="+t.TempDir())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); _ = cmd.Wait() })
	var said strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if _, addr, ok := strings.Cut(lines.Text(), listening); ok {
			return addr
		}
		fmt.Fprintln(&said, lines.Text())
	}
	t.Fatalf("the server did not start\n%s", said.String())
	return ""
}

// ServerAsked tells the test that is the server its folder and how much it is to
// serve. It skips the test where StartServer did not start it.
func ServerAsked(t testing.TB) (dir string, size int) {
	t.Helper()
	if dir = os.Getenv(serverDir); dir == "" {
		t.Skip("it is a child of the benchmark")
	}
	size, err := strconv.Atoi(os.Getenv(serverSize))
	if err != nil {
		t.Fatal(err)
	}
	return dir, size
}

// Serving says where the server listens, and returns when the benchmark is done.
func Serving(t testing.TB, addr string) {
	t.Helper()
	fmt.Println(listening + addr)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Fatal(err)
	}
}
