package keyring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func ring(dir, password string) *Keyring {
	return New(Config{Backend: "file", Dir: dir, Password: func() (string, error) { return password, nil }})
}

func TestSecretsComeBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keyring")
	k := ring(dir, "pw")
	for name, value := range map[string]string{"pve-token": "a", "site/offsite.key": "line 1\nline 2\n"} {
		if err := k.Set(name, []byte(value)); err != nil {
			t.Fatal(err)
		}
		got, err := ring(dir, "pw").Get(t.Context(), name)
		if err != nil || string(got) != value {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if err := k.Set("pve-token", []byte("b")); err != nil {
		t.Fatal(err)
	}
	if got, err := k.Get(t.Context(), "pve-token"); err != nil || string(got) != "b" {
		t.Errorf("after a change: got %q, %v", got, err)
	}
	if names, err := k.List(); err != nil || strings.Join(names, " ") != "pve-token site/offsite.key" {
		t.Errorf("list: got %q, %v", names, err)
	}
	if err := k.Remove("pve-token"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Get(t.Context(), "pve-token"); !errors.Is(err, ErrNoItem) {
		t.Errorf("after its removal: got %v", err)
	}
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be read by others: %v, %v", p, info.Mode(), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestKeyringFaults(t *testing.T) {
	full := filepath.Join(t.TempDir(), "keyring")
	if err := ring(full, "pw").Set("x", []byte("secret value")); err != nil {
		t.Fatal(err)
	}
	file := func(mode os.FileMode, text string) string {
		p := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		cfg   Config
		is    error
		words []string
	}{
		{"a wrong password", Config{Dir: full, Password: func() (string, error) { return "other", nil }}, ErrLocked,
			[]string{"read secret x", "password is wrong"}},
		{"nobody to ask", Config{Dir: full}, ErrLocked, []string{"no password", "password_credential", "password_file"}},
		{"a password file that others can read", Config{Dir: full, PassFile: file(0o644, "pw")}, ErrLocked,
			[]string{"can be read by others", "chmod 600"}},
		{"a password file that is not there", Config{Dir: full, PassFile: full + ".none"}, ErrLocked, []string{"read its password"}},
		{"a folder that others can read", Config{Dir: open, Password: func() (string, error) { return "pw", nil }}, nil,
			[]string{"can be read by others", "chmod 700"}},
		{"an empty keyring", Config{Dir: filepath.Join(open, "new"), Password: func() (string, error) { return "pw", nil }}, ErrNoItem,
			[]string{"runner secret set x"}},
	} {
		c.cfg.Backend = "file"
		_, err := New(c.cfg).Get(t.Context(), "x")
		if err == nil || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.is)
			continue
		}
		for _, w := range c.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got %v, want %q in it", c.name, err, w)
			}
		}
		if strings.Contains(err.Error(), "secret value") {
			t.Errorf("%s: the error shows the secret", c.name)
		}
	}
}

func TestAPasswordComesFromAFileOrACredential(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keyring")
	if err := ring(dir, "pw").Set("x", []byte("v")); err != nil {
		t.Fatal(err)
	}
	creds := t.TempDir()
	for name, text := range map[string]string{"good": "pw\n", "bad": "other\n"} {
		if err := os.WriteFile(filepath.Join(creds, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", creds)
	for _, c := range []struct {
		name string
		cfg  Config
		ok   bool
	}{
		{"a credential", Config{Credential: "good"}, true},
		{"a credential goes before a file", Config{Credential: "bad", PassFile: filepath.Join(creds, "good")}, false},
		{"a credential that was not given", Config{Credential: "none", PassFile: filepath.Join(creds, "good")}, true},
		{"a file", Config{PassFile: filepath.Join(creds, "good")}, true},
	} {
		c.cfg.Backend, c.cfg.Dir = "file", dir
		if got, err := New(c.cfg).Get(t.Context(), "x"); (err == nil && string(got) == "v") != c.ok {
			t.Errorf("%s: got %q, %v", c.name, got, err)
		}
	}
}

func TestSetNeverReplacesWhatItCannotOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keyring")
	if err := ring(dir, "pw").Set("x", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := ring(dir, "other").Set("x", []byte("w")); !errors.Is(err, ErrLocked) {
		t.Errorf("with another password: got %v", err)
	}
	if got, err := ring(dir, "pw").Get(t.Context(), "x"); err != nil || string(got) != "v" {
		t.Errorf("the first value: got %q, %v", got, err)
	}
	for _, size := range []int{0, maxItem + 1} {
		if err := ring(dir, "pw").Set("y", make([]byte, size)); err == nil {
			t.Errorf("%d bytes were taken", size)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ring(dir, "pw").Get(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("after a stop: got %v", err)
	}
}

// Several first uses at once make one keyring: nobody reads a half-written item.
func TestFirstUsesAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keyring")
	errs := make(chan error)
	for range 8 {
		go func() {
			k := New(Config{Backend: "file", Dir: dir, Password: func() (string, error) { return "p", nil }})
			for _, name := range []string{"one", "two", "three"} {
				if err := k.Set(name, []byte("value of "+name)); err != nil {
					errs <- err
					return
				}
				if v, err := k.Get(t.Context(), name); err != nil || string(v) != "value of "+name {
					errs <- fmt.Errorf("%s: got %q, %v", name, v, err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
