package target_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/tests/gauge"
)

// sshd is OpenSSH's server with a key of its own, and a client's key that it takes.
type sshd struct {
	pid     int
	port    string
	dir     string
	hostKey string
	key     string // file
}

func startSSHD(t *testing.T) *sshd {
	t.Helper()
	gauge.Need(t, "ssh-keygen")
	s := &sshd{dir: t.TempDir()}
	s.key = filepath.Join(s.dir, "client")
	for _, k := range []string{"client", "host"} {
		gauge.Tools(t, []string{"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(s.dir, k)})
	}
	pub, err := os.ReadFile(filepath.Join(s.dir, "host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	s.hostKey = strings.Join(strings.Fields(string(pub))[:2], " ")
	s.port = freePort(t)
	for name, text := range map[string]string{
		"known_hosts": fmt.Sprintf("[127.0.0.1]:%s %s\n", s.port, s.hostKey),
		"sshd_config": fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s/host\nPidFile none\nAuthorizedKeysFile "+
			"%s/client.pub\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin "+
			"yes\nSubsystem sftp internal-sftp\n",
			s.port, s.dir, s.dir),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.start(t)
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (s *sshd) start(t *testing.T) {
	t.Helper()
	path, err := gauge.Find("sshd")
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where sshd wants its child to live
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config"))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // it was killed
	})
	s.pid = cmd.Process.Pid
	r := bufio.NewReader(stderr)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("sshd did not start: %s %v", line, err)
		}
		if strings.Contains(line, "Server listening") {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
}

// used is the processor time of the server and of the sessions that have ended.
// It waits until all have.
func (s *sshd) used(t *testing.T) time.Duration {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", s.pid, s.pid))
		if err != nil {
			t.Fatal(err)
		}
		if len(children) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("sessions of sshd go on: %s", children)
		}
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	var ticks int64
	for _, x := range f[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(x, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	const hertz = 100 // USER_HZ of every Linux that Go runs on
	return time.Duration(ticks) * time.Second / hertz
}

// with adds what the server took meanwhile.
func (s *sshd) with(t *testing.T, work func() gauge.Cost) gauge.Cost {
	t.Helper()
	before := s.used(t)
	c := work()
	c.CPU += s.used(t) - before
	return c
}

// batch runs OpenSSH's sftp.
func (s *sshd) batch(t *testing.T, commands string) gauge.Cost {
	t.Helper()
	file := filepath.Join(s.dir, "batch")
	if err := os.WriteFile(file, []byte(commands), 0o600); err != nil {
		t.Fatal(err)
	}
	return gauge.Tools(t, []string{"sftp", "-q", "-c", "aes128-gcm@openssh.com", "-P", s.port, "-i", s.key, "-o",
		"UserKnownHostsFile=" + filepath.Join(s.dir, "known_hosts"),
		"-b", file, "127.0.0.1"})
}

// user is who the tests run as: nobody else can log in to such a server.
func (s *sshd) user() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return os.Getenv("USER")
}
