package real

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// sshd is OpenSSH's server with its own sftp-server.
type sshd struct {
	addr string
	dir  string
	cmd  *exec.Cmd
	t    *testing.T
}

func startSSHD(t *testing.T, dir string, more ...string) *sshd {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sshd{addr: l.Addr().String(), dir: dir, t: t}
	l.Close()
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(s.addr)
	conf := fmt.Sprintf("Port %s\nListenAddress %s\nHostKey %s\nPidFile %s\nAuthorizedKeysFile %s\nPasswordAuthentication "+
		"no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n",
		port, host, filepath.Join(dir, "host"), filepath.Join(dir, "sshd.pid"), filepath.Join(dir, "client.pub"))
	conf += strings.Join(more, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "sshd_config"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *sshd) start() {
	s.t.Helper()
	path, err := find("sshd")
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(path, "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config"))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	r := bufio.NewReader(stderr)
	for { // the event that it listens is a line of its log
		line, err := r.ReadString('\n')
		if err != nil {
			s.t.Fatalf("sshd did not start: %s %v", line, err)
		}
		if strings.Contains(line, "Server listening") {
			break
		}
	}
	go io.Copy(io.Discard, r)
}

// stop ends the server and every session of it.
func (s *sshd) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		_ = exec.Command("pkill", "-KILL", "-f", filepath.Join(s.dir, "sshd_config")).Run()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}
