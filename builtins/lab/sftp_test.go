package lab_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/neosofia/runner/builtins/lab"
)

func fingerprint(t *testing.T, w *lab.World) string {
	t.Helper()
	raw, err := w.Dial(t.Context(), "tcp", lab.ProxmoxAddr)
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	defer c.Close()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(c.ConnectionState().PeerCertificates[0].Raw)
	return strings.ToUpper(strings.ReplaceAll(fmt.Sprintf("% x", sum), " ", ":"))
}

// connect opens an sftp session with the host key checked.
func connect(t *testing.T, w *lab.World, addr, user, secret string) (*sftp.Client, error) {
	t.Helper()
	signer, err := ssh.ParsePrivateKey(lab.Secrets()[secret])
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(addr, ":")
	want, _, _, _, err := ssh.ParseAuthorizedKey([]byte(lab.HostKeys()[host]))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := w.Dial(t.Context(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn, channels, reqs, err := ssh.NewClientConn(raw, addr, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(want),
	})
	if err != nil {
		raw.Close()
		return nil, err
	}
	client := ssh.NewClient(conn, channels, reqs)
	t.Cleanup(func() { client.Close() })
	return sftp.NewClient(client)
}

func offsite(t *testing.T, w *lab.World) *sftp.Client {
	t.Helper()
	c, err := connect(t, w, lab.OffsiteAddr, "runner", "offsite-ssh-key")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(c *sftp.Client, name string, data []byte) error {
	f, err := c.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.ReadFrom(bytes.NewReader(data)); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

func fetch(c *sftp.Client, name string) ([]byte, error) {
	f, err := c.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func TestOffsite(t *testing.T) {
	w, _ := world(t)
	c := offsite(t, w)
	for _, ext := range []string{"fsync@openssh.com", "posix-rename@openssh.com", "statvfs@openssh.com"} {
		if _, ok := c.HasExtension(ext); !ok {
			t.Errorf("extension %s: not offered", ext)
		}
	}
	data := bytes.Repeat([]byte("copy "), 200_000)
	if err := put(c, "a.tmp", data); err != nil {
		t.Fatal(err)
	}
	if err := put(c, "b", []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := c.Rename("a.tmp", "b"); err == nil {
		t.Error("rename onto a file: got no error, want OpenSSH's refusal")
	}
	if err := c.PosixRename("a.tmp", "b"); err != nil {
		t.Fatal(err)
	}
	got, err := fetch(c, "/b")
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("read back: got %d bytes, %v, want %d", len(got), err, len(data))
	}
	st, err := c.StatVFS("/")
	if err != nil || st.FreeSpace() == 0 {
		t.Errorf("statvfs: got %+v, %v", st, err)
	}
	if err := c.Chmod("b", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Mkdir("dir"); err != nil {
		t.Fatal(err)
	}
	infos, err := c.ReadDir("/")
	if err != nil || len(infos) != 2 || infos[0].Name() != "b" || infos[0].Size() != int64(len(data)) || infos[0].Mode().Perm() != 0o600 {
		t.Errorf("list: got %v, %v, want b and dir", infos, err)
	}
	if _, err := c.Stat("nothing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat of nothing: got %v, want not exist", err)
	}
	if err := c.Remove("b"); err != nil {
		t.Error(err)
	}
}

func TestNoWayOut(t *testing.T) {
	w, _ := world(t)
	c := offsite(t, w)
	for _, to := range []string{"/etc/passwd", "../../../etc/passwd"} {
		if err := c.Symlink(to, "link"); err != nil {
			t.Fatal(err)
		}
		if data, err := fetch(c, "link"); err == nil {
			t.Errorf("a link to %s was followed: got %q", to, data)
		}
		if err := c.Remove("link"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := fetch(c, "/../../../../etc/passwd"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a path with dots: got %v, want not exist", err)
	}
}

func TestNodeFiles(t *testing.T) {
	w, p := world(t)
	if _, exit := p.task("POST", "/nodes/pve1/vzdump", backup(900)); exit != "OK" {
		t.Fatal(exit)
	}
	c, err := connect(t, w, lab.NodeAddr, "root", "node-ssh-key")
	if err != nil {
		t.Fatal(err)
	}
	infos, err := c.ReadDir("/srv/backup/dump")
	if err != nil || len(infos) != 2 {
		t.Errorf("dump folder: got %v, %v, want an archive and its log", infos, err)
	}
}

func TestLogins(t *testing.T) {
	w, _ := world(t)
	cases := []struct{ name, addr, user, key string }{
		{"the other account's key", lab.OffsiteAddr, "runner", "node-ssh-key"},
		{"another user", lab.OffsiteAddr, "root", "offsite-ssh-key"},
	}
	for _, c := range cases {
		if _, err := connect(t, w, c.addr, c.user, c.key); err == nil {
			t.Errorf("%s: got in, want a refusal", c.name)
		}
	}
	if _, err := w.Dial(t.Context(), "tcp", "other.lab:22"); err == nil {
		t.Error("dial of an unknown host: got no error")
	} else if dns := new(net.DNSError); !errors.As(err, &dns) {
		t.Errorf("dial of an unknown host: got %v, want a DNS error", err)
	}
}

func TestSFTPFaults(t *testing.T) {
	data := bytes.Repeat([]byte{7}, 300_000)
	cases := []struct {
		name string
		f    lab.Fault
		do   func(c *sftp.Client) error
		want string // in the error; "" for none
		size int64  // of the file on the server; -1: do not look
	}{
		{"a full disk", lab.Fault{On: "sftp offsite.lab put", Do: "enospc 100000"}, func(c *sftp.Client) error { return put(c, "new", data) },
			"no space left", -1},
		{"a connection that ends in the middle", lab.Fault{On: "sftp offsite.lab put", Do: "cut 100000"},
			func(c *sftp.Client) error { return put(c, "new", data) }, "connection lost", -1},
		{"bytes that are lost without a word", lab.Fault{On: "sftp * put", Do: "truncate 1000"},
			func(c *sftp.Client) error { return put(c, "new", data) }, "", 1000},
		{"writing denied", lab.Fault{On: "sftp offsite.lab put", Do: "deny"}, func(c *sftp.Client) error { return put(c, "new", data) },
			"permission denied", -1},
		{"reading cut short", lab.Fault{On: "sftp offsite.lab get", Do: "truncate 2"}, func(c *sftp.Client) error {
			got, err := fetch(c, "old")
			if err == nil && string(got) != "ol" {
				return fmt.Errorf("read %q, want the first 2 bytes", got)
			}
			return err
		}, "", -1},
		{"fsync fails", lab.Fault{On: "sftp offsite.lab fsync", Do: "deny"}, func(c *sftp.Client) error { return put(c, "new", data) },
			"permission denied", -1},
		{"append-only, a new file", lab.Fault{On: "sftp offsite.lab *", Do: "append-only"},
			func(c *sftp.Client) error { return put(c, "new", data) }, "", 300_000},
		{"append-only, overwriting", lab.Fault{On: "sftp offsite.lab *", Do: "append-only"},
			func(c *sftp.Client) error { return put(c, "old", data) }, "permission denied", -1},
		{"append-only, removing", lab.Fault{On: "sftp offsite.lab *", Do: "append-only"}, func(c *sftp.Client) error { return c.Remove("old") },
			"permission denied", -1},
		{"append-only, renaming over", lab.Fault{On: "sftp offsite.lab *", Do: "append-only"},
			func(c *sftp.Client) error { return c.PosixRename("old", "older") }, "permission denied", -1},
		{"append-only, cutting", lab.Fault{On: "sftp offsite.lab *", Do: "append-only"},
			func(c *sftp.Client) error { return c.Truncate("old", 0) }, "permission denied", -1},
	}
	w, _ := world(t)
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := offsite(t, w)
			if err := c.Remove("new"); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if err := put(c, "old", []byte("old")); err != nil {
				t.Fatal(err)
			}
			inject(t, w, tc.f)
			err := tc.do(c)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(strings.ToLower(err.Error()), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			inject(t, w)
			if tc.size >= 0 {
				info, err := c.Stat("new")
				if err != nil || info.Size() != tc.size {
					t.Errorf("size: got %v, %v, want %d", info, err, tc.size)
				}
			}
		})
	}
}

func TestSSHFaults(t *testing.T) {
	w, _ := world(t)
	inject(t, w, lab.Fault{On: "ssh offsite.lab", Do: "new-hostkey", Times: 1})
	if _, err := connect(t, w, lab.OffsiteAddr, "runner", "offsite-ssh-key"); err == nil ||
		!strings.Contains(err.Error(), "host key mismatch") {
		t.Errorf("changed host key: got %v, want a mismatch", err)
	}
	inject(t, w, lab.Fault{On: "ssh offsite.lab", Do: "refuse", Times: 1})
	if _, err := connect(t, w, lab.OffsiteAddr, "runner", "offsite-ssh-key"); err == nil {
		t.Error("refused connection: got in")
	}
	offsite(t, w)
	inject(t, w, lab.Fault{On: "sftp offsite.lab list", Do: "hang"})
	c := offsite(t, w)
	done := make(chan error, 1)
	go func() {
		_, err := c.ReadDir("/")
		done <- err
	}()
	if err := w.Close(); err != nil { // ends what hangs
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("hanging list: got an answer")
	}
}
