package host_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/builtins/lab"
)

// onLab is the lab's node over SSH, and the folder that is its "/".
func onLab(t *testing.T, faults ...lab.Fault) (host.Host, string) {
	t.Helper()
	w, err := lab.Open(t.Context(), filepath.Join(t.TempDir(), "world"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	if err := w.Inject(faults...); err != nil {
		t.Fatal(err)
	}
	h, err := host.Remote(t.Context(), "node", ssh.Config{Address: "root@" + lab.NodeAddr, HostKey: lab.HostKeys()["pve1.lab"], Dial: w.Dial,
		Silence: 400 * time.Millisecond,
		Key:     func(context.Context) ([]byte, error) { return lab.Secrets()["node-ssh-key"], nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h, w.Node().Root
}

func TestAHostThatFallsSilentEndsEachCall(t *testing.T) {
	for op, ask := range map[string]func(ctx context.Context, h host.Host) error{
		"stat":  func(ctx context.Context, h host.Host) error { _, err := h.Stat(ctx, "/"); return err },
		"list":  func(ctx context.Context, h host.Host) error { _, err := h.List(ctx, "/"); return err },
		"put":   func(ctx context.Context, h host.Host) error { return h.Write(ctx, "/f", 0o600, strings.NewReader("x")) },
		"mkdir": func(ctx context.Context, h host.Host) error { return h.MkdirAll(ctx, "/d", 0o700) },
		"remove": func(ctx context.Context, h host.Host) error {
			return errors.Join(h.Write(ctx, "/r", 0o600, strings.NewReader("x")), h.Remove(ctx, "/r"))
		},
		"get": func(ctx context.Context, h host.Host) error {
			_, err := host.ReadFile(ctx, h, "/etc/hostname", 100)
			return err
		},
	} {
		t.Run(op, func(t *testing.T) {
			h, _ := onLab(t, lab.Fault{On: "sftp pve1.lab " + op, Do: "hang"})
			err := ask(t.Context(), h)
			if !errors.As(err, new(*ssh.SilentError)) || !strings.Contains(err.Error(), "the host fell silent") {
				t.Errorf("got %v, want that the host fell silent", err)
			}
		})
	}
}

// each runs a test on this machine and on another one.
func each(t *testing.T, fn func(t *testing.T, h host.Host, dir, real string)) {
	t.Run("local", func(t *testing.T) {
		dir := t.TempDir()
		fn(t, host.Local("here"), dir, dir)
	})
	t.Run("remote", func(t *testing.T) {
		h, root := onLab(t)
		if err := os.Mkdir(filepath.Join(root, "work"), 0o755); err != nil {
			t.Fatal(err)
		}
		fn(t, h, "/work", filepath.Join(root, "work"))
	})
}

func TestProgramsEndWithTheirStatus(t *testing.T) {
	each(t, func(t *testing.T, h host.Host, _, _ string) {
		for program, want := range map[string]int{"true": 0, "false": 1} {
			if r, err := h.Run(t.Context(), host.Command{Args: []string{program}}); err != nil || r.Exit != want {
				t.Errorf("%s: got %d, %v", program, r.Exit, err)
			}
		}
		if _, err := h.Run(t.Context(), host.Command{Args: []string{"no-such-program-at-all"}}); !errors.Is(err, host.ErrNoProgram) {
			t.Errorf("got %v, want no program", err)
		}
		_, err := host.Output(t.Context(), h, "false")
		var exit *host.ExitError
		if !errors.As(err, &exit) || exit.Exit != 1 {
			t.Errorf("got %v", err)
		}
	})
}

func TestFilesAreWrittenWholeOrNotAtAll(t *testing.T) {
	each(t, func(t *testing.T, h host.Host, dir, real string) {
		ctx := t.Context()
		if err := h.MkdirAll(ctx, dir+"/a/b", 0o700); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"one", "two, longer"} {
			if err := h.Write(ctx, dir+"/a/b/f", 0o640, strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(filepath.Join(real, "a/b/f"))
			if err != nil || string(raw) != text {
				t.Errorf("got %q, %v", raw, err)
			}
		}
		broken := io.MultiReader(strings.NewReader("three"), errReader{})
		if err := h.Write(ctx, dir+"/a/b/f", 0o640, broken); err == nil {
			t.Error("a broken source was written")
		}
		if raw, err := host.ReadFile(ctx, h, dir+"/a/b/f", 100); err != nil || string(raw) != "two, longer" {
			t.Errorf("got %q, %v after a broken write", raw, err)
		}
		if _, err := host.ReadFile(ctx, h, dir+"/a/b/f", 5); err == nil {
			t.Error("more than the limit was read")
		}
		list, err := h.List(ctx, dir+"/a/b")
		if err != nil || len(list) != 1 || list[0].Name() != "f" || list[0].Mode().Perm() != 0o640 {
			t.Errorf("got %v, %v", list, err)
		}
		r, err := h.Open(ctx, dir+"/a/b/f", 5)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err := io.ReadAll(r); err != nil || string(raw) != "longer" {
			t.Errorf("got %q, %v from an offset", raw, err)
		}
		r.Close()
		for range 2 {
			if err := h.Remove(ctx, dir+"/a/b/f"); err != nil {
				t.Error(err)
			}
		}
		if _, err := h.Stat(ctx, dir+"/a/b/f"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCreateNeverOverwrites(t *testing.T) {
	each(t, func(t *testing.T, h host.Host, dir, real string) {
		ctx := t.Context()
		if err := h.Create(ctx, dir+"/new", 0o600, strings.NewReader("one")); err != nil {
			t.Fatal(err)
		}
		if err := h.Create(ctx, dir+"/new", 0o600, strings.NewReader("two")); err == nil {
			t.Error("a file that was there was made again")
		}
		raw, err := os.ReadFile(filepath.Join(real, "new"))
		info, serr := os.Stat(filepath.Join(real, "new"))
		if err != nil || serr != nil || string(raw) != "one" || info.Mode().Perm() != 0o600 {
			t.Errorf("got %q, %v, %v, %v", raw, info, err, serr)
		}
	})
}

func TestFilesBelowARoot(t *testing.T) {
	root := t.TempDir()
	h := host.LocalAt("node", root)
	if err := h.Create(t.Context(), "/etc-notes", 0o600, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "etc-notes")); err != nil {
		t.Error(err)
	}
	if _, err := h.Run(t.Context(), host.Command{Args: []string{"true"}}); !errors.Is(err, host.ErrNoProgram) {
		t.Errorf("a program of this machine was run: %v", err)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestWordsMeanNothingToAShell(t *testing.T) {
	h := host.Local("here")
	words := []string{"$HOME", "a b", "it's", "`id`", "*", "\n", `\`, ""}
	r, err := h.Run(t.Context(), host.Command{Args: append([]string{"printf", `%s|`}, words...)})
	if err != nil || string(r.Stdout) != strings.Join(words, "|")+"|" {
		t.Errorf("got %q, %v", r.Stdout, err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	h := host.Local("here")
	if _, err := h.Run(t.Context(), host.Command{Args: []string{"head", "-c", "100000", "/dev/zero"}, Limit: 1000}); !errors.Is(err,
		host.ErrTooMuch) {
		t.Errorf("got %v", err)
	}
	var out bytes.Buffer
	r, err := h.Run(t.Context(), host.Command{Args: []string{"cat"}, Stdin: strings.NewReader("in"), Stdout: &out, Limit: 1})
	if err != nil || out.String() != "in" || r.Stdout != nil {
		t.Errorf("got %q, %q, %v", out.String(), r.Stdout, err)
	}
}

func TestProgramsEndWithTheirContext(t *testing.T) {
	for name, h := range map[string]host.Host{"local": host.Local("here"), "remote": hanging(t)} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		began := time.Now()
		args := []string{"true"}
		if h.Local() {
			args = []string{"sleep", "60"}
		}
		_, err := h.Run(ctx, host.Command{Args: args})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
}

func hanging(t *testing.T) host.Host {
	h, _ := onLab(t, lab.Fault{On: "run pve1.lab true", Do: "hang"})
	return h
}

func TestAKilledProgramIsTold(t *testing.T) {
	_, err := host.Local("here").Run(t.Context(), host.Command{Args: []string{"sh", "-c", "kill -9 $$"}})
	var killed *host.KilledError
	if !errors.As(err, &killed) {
		t.Errorf("local: got %v", err)
	}
	h, _ := onLab(t, lab.Fault{On: "run pve1.lab true", Do: "killed"})
	if _, err := h.Run(t.Context(), host.Command{Args: []string{"true"}}); !errors.As(err, &killed) {
		t.Errorf("remote: got %v", err)
	}
}
