package logs

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

// place is a folder with logs.
type place struct {
	t   *testing.T
	dir string
	pos logbatch.Position
	now time.Time
}

func newPlace(t *testing.T) *place {
	return &place{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)}
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) path(name string) string { return filepath.Join(p.dir, name) }

// write replaces what a file holds, and leaves its inode.
func (p *place) write(name, text string) {
	p.t.Helper()
	p.must(os.WriteFile(p.path(name), []byte(text), 0o600))
	p.now = p.now.Add(time.Second)
	p.must(os.Chtimes(p.path(name), p.now, p.now))
}

func (p *place) add(name, text string) {
	p.t.Helper()
	raw, err := os.ReadFile(p.path(name))
	if !os.IsNotExist(err) {
		p.must(err)
	}
	p.write(name, string(raw)+text)
}

func (p *place) move(a, b string) { p.t.Helper(); p.must(os.Rename(p.path(a), p.path(b))) }

// wants ships, and holds what came of each log, and how many gaps, against what is right.
func (p *place) wants(patterns string, gaps int, want map[string]string) *Collected {
	p.t.Helper()
	var all []string
	for _, pattern := range strings.Fields(patterns) {
		all = append(all, p.path(pattern))
	}
	got, c := ship(p.t, &p.pos, 1<<20, all...)
	if len(c.Gaps) != gaps {
		p.t.Errorf("gaps: got %+v, want %d", c.Gaps, gaps)
	}
	for name, text := range want {
		if got[p.path(name)] != text {
			p.t.Errorf("%s: got %.200q, want %.200q", name, got[p.path(name)], text)
		}
	}
	if len(got) != len(want) {
		p.t.Errorf("got %d logs, want %d", len(got), len(want))
	}
	return c
}

func packGzip(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFilesAreKnownByWhatTheyHold(t *testing.T) {
	banner := strings.Repeat("# the same first lines of all\n", 70)
	none := map[string]string{}
	for name, play := range map[string]func(*place){
		"an editor replaces the file": func(p *place) {
			p.write("a.log", "one\n")
			p.wants("a.log", 0, map[string]string{"a.log": "one\n"})
			p.write("a.new", "one\ntwo\n")
			p.move("a.new", "a.log")
			p.wants("a.log", 0, map[string]string{"a.log": "two\n"})
		},
		"two logs begin alike": func(p *place) {
			p.write("a.log", banner)
			p.write("b.log", banner)
			p.wants("*.log", 0, map[string]string{"a.log": banner, "b.log": banner})
			p.add("b.log", "b\n")
			p.move("a.log", "a.log.1")
			p.write("a.log", banner+"a\n")
			p.wants("*.log", 0, map[string]string{"a.log": banner + "a\n", "b.log": "b\n"})
		},
		"a short file grows": func(p *place) {
			for n := range 40 {
				line := fmt.Sprintf("line %d of a file that is short at first\n", n)
				p.add("a.log", line)
				p.wants("a.log", 0, map[string]string{"a.log": line})
			}
		},
		"an empty file gets its first line under another name": func(p *place) {
			p.write("a.log", "")
			p.wants("a.log", 0, none)
			p.move("a.log", "a.log.1")
			p.write("a.log", "")
			p.add("a.log.1", "late\n")
			p.wants("a.log", 0, map[string]string{"a.log": "late\n"})
		},
		"truncated, and written further than before": func(p *place) {
			p.write("a.log", "one\n")
			p.wants("a.log", 0, map[string]string{"a.log": "one\n"})
			p.write("a.log", "another\nand more\n")
			p.wants("a.log", 1, map[string]string{"a.log": "another\nand more\n"})
			p.wants("a.log", 0, none)
		},
		"a name that goes on is another log": func(p *place) {
			p.write("a.log", "one\n")
			p.write("a.log-audit", "audit\n")
			p.write("a.log.1", "zero\n")
			p.must(os.Chtimes(p.path("a.log.1"), time.Unix(1, 0), time.Unix(1, 0)))
			p.wants("a.log", 0, map[string]string{"a.log": "zero\none\n"})
			p.add("a.log-audit", "more\n")
			p.wants("a.log a.log-audit", 0, map[string]string{"a.log-audit": "audit\nmore\n"})
		},
		"a writer leaves a hole": func(p *place) {
			p.write("a.log", "one\n")
			p.wants("a.log", 0, map[string]string{"a.log": "one\n"})
			p.write("a.log.1", "one\n")
			p.write("a.log", strings.Repeat("\x00", 300_000)+"two\n")
			c := p.wants("a.log", 0, map[string]string{"a.log": "two\n"})
			if len(c.Parts) != 1 || c.Parts[0].From != 300_000 {
				p.t.Errorf("got %+v", c.Parts)
			}
			p.wants("a.log", 0, none)
		},
		"the clock goes back": func(p *place) {
			p.write("a.log", "one\n")
			p.wants("a.log", 0, map[string]string{"a.log": "one\n"})
			p.add("a.log", "two\n")
			p.move("a.log", "a.log.1")
			p.now = p.now.Add(-48 * time.Hour)
			p.write("a.log", "three\n")
			p.wants("a.log", 0, map[string]string{"a.log": "two\nthree\n"})
		},
		"a hard link": func(p *place) {
			p.write("a.log", "one\n")
			p.must(os.Link(p.path("a.log"), p.path("a.log.1")))
			p.wants("a.log", 0, map[string]string{"a.log": "one\n"})
			p.add("a.log", "two\n")
			p.wants("a.log", 0, map[string]string{"a.log": "two\n"})
		},
		"a link means the file of today": func(p *place) {
			p.write("app-2026-11-27.log", "one\n")
			p.must(os.Symlink("app-2026-11-27.log", p.path("current")))
			p.wants("current", 0, map[string]string{"current": "one\n"})
			p.add("app-2026-11-27.log", "two\n")
			p.write("app-2026-11-28.log", "three\n")
			p.must(os.Remove(p.path("current")))
			p.must(os.Symlink("app-2026-11-28.log", p.path("current")))
			p.wants("current", 0, map[string]string{"current": "two\nthree\n"})
		},
		"a link and what it means fit": func(p *place) {
			p.write("app-1.log", "one\n")
			p.must(os.Symlink("app-1.log", p.path("last.log")))
			p.wants("*.log", 0, map[string]string{"app-1.log": "one\n"})
		},
		"a name that no rule knows, copied and packed": func(p *place) {
			text := strings.Repeat("lines of a log that is long enough to be known by them\n", 20)
			p.write("a.log", text)
			p.write("a.log-notes", "notes\n")
			p.wants("a.log", 0, map[string]string{"a.log": text})
			p.write("a.log.saved-monday.gz", packGzip(p.t, text+"two\n"))
			p.write("a.log", "three\n")
			p.wants("a.log", 0, map[string]string{"a.log": "two\nthree\n"})
			p.wants("a.log", 0, none)
		},
		"days that are removed": func(p *place) {
			p.write("app.2026-11-26.log", "one\n")
			p.write("app.2026-11-27.log", "two\n")
			p.wants("app.*.log", 0, map[string]string{"app.2026-11-26.log": "one\n", "app.2026-11-27.log": "two\n"})
			p.must(os.Remove(p.path("app.2026-11-26.log")))
			p.wants("app.*.log", 0, none)
			p.must(os.Remove(p.path("app.2026-11-27.log"))) // it was the one that is written
			p.write("app.2026-11-28.log", "three\n")
			p.wants("app.*.log", 1, map[string]string{"app.2026-11-28.log": "three\n"})
		},
		"a packed file breaks off": func(p *place) {
			var text strings.Builder
			for n := range 20_000 {
				fmt.Fprintf(&text, "line %d %x\n", n, n*2654435761)
			}
			raw := packGzip(p.t, text.String())
			p.write("a.log", "last\n")
			p.write("a.log.1.gz", raw[:len(raw)/2])
			p.must(os.Chtimes(p.path("a.log.1.gz"), time.Unix(1, 0), time.Unix(1, 0)))
			got, c := ship(p.t, &p.pos, 1<<20, p.path("a.log"))
			taken := got[p.path("a.log")]
			if len(c.Gaps) != 1 || c.Damaged == "" || !strings.HasPrefix(taken, "line 0 ") || !strings.HasSuffix(taken, "last\n") ||
				len(taken) < 1000 {
				p.t.Errorf("got %d bytes, %+v", len(taken), c.Gaps)
			}
			p.wants("a.log", 0, none)
			p.write("a.log.1.gz", raw) // it was being written
			rest, c := ship(p.t, &p.pos, 1<<20, p.path("a.log"))
			if whole := strings.TrimSuffix(taken, "last\n") + rest[p.path("a.log")]; whole != text.String() || len(c.Gaps) > 0 {
				p.t.Errorf("got %d bytes in all, want %d; %+v", len(whole), text.Len(), c.Gaps)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { play(newPlace(t)) })
	}
}

func TestALinkOutOfItsFolderIsNotFollowed(t *testing.T) {
	p := newPlace(t)
	other := t.TempDir()
	p.must(os.WriteFile(filepath.Join(other, "secret"), []byte("secret\n"), 0o600))
	p.must(os.Symlink(filepath.Join(other, "secret"), p.path("a.log")))
	_, err := Files(t.Context(), host.Local("here"), []string{p.path("a.log")}, logbatch.Position{}, 1<<20, memory{})
	if err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("got %v", err)
	}
}

// counted counts how often a file is opened.
type counted struct {
	host.Host
	n int
}

func (c *counted) Open(ctx context.Context, p string, offset int64) (io.ReadCloser, error) {
	c.n++
	return c.Host.Open(ctx, p, offset)
}

// Archives of years are not read again each night, however many there are.
func TestWhatLiesThereUnchangedIsNotReadAgain(t *testing.T) {
	p := newPlace(t)
	const files = maxMarks + 50
	for n := range files {
		p.write(fmt.Sprintf("a.log-%012d", 202601010000+n), fmt.Sprintf("line %d\n", n))
	}
	p.write("a.log", "last\n")
	got, _ := ship(t, &p.pos, 1<<20, p.path("a.log"))
	if n := strings.Count(got[p.path("a.log")], "\n"); n != files+1 {
		t.Fatalf("got %d lines, want %d", n, files+1)
	}
	if spot := p.pos.Files[p.path("a.log")]; len(spot.Marks) > maxMarks || spot.Old == 0 {
		t.Errorf("%d marks are kept", len(spot.Marks))
	}
	c := &counted{Host: host.Local("here")}
	for n := range 2 {
		got, err := Files(t.Context(), c, []string{p.path("a.log")}, p.pos, 1<<20, memory{})
		if err != nil || len(got.Parts) > 0 || len(got.Gaps) > 0 {
			t.Fatalf("got %+v, %v", got, err)
		}
		if c.n > 3 {
			t.Errorf("%d files are opened again in batch %d", c.n, n)
		}
		c.n, p.pos = 0, got.After
	}
	p.move("a.log", "a.log-209901010000")
	p.write("a.log", "new\n")
	p.wants("a.log", 0, map[string]string{"a.log": "new\n"})
}

// A limit ends at the end of a line.
func TestALimitPartsNoLine(t *testing.T) {
	p := newPlace(t)
	p.write("a.log", strings.Repeat("a line that is as long as such lines are\n", 60_000))
	for range 3 {
		got, _ := ship(t, &p.pos, 1, p.path("a.log"))
		if text := got[p.path("a.log")]; text == "" || !strings.HasSuffix(text, "\n") || !strings.HasPrefix(text, "a line") {
			t.Errorf("got %.40q … %q", text, text[max(0, len(text)-20):])
		}
	}
}
