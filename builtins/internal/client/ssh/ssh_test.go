package ssh

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
)

func open(t *testing.T) (*lab.World, Config) {
	t.Helper()
	w, err := lab.Open(t.Context(), filepath.Join(t.TempDir(), "world"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, Config{Address: "runner@" + lab.OffsiteAddr, HostKey: lab.HostKeys()["offsite.lab"], Dial: w.Dial,
		Key: func(context.Context) ([]byte, error) { return lab.Secrets()["offsite-ssh-key"], nil }}
}

func TestSessionsAreStrict(t *testing.T) {
	w, good := open(t)
	s, err := Open(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name  string
		edit  func(*Config)
		fault string
		is    func(error) bool
	}{
		{"another host key than the site's", func(c *Config) { c.HostKey = lab.HostKeys()["pve1.lab"] }, "", func(err error) bool {
			var e *HostKeyError
			return errors.As(err, &e) && strings.HasPrefix(e.Seen, "ssh-ed25519 ")
		}},
		{"a host key that changed", func(*Config) {}, "new-hostkey", func(err error) bool { return errors.As(err, new(*HostKeyError)) }},
		{"a key that the account does not know", func(c *Config) {
			c.Key = func(context.Context) ([]byte, error) { return lab.Secrets()["node-ssh-key"], nil }
		}, "", func(err error) bool { return errors.As(err, new(*AuthError)) }},
		{"a private key that is none", func(c *Config) { c.Key = func(context.Context) ([]byte, error) { return []byte("x"), nil } }, "",
			func(err error) bool { return strings.Contains(err.Error(), "read the private key") }},
		{"a host key that is none", func(c *Config) { c.HostKey = "SHA256:abc" }, "",
			func(err error) bool { return strings.Contains(err.Error(), "read the host key") }},
		{"an address without a user", func(c *Config) { c.Address = "offsite.lab" }, "",
			func(err error) bool { return strings.Contains(err.Error(), "want user@host:port") }},
		{"a keyring that is locked", func(c *Config) { c.Key = func(context.Context) ([]byte, error) { return nil, os.ErrPermission } }, "",
			func(err error) bool { return errors.Is(err, os.ErrPermission) }},
		{"a host that refuses", func(*Config) {}, "refuse", func(error) bool { return true }},
	} {
		if err := w.Inject(); err != nil {
			t.Fatal(err)
		}
		if c.fault != "" {
			if err := w.Inject(lab.Fault{On: "ssh offsite.lab", Do: c.fault}); err != nil {
				t.Fatal(err)
			}
		}
		cfg := good
		c.edit(&cfg)
		if _, err := Open(t.Context(), cfg); err == nil || !c.is(err) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestAServerThatSaysNothingHoldsNobodyUp(t *testing.T) {
	w, cfg := open(t)
	within := func(what string, do func()) {
		done := make(chan struct{})
		go func() { do(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s does not end", what)
		}
	}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Inject(lab.Fault{On: "sftp offsite.lab *", Do: "hang"}); err != nil {
		t.Fatal(err)
	}
	pending := make(chan error, 1)
	go func() { _, err := s.ReadDir("/"); pending <- err }()
	within("closing a session with a request on its way", func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-pending; err == nil {
			t.Error("a request without an answer ended well")
		}
	})
	if err := w.Inject(lab.Fault{On: "ssh offsite.lab", Do: "hang"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	within("a handshake that is told to stop", func() {
		if _, err := Open(ctx, cfg); err == nil {
			t.Error("got in")
		}
	})
}

func TestReaderGivesTheRestOfAFile(t *testing.T) {
	_, cfg := open(t)
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("0123456789", 100_000)
	f, err := s.Create("file")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reader(t.Context(), "none", 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: got %v", err)
	}
	r, err := s.Reader(t.Context(), "file", 7)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != text[7:] {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(text)-7)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
