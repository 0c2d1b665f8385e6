package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/failure"
)

var full = failure.Code{Name: "E_FULL", Doc: "for tests"}

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == Verb && os.Args[0] == "nonsense":
		fmt.Println("this is not HTTP")
		_, _ = os.Stdin.WriteString("hello, I am not the engine\n") // the socket
		_, _ = os.Stdin.Read(make([]byte, 1<<20))                   // until it is killed, or the other end goes
	case len(os.Args) > 1 && os.Args[1] == Verb:
		if err := Main(openTest); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, change func(*Parent, *Config)) (*Child, error) {
	t.Helper()
	p, cfg := Parent{System: "target x", Codes: []failure.Code{full}, Silence: 20 * time.Second},
		Config{Login: Login{"test", map[string]string{"token": "s3cret"}}}
	if change != nil {
		change(&p, &cfg)
	}
	c, err := Start(t.Context(), p, cfg)
	if err == nil {
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return c, err
}

func child(t *testing.T, change func(*Parent, *Config)) *Child {
	t.Helper()
	c, err := start(t, change)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func text(t *testing.T, c *Child, name string) string {
	t.Helper()
	r, err := c.Get(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestVerbsCrossTheSeam(t *testing.T) {
	t.Parallel()
	c := child(t, nil)
	if f := c.Facts(); f.Account != "somebody" || f.Sum != "length" {
		t.Errorf("got facts %+v", f)
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			name := fmt.Sprintf("a %d/ü?&=#.age", i)
			if n, err := c.Put(t.Context(), name, 0, int64(len(big)), bytes.NewReader(big)); err != nil || n != int64(len(big)) {
				t.Errorf("put: %d, %v", n, err)
			}
			if text(t, c, name) != string(big) {
				t.Error("other bytes came back")
			}
		})
	}
	all.Wait()
	r, err := c.Get(t.Context(), "a 1/ü?&=#.age", 17, 3)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || string(b) != "123" {
		t.Errorf("range: %q, %v", b, err)
	}
	r.Close()
	if err := c.Rename(t.Context(), "a 1/ü?&=#.age", "b"); err != nil {
		t.Error(err)
	}
	if err := c.Delete(t.Context(), "b"); err != nil {
		t.Error(err)
	}
	if list, err := c.List(t.Context(), "."); err != nil || len(list) != 8 {
		t.Errorf("list: %v, %v", list, err)
	}
	if info, err := c.Stat(t.Context(), "a 2/ü?&=#.age"); err != nil || info.Size != int64(len(big)) || !info.Regular {
		t.Errorf("stat: %+v, %v", info, err)
	}
	if free, total, err := c.Space(t.Context()); free != 1 || total != 2 || err != nil {
		t.Errorf("space: %d %d %v", free, total, err)
	}
	if sum, err := c.Sum(t.Context(), "a 2/ü?&=#.age"); sum != fmt.Sprint(len(big)) || err != nil {
		t.Errorf("sum: %q %v", sum, err)
	}
}

func TestAChildHasNoMoreThanItNeeds(t *testing.T) {
	t.Parallel()
	// Whoever starts runner may leave it descriptors: they are not the child's.
	left, err := syscall.Open("/etc/hosts", syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(left)
	c := child(t, nil)
	got := text(t, c, "self")
	uid, groups := os.Geteuid(), "[]"
	if uid == 0 {
		uid = nobody
	} else {
		own, _ := os.Getgroups()
		groups = fmt.Sprint(own)
	}
	threads := "threads that may gain rights 0, "
	if cgo() {
		threads = "" // the runtime does not reach them all
	}
	for _, want := range []string{fmt.Sprintf("uid %d, groups %s, ", uid, groups),
		"environment [HOME=/nonexistent RCLONE_CONFIG=], folder /, ",
		"args [engine], open files [], ", threads, "writes false"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	if text(t, c, "login") != "s3cret" {
		t.Error("the login did not cross")
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.cmd.Process.Pid))
	if err != nil || bytes.Contains(line, []byte("s3cret")) {
		t.Errorf("got command line %q, %v", line, err)
	}
}

// cgo reports that this program is linked with it.
func cgo() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "CGO_ENABLED" && s.Value == "1" })
}

// Whatever a child does, its call fails with its words, and another one goes on.
func TestAChildMayDoWhatItWants(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want failure.Code
		said []string
	}{
		"exit":  {CodeEngine, []string{"it ended (exit status 3)", "I print on standard output", "and this is why"}},
		"kill":  {CodeEngine, []string{"it was stopped"}},
		"panic": {CodeEngine, []string{"it ended (exit status 2)", "goroutine"}},
		"hang":  {CodeEngine, []string{"it was stopped"}},
		"short": {CodeEngine, []string{"4 bytes were given, it took 3"}},
		"full":  {full, []string{"write full", "no room [2J", "buy some"}},
		"evil":  {CodeEngine, []string{"stop the run"}},
		"print": {failure.Code{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c1 := child(t, func(p *Parent, _ *Config) {
				if name == "hang" {
					p.Silence = 8 * time.Second
				}
			})
			_, err := c1.Put(t.Context(), name, 0, 4, strings.NewReader("data"))
			if failure.CodeOf(err).Name != c.want.Name {
				t.Fatalf("got %v, want %s", err, c.want.Name)
			}
			for _, s := range c.said {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("got %v, want it to say %q", err, s)
				}
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got %v: it tells what opens a URL", err)
			}
			if err != nil && strings.ContainsRune(err.Error(), 0x1b) {
				t.Errorf("got %q: it moves the cursor", err)
			}
			if ended := c1.Ended(); ended != (c.want == CodeEngine && name != "evil") {
				t.Errorf("got ended %t", ended)
			}
		})
	}
}

func TestTheReadersErrorIsTheCallers(t *testing.T) {
	t.Parallel()
	c := child(t, nil)
	source := errors.New("the source broke")
	_, err := c.Put(t.Context(), "a", 0, -1, io.MultiReader(strings.NewReader("some"), reader(func([]byte) (int, error) { return 0, source })))
	if err != source {
		t.Errorf("got %v, want the reader's own error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = c.Put(ctx, "b", 0, -1, reader(func(p []byte) (int, error) { cancel(); return len(p), nil }))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	r, err := c.Get(t.Context(), "breaks", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if string(b) != "half" || failure.CodeOf(err) != full {
		t.Errorf("got %q, %v: a file that breaks off must not look whole", b, err)
	}
	if _, err := c.Put(t.Context(), "c", 0, 1, strings.NewReader("x")); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

type reader func(p []byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

func TestALoginThatChangesIsKeptFirst(t *testing.T) {
	t.Parallel()
	var kept []string
	c := child(t, func(p *Parent, _ *Config) {
		p.Keep = func(l Login) error { kept = append(kept, l.Options["token"]); return nil }
	})
	if _, err := c.Put(t.Context(), "rotate", 0, 1, strings.NewReader("x")); err != nil || len(kept) != 1 || kept[0] != "second" {
		t.Errorf("got %v, %v", kept, err)
	}
	c = child(t, func(p *Parent, _ *Config) { p.Keep = func(Login) error { return errors.New("the keyring is locked") } })
	if _, err := c.Put(t.Context(), "rotate", 0, 1, strings.NewReader("x")); err == nil ||
		!strings.Contains(err.Error(), "the keyring is locked") {
		t.Errorf("got %v, want that it could not be kept", err)
	}
}

func TestWhatCannotBeStartedOrOpened(t *testing.T) {
	t.Parallel()
	_, err := start(t, func(_ *Parent, c *Config) { c.Root = "refused" })
	if failure.CodeOf(err) != full || !strings.Contains(err.Error(), "never") {
		t.Errorf("got %v", err)
	}
	_, err = start(t, func(p *Parent, _ *Config) { p.Program = "/nonexistent/runner-cloud" })
	if failure.CodeOf(err) != CodeEngine {
		t.Errorf("got %v", err)
	}
	_, err = start(t, func(p *Parent, _ *Config) { p.Program = "/bin/true" })
	if failure.CodeOf(err) != CodeEngine || !strings.Contains(err.Error(), "it ended without a word") {
		t.Errorf("got %v", err)
	}
}

func TestNonsenseIsNoAnswer(t *testing.T) {
	t.Parallel()
	link := t.TempDir() + "/nonsense"
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(own, link), os.Chmod(t.TempDir(), 0o755)); err != nil {
		t.Fatal(err)
	}
	_, err = start(t, func(p *Parent, c *Config) { p.Program, c.Local = link, true })
	if failure.CodeOf(err) != CodeEngine || !strings.Contains(err.Error(), "this is not HTTP") {
		t.Errorf("got %v", err)
	}
}

// With the parent, its children end: nobody is left who has a login.
func TestAChildEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	c := child(t, nil)
	if err := c.conn.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.ended:
	case <-time.After(20 * time.Second):
		t.Error("it lives on")
	}
}
