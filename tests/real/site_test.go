package real

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/builtins/lab"
)

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
	s.sshd = startSSHD(t, s.dir, "ForceCommand internal-sftp")
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
	for name, v := range map[string][]byte{"pve-token": secrets["pve-token"], "node-ssh-key": secrets["node-ssh-key"],
		"offsite-ssh-key": client} {
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
	c := exec.CommandContext(s.t.Context(), bin, append(args, "-v", "--site", s.path("site.star"), "--state", s.path("state"))...)
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
