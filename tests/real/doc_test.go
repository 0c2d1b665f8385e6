// Package real holds the tests against real components: OpenSSH's sftp-server as
// the offsite target, an ext4 file system on a loop device as the USB disk, the
// file keyring, age, zstd, tar and sha256sum as the tools of the worst day, and
// archives that a true Proxmox VE made. The Proxmox API is the lab's.
//
// They need root and RUNNER_REAL=1. With it, a missing component fails them; with
// none, they are skipped and say what to install.
package real

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/builtins/lab"
)

// needs skips or fails a test whose programs are missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	packages := map[string]string{"sshd": "openssh-server", "ssh-keygen": "openssh-client", "age": "age", "age-keygen": "age", "zstd": "zstd",
		"mkfs.ext4": "e2fsprogs", "losetup": "mount", "nft": "nftables", "unshare": "util-linux", "journalctl": "systemd", "systemd-cat": "systemd", "logrotate": "logrotate", "gzip": "gzip", "ip": "iproute2", "sysctl": "procps", "iptables-nft": "iptables", "iptables-save": "iptables", "mount": "mount", "tar": "tar", "sha256sum": "coreutils", "named-checkzone": "bind9-utils", "sed": "sed", "pass": "pass", "keyctl": "keyutils", "gpg": "gnupg", "gpgconf": "gnupg", "gnome-keyring-daemon": "gnome-keyring", "dbus-run-session": "dbus", "dbus-send": "dbus", "bash": "bash", "python3": "python3"}
	must := os.Getenv("RUNNER_REAL") != ""
	if !must {
		t.Skip("set RUNNER_REAL=1, as root, to run against real components")
	}
	if os.Geteuid() != 0 {
		t.Fatal("the real components need root: loop devices and mounts")
	}
	for _, p := range programs {
		if _, err := find(p); err != nil {
			t.Fatalf("%s is missing: apt-get install %s", p, packages[p])
		}
	}
}

func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + program)
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "runner-real-")
	if err != nil {
		return "", err
	}
	built = dir
	bin := filepath.Join(dir, "runner")
	c := exec.Command("go", "build", "-o", bin, "../../cmd/runner")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := c.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return bin, err
})

// built is the folder that TestMain removes.
var built string

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// site is a whole site of real components around the lab's Proxmox VE.
type site struct {
	t         *testing.T
	dir       string
	world     *lab.World
	addrs     map[string]string
	usb       *disk
	offsite   string // folder behind sshd
	sshd      *sshd
	hostKey   string
	recipient string
	bandwidth int // of the USB disk, bytes a second
}

func newSite(t *testing.T) *site {
	t.Helper()
	needs(t, "sshd", "ssh-keygen", "age", "age-keygen", "zstd", "mkfs.ext4", "losetup", "mount", "tar", "sha256sum")
	s := &site{t: t, dir: t.TempDir()}
	var err error
	if s.world, err = lab.Open(t.Context(), filepath.Join(s.dir, "world")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.world.Close() })
	if s.addrs, err = s.world.Serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.usb = newDisk(t, s.dir, "usb", "BACKUP")
	s.usb.mount(s.path("media"))
	s.offsite = s.path("offsite")
	if err := os.Mkdir(s.offsite, 0o700); err != nil {
		t.Fatal(err)
	}
	s.keys()
	s.sshd = startSSHD(t, s.dir)
	out := s.tool("age-keygen", "-o", s.path("recovery.txt"))
	_, s.recipient, _ = strings.Cut(strings.TrimSpace(out), "Public key: ")
	if s.recipient == "" {
		text, _ := os.ReadFile(s.path("recovery.txt"))
		for _, line := range strings.Split(string(text), "\n") {
			if _, r, ok := strings.Cut(line, "public key: "); ok {
				s.recipient = r
			}
		}
	}
	s.write()
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// keys makes the client's and the server's keys, and fills the keyring.
func (s *site) keys() {
	for _, k := range []string{"client", "host"} {
		s.tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", s.path(k))
	}
	pub, err := os.ReadFile(s.path("host.pub"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.hostKey = strings.Join(strings.Fields(string(pub))[:2], " ")
}

// write makes site.star and sets its secrets.
func (s *site) write() {
	s.t.Helper()
	dev, err := builtins.SystemDevice(s.path("media"))
	if err != nil {
		s.t.Fatal(err)
	}
	node := s.addrs[lab.NodeAddr]
	text := fmt.Sprintf(`
keyring(dir = %q, password_file = %q)
proxmox(name = "pve", url = "https://%s", fingerprints = [%q], token_id = %q, token = secret("pve-token"), storage = "backup",
    ssh = {"pve1": "root@%s"}, host_keys = {"pve1": %q}, ssh_key = secret("node-ssh-key"))
target(name = "node", url = "pve://pve/backup", medium = "disk", location = "server room")
target(name = "offsite", url = "sftp://root@%s%s", medium = "disk", location = "Leipzig", offsite = True, host_key = %q, key = secret("offsite-ssh-key"), sealed_to = [%q])
target(name = "usb", url = "file://%s", medium = "usb", location = "safe", offline = True, uuid = %q, serial = %q, due = "7d", grace = "3d", bandwidth = %d)
asset(name = "virtual_machines", rpo = "1d", retention = "28d", keep = 28, copies = 3, media = 2, offsite = 1, offline = 1,
    on = {"node": "opened", "offsite": "read", "usb": "opened"})
unprotected(guest = "scratch", reason = "test", until = "2099-01-01")
accept_gap(item = "git", reason = "test", until = "2099-01-01")
accept_gap(item = "wiki", reason = "test", until = "2099-01-01")
allow(destroy = ["prune"])
`, s.path("keyring"), s.path("password"), s.addrs[lab.ProxmoxAddr], lab.Fingerprint(), lab.TokenID, node, lab.HostKeys()["pve1.lab"],
		s.sshd.addr, s.offsite, s.hostKey, s.recipient, s.path("media"), dev.UUID, dev.Serial, s.bandwidth)
	for name, content := range map[string]string{"site.star": text, "password": "real keyring\n"} {
		if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	client, err := os.ReadFile(s.path("client"))
	if err != nil {
		s.t.Fatal(err)
	}
	secrets := lab.Secrets()
	for name, v := range map[string][]byte{"pve-token": secrets["pve-token"], "node-ssh-key": secrets["node-ssh-key"], "offsite-ssh-key": client} {
		if out, code := s.runner(v, "secret", "set", name); code != 0 {
			s.t.Fatalf("set %s: %s", name, out)
		}
	}
}

func (s *site) command(args ...string) *exec.Cmd {
	bin, err := build()
	if err != nil {
		s.t.Fatal(err)
	}
	c := exec.CommandContext(s.t.Context(), bin, append(args, "--site", s.path("site.star"), "--state", s.path("state"))...)
	c.Env = append(os.Environ(), "XDG_STATE_HOME="+s.dir)
	return c
}

// runner runs the program and returns all that it printed.
func (s *site) runner(stdin []byte, args ...string) (string, int) {
	s.t.Helper()
	c := s.command(args...)
	c.Stdin = bytes.NewReader(stdin)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		s.t.Fatal(err)
	}
	return string(out), c.ProcessState.ExitCode()
}

func (s *site) want(code int, args ...string) string {
	s.t.Helper()
	out, got := s.runner(nil, args...)
	if got != code {
		s.t.Fatalf("runner %s: exit %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	return out
}

func (s *site) tool(name string, args ...string) string {
	s.t.Helper()
	return tool(s.t, name, args...)
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := find(name)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

const nightly = "../../policies/virtual_machines.star" // the other procedures have tests of their own here

// disk is an ext4 file system on a loop device.
type disk struct {
	t     *testing.T
	image string
	loop  string
	at    string
}

func newDisk(t *testing.T, dir, name, label string) *disk {
	t.Helper()
	d := &disk{t: t, image: filepath.Join(dir, name+".img")}
	f, err := os.Create(d.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(256 << 20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	tool(t, "mkfs.ext4", "-q", "-F", "-L", label, d.image)
	d.attach()
	t.Cleanup(d.detach)
	return d
}

func (d *disk) attach() {
	d.t.Helper()
	d.loop = strings.TrimSpace(tool(d.t, "losetup", "-f", "--show", d.image))
}

func (d *disk) mount(at string) {
	d.t.Helper()
	if err := os.MkdirAll(at, 0o700); err != nil {
		d.t.Fatal(err)
	}
	d.at = at
	tool(d.t, "mount", d.loop, at)
}

func (d *disk) unmount() {
	if d.at != "" {
		_ = syscall.Unmount(d.at, syscall.MNT_DETACH) // what a pulled disk leaves
		d.at = ""
	}
}

func (d *disk) detach() {
	d.unmount()
	if d.loop != "" {
		path, err := find("losetup")
		if err == nil {
			_ = exec.Command(path, "-d", d.loop).Run()
		}
		d.loop = ""
	}
}

// pull makes every later request to the file system fail, as a pulled disk does:
// EXT4_IOC_SHUTDOWN.
func (d *disk) pull() {
	d.t.Helper()
	f, err := os.Open(d.at)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	const shutdown, nologflush = 0x8004587d, 2
	flags := uint32(nologflush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		d.t.Fatalf("shut the file system down: %v", errno)
	}
}

// sshd is OpenSSH's server with its own sftp-server.
type sshd struct {
	addr string
	dir  string
	cmd  *exec.Cmd
	t    *testing.T
}

func startSSHD(t *testing.T, dir string) *sshd {
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
	conf := fmt.Sprintf("Port %s\nListenAddress %s\nHostKey %s\nPidFile %s\nAuthorizedKeysFile %s\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\nForceCommand internal-sftp\n",
		port, host, filepath.Join(dir, "host"), filepath.Join(dir, "sshd.pid"), filepath.Join(dir, "client.pub"))
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

func sum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// events starts a run with --json and gives each line of its events to fn until
// it ends.
func (s *site) events(ctx context.Context, fn func(line string), args ...string) int {
	s.t.Helper()
	c := s.command(append(args, "--json")...)
	stderr, err := c.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	scan := bufio.NewScanner(stderr)
	scan.Buffer(make([]byte, 1<<20), 1<<20)
	for scan.Scan() {
		fn(scan.Text())
	}
	_ = c.Wait()
	return c.ProcessState.ExitCode()
}
