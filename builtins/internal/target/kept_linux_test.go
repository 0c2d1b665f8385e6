package target_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/target"
	. "github.com/neosofia/runner/builtins/internal/target/targettest"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/tests/gauge"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

const nobody = 65534

// keptAccount lets a machine of OpenSSH's serve a folder to an account that is not root, by
// the forced command of its key. It returns a target there and the folder.
func keptAccount(t *testing.T, forced string) (*target.Target, *atomic.Int64, *sshd, string) {
	t.Helper()
	if os.Getenv("RUNNER_REAL") != "1" {
		t.Skip("RUNNER_REAL=1 starts OpenSSH")
	}
	gauge.Need(t, "sshd", "ssh-keygen")
	if os.Geteuid() != 0 {
		t.Skip("run as root: an account of its own is logged in")
	}
	s := startSSHD(t)
	folder := filepath.Join(s.dir, "copies")
	for dir := s.dir; dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(folder, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	pub, err := os.ReadFile(s.key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	line := string(pub)
	if forced != "" {
		line = fmt.Sprintf("restrict,command=%q %s", forced, pub)
	}
	if err := os.WriteFile(s.key+".pub", []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.key+".pub", 0o644); err != nil {
		t.Fatal(err)
	}
	ahead := &atomic.Int64{}
	tgt, err := target.Open(t.Context(), target.Spec{Name: "kept", URL: "sftp://nobody@127.0.0.1:" + s.port + folder, Immutable: true,
		HostKey: s.hostKey, Key: func(context.Context) ([]byte, error) { return os.ReadFile(s.key) }}, target.Env{Now: func() time.Time {
		return time.Now().Add(time.Duration(ahead.Load()))
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tgt.Close() })
	return tgt, ahead, s, folder
}

// kept is the forced command of an account that adds files alone: target's documentation
// has it. Writing to a file is not refused by it: locks does that.
const kept = "internal-sftp -P remove,rmdir,rename,posix-rename,hardlink,symlink,setstat,fsetstat,lsetstat,copy-data"

// locks is what root does on the server each minute, without its condition of age.
func locks(t *testing.T, folder string) {
	t.Helper()
	if out, err := exec.Command("find", folder, "-type", "f", "-perm", "/222", "-exec", "chmod", "a-w", "{}", "+").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestWhatOpenSSHAccountsCanChange(t *testing.T) {
	for _, c := range []struct {
		name, forced string
		locked       bool
		could        string
	}{
		{"as it comes", "", false, "append overwrite replace rename delete"},
		{"without removing and renaming", kept, false, "append"},
		{"with what is complete locked", kept, true, ""},
		{"what is locked, and everything allowed", "", true, "replace rename delete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tgt, clock, _, folder := keptAccount(t, c.forced)
			if c.locked {
				if could, err := target.ProbeImmutable(t.Context(), tgt, ""); err != nil || len(could) == 0 {
					t.Errorf("on the first day, before anything is locked: could %q, error %v", could, err)
				}
				if c.forced == "" { // nothing of it is left
					if err := os.WriteFile(filepath.Join(folder, ".runner-probe-20000101"), []byte("x"), 0o444); err != nil {
						t.Fatal(err)
					}
					if err := os.Chown(filepath.Join(folder, ".runner-probe-20000101"), nobody, nobody); err != nil {
						t.Fatal(err)
					}
				} else { // what was overwritten proves nothing: the next day's does
					clock.Store(clock.Load() + int64(24*time.Hour))
					locks(t, folder)
					if could, err := target.ProbeImmutable(t.Context(), tgt, ""); err != nil || strings.Join(could, " ") != "change" {
						t.Errorf("on the second day: could %q, error %v", could, err)
					}
					clock.Store(clock.Load() + int64(24*time.Hour))
				}
				locks(t, folder)
			}
			could, err := target.ProbeImmutable(t.Context(), tgt, "")
			if err != nil || strings.Join(could, " ") != c.could {
				t.Errorf("could %q, error %v, want %q", could, err, c.could)
			}
		})
	}
}

// Whoever has runner's key, and so everything of its host's, tries whatever SFTP has.
func TestAnOpenSSHAccountThatAddsAloneOutlivesWhoHasItsKey(t *testing.T) {
	tgt, _, s, folder := keptAccount(t, kept)
	src := Source(File{Name: "disk.raw", Data: Bytes(3, 3<<20)})
	o := One(t, src, tgt)
	if o.Err != nil {
		t.Fatal(o.Err)
	}
	locks(t, folder)
	before := files(t, folder)
	if len(before) < 4 {
		t.Fatalf("got %v", before)
	}
	key, err := os.ReadFile(s.key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ssh.Dial("tcp", net.JoinHostPort("127.0.0.1", s.port), &ssh.ClientConfig{User: "nobody",
		Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c, err := sftp.NewClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name := range before {
		path := filepath.Join(folder, name)
		for what, try := range map[string]func() error{
			"remove":        func() error { return c.Remove(path) },
			"rename":        func() error { return c.Rename(path, path+"x") },
			"rename over":   func() error { return c.PosixRename(path, filepath.Join(folder, "x")) },
			"truncate":      func() error { return c.Truncate(path, 0) },
			"open to write": func() error { return write(c, path, os.O_WRONLY) },
			"truncate open": func() error { return write(c, path, os.O_WRONLY|os.O_TRUNC) },
			"append":        func() error { return write(c, path, os.O_WRONLY|os.O_APPEND) },
			"create anew":   func() error { return write(c, path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC) },
			"chmod":         func() error { return c.Chmod(path, 0o777) },
			"link":          func() error { return c.Link(path, path+"y") },
			"symlink":       func() error { return c.Symlink("/etc/passwd", path+"z") },
			"the folder":    func() error { return c.RemoveDirectory(filepath.Dir(path)) },
			"all":           func() error { return c.RemoveAll(folder) },
		} {
			if err := try(); err == nil {
				t.Errorf("%s: %s is possible", name, what)
			}
		}
	}
	if after := files(t, folder); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("got %v, want %v", after, before)
	}
	if v, err := tgt.Verify(t.Context(), o.Copy, ledger.Read, nil, nil); err != nil || v.Level != ledger.Read {
		t.Errorf("the copy: %v, %v", v, err)
	}
}

func write(c *sftp.Client, path string, flags int) error {
	f, err := c.OpenFile(path, flags)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write([]byte("x"))
	return err
}

// files are those below a folder, with what is in them.
func files(t *testing.T, folder string) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		raw, err := io.ReadAll(f)
		rel, _ := filepath.Rel(folder, path)
		out[rel] = fmt.Sprintf("%d %x", len(raw), raw[:min(8, len(raw))])
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}
