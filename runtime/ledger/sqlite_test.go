package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/neosofia/runner/tests/memdir"
)

// TestMain is also the other process of a test.
func TestMain(m *testing.M) {
	if path := os.Getenv("LEDGER_TEST_APPEND_TO"); path != "" {
		if err := appendMany(path, "child", 40); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	memdir.Main(m)
}

func appendMany(path, run string, n int) error {
	s, err := OpenSQLite(context.Background(), path, true)
	if err != nil {
		return err
	}
	defer s.Close()
	l := New(s)
	for i := range n {
		e, err := NewEntry(StepMark, t0, run, "/0", Mark{Key: fmt.Sprint(i)})
		if err != nil {
			return err
		}
		if _, err := l.Record(context.Background(), e); err != nil {
			return err
		}
	}
	return nil
}

func TestTwoProcessesAndTwoHandlesOnOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), "LEDGER_TEST_APPEND_TO="+path)
	var out bytes.Buffer
	child.Stderr = &out
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	a, b := New(open(t, path)), New(open(t, path))
	for i := range 20 {
		for name, l := range map[string]*Ledger{"a": a, "b": b} {
			record(t, l, mustEntry(t, StepMark, t0, name, "/0", Mark{Key: fmt.Sprint(i)}))
		}
	}
	if err := child.Wait(); err != nil {
		t.Fatalf("the other process: %v\n%s", err, out.String())
	}
	sound(t, a, 80)
	for run, want := range map[string]int{"a": 20, "b": 20, "child": 40} {
		n := 0
		if err := b.Entries(t.Context(), Filter{Run: run}, func(Entry) error { n++; return nil }); err != nil || n != want {
			t.Errorf("got %d entries of %s, %v, want %d", n, run, err, want)
		}
	}
}

func TestReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "ledger.db")
	if _, err := OpenSQLite(t.Context(), path, false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opening what is not there: got %v, want not-exist", err)
	}
	for i := range 3 {
		s, err := OpenSQLite(t.Context(), path, i == 0)
		if err != nil {
			t.Fatal(err)
		}
		l := New(s)
		night(t, l, fmt.Sprint("r", i), t0)
		sound(t, l, int64(7*(i+1)))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path string
		want os.FileMode
	}{{path, 0o600}, {filepath.Dir(path), 0o700}} {
		if fi, err := os.Stat(c.path); err != nil || fi.Mode().Perm() != c.want {
			t.Errorf("%s has mode %v, %v, want %v", c.path, fi.Mode().Perm(), err, c.want)
		}
	}
}

func TestTheDatabaseItselfRefusesToForget(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	night(t, New(s), "r", t0)
	for _, q := range []string{"UPDATE entries SET run = 'x'", "DELETE FROM entries WHERE seq = 1"} {
		if _, err := s.db.Exec(q); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: got %v, want a refusal", q, err)
		}
	}
}

func TestANewerLedgerIsRefused(t *testing.T) {
	for name, edit := range map[string]string{
		"newer tables": "PRAGMA user_version = 7",
		"newer entry":  `INSERT INTO entries VALUES (7, 'x', '', CAST('{"v":7,"type":"x"}' AS BLOB), x'00')`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.db")
			s := open(t, path)
			l := New(s)
			night(t, l, "r", t0)
			other := open(t, path)
			if _, err := other.db.Exec(edit); err != nil {
				t.Fatal(err)
			}
			if _, err := other.db.Exec("UPDATE head SET size = 8"); err != nil {
				t.Fatal(err)
			}
			want := "the ledger " + path + " has format 7, this runner knows 1\nhint: install the runner that wrote it"
			_, err := OpenSQLite(t.Context(), path, true)
			var newer *NewerError
			if !errors.As(err, &newer) || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("open: got %v, want %s", err, want)
			}
			if _, err := l.Record(t.Context(), mustEntry(t, RunBegin, t0, "r2", "", Run{ID: "r2"})); !errors.As(err, &newer) {
				t.Errorf("append to one that was opened before: got %v, want a refusal", err)
			}
		})
	}
}

// next is a layout that might follow this one.
func next() layout {
	return layout{schemaVersion + 1, schema, map[int]string{schemaVersion: "ALTER TABLE facts ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'"}}
}

func TestAMigrationCopiesTheLedgerAsideFirst(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ledger.db")
	s := open(t, path)
	night(t, New(s), "r", t0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	up, err := openLayout(t.Context(), path, true, next())
	if err != nil {
		t.Fatal(err)
	}
	night(t, New(up), "r2", t0)
	sound(t, up, 14)
	var colour string
	if err := up.db.QueryRow("SELECT DISTINCT colour FROM facts").Scan(&colour); err != nil || colour != "red" {
		t.Errorf("got colour %q, %v, want red", colour, err)
	}
	if err := up.Close(); err != nil {
		t.Fatal(err)
	}
	bak := fmt.Sprintf("%s.v%d.bak", path, schemaVersion)
	sound(t, open(t, bak), 7)
	if fi, err := os.Stat(bak); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the copy has mode %v, %v, want 0600", fi.Mode(), err)
	}
	if _, err := OpenSQLite(t.Context(), path, true); !errors.As(err, new(*NewerError)) {
		t.Errorf("the older runner: got %v, want a refusal", err)
	}
	again, err := openLayout(t.Context(), path, true, next())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	var names []string
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if !strings.Contains(f.Name(), "-wal") && !strings.Contains(f.Name(), "-shm") {
			names = append(names, f.Name())
		}
	}
	if want := []string{"ledger.db", filepath.Base(bak)}; !slices.Equal(names, want) {
		t.Errorf("got files %q, want %q", names, want)
	}
}

func TestAMigrationThatFailsChangesNothing(t *testing.T) {
	for name, steps := range map[string]map[int]string{"a statement fails": {schemaVersion: "CREATE TABLE x (y); ALTER TABLE nothing ADD COLUMN x"}, "there is no way": {}} {
		path := filepath.Join(t.TempDir(), "ledger.db")
		night(t, New(open(t, path)), "r", t0)
		if _, err := openLayout(t.Context(), path, true, layout{schemaVersion + 1, schema, steps}); err == nil {
			t.Errorf("%s: it was opened", name)
		}
		s := open(t, path)
		sound(t, s, 7)
		if _, err := s.db.Exec("SELECT * FROM x"); err == nil {
			t.Errorf("%s: a part of it was done", name)
		}
	}
}

func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := open(t, path)
	l := New(s)
	night(t, l, "r", t0)
	var pages int
	if err := s.db.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages+2)); err != nil {
		t.Fatal(err)
	}
	big := mustEntry(t, StepMark, t0, "r", "/9", Mark{Key: "k", Value: strings.Repeat("x", 1<<16)})
	_, err := l.Record(t.Context(), big)
	if err == nil || !strings.Contains(err.Error(), "append to ledger "+path) ||
		!strings.Contains(err.Error(), "hint: free space under "+filepath.Dir(path)) {
		t.Fatalf("got %v, want the file and how to get on", err)
	}
	if _, again := l.Record(t.Context(), mustEntry(t, StepMark, t0, "r", "/10", Mark{})); again == nil || again.Error() != err.Error() {
		t.Errorf("after that: got %v, want the same refusal", again)
	}
	sound(t, open(t, path), 7)
	if _, err := s.db.Exec("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	record(t, New(s), big)
	sound(t, s, 8)
}

func TestADamagedFile(t *testing.T) {
	for _, c := range []struct {
		name string
		from int64 // of each page, the offset from which on it is overwritten
		page int64 // first page
	}{{"garbage over the beginning", 0, 0}, {"garbage over every page but the first", 4096, 1}} {
		path := filepath.Join(t.TempDir(), "ledger.db")
		s := open(t, path)
		night(t, New(s), "r", t0)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := c.from; i < int64(len(raw)); i++ {
			raw[i] = 0xa5
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err = OpenSQLite(t.Context(), path, true)
		if err == nil {
			_, err = Verify(t.Context(), s, nil)
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "keep it aside and run runner ledger rebuild") {
			t.Errorf("%s: got %v, want the file and how to get on", c.name, err)
		}
	}
}
