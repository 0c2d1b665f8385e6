package keyring

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// What is not an item keeps no item from being read, and is reported.
func TestWhatIsNoItemIsTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keyring")
	k := ring(dir, "pw")
	for _, name := range []string{"a", "site/b"} {
		if err := k.Set(name, []byte("value of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	sealed, err := os.ReadFile(path("a"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{".DS_Store": "junk", ".directory": "[Desktop Entry]\n", "empty": "",
		"cut": string(sealed[:len(sealed)/3]), "text": "eyJ.a.b.c.d e"} {
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path("a~"), sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(path("lost+found"), 0o700), syscall.Mkfifo(path("pipe"), 0o600), os.Symlink("nowhere", path("link")),
		os.Truncate(path("text"), 5)); err != nil {
		t.Fatal(err)
	}
	names, err := k.List()
	if err != nil || strings.Join(names, " ") != "a a~ site/b" {
		t.Errorf("got %q, %v", names, err)
	}
	stray, err := k.Stray()
	if err != nil {
		t.Fatal(err)
	}
	var reported []string
	for _, s := range stray {
		reported = append(reported, s.File+": "+s.Why)
	}
	for _, want := range []string{".DS_Store: it does not have the form of an item", "empty: it is empty", "cut: it does not have",
		"lost+found: it is a folder", "pipe: it is not a file", "link: it is a link to nothing", "text: it does not have"} {
		if !slices.ContainsFunc(reported, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("got %q, want %q", reported, want)
		}
	}
	if _, err := k.Get(t.Context(), "a~"); !errors.Is(err, ErrStray) || !strings.Contains(err.Error(), "holds the item a under another name") {
		t.Errorf("got %v", err)
	}
	if got, err := k.Get(t.Context(), "site/b"); err != nil || string(got) != "value of site/b" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Backend: "file", Dir: path("a"), Password: func() (string, error) { return "pw", nil }}).List(); err == nil {
		t.Error("a file is listed as a folder")
	}
}
