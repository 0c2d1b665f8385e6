package medium

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

var monday = time.Date(2026, 1, 5, 2, 0, 0, 0, time.UTC)

func env() target.Env {
	return target.Env{Now: func() time.Time { return monday },
		Device: func(string) (ledger.Device, error) { return ledger.Device{ID: "disk:1"}, nil }}
}

// stick is a folder with copies of a kind that this program does not know, a day apart;
// it returns their folders.
func stick(t *testing.T, items ...string) (place string, folders []string) {
	t.Helper()
	place = t.TempDir()
	to, err := target.OpenPath(t.Context(), place, env(), target.Access{})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	for i, item := range items {
		text := []byte("what is in " + item)
		a := ledger.Artifact{ID: ledger.ArtifactID("r1", string(rune('a'+i))), Kind: "notes", Asset: "n", Item: item, Run: "r1",
			Created: monday.AddDate(0, 0, i), Files: []ledger.File{{Name: "note.txt", Size: int64(len(text))}}, Bytes: int64(len(text))}
		out := target.Copy(t.Context(), target.Source{Artifact: a, Open: func(_ context.Context, _ string, at int64) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(text[at:])), nil
		}}, []*target.Target{to})
		if out[0].Err != nil {
			t.Fatal(out[0].Err)
		}
		folders = append(folders, filepath.Join(place, out[0].Copy.Ref))
	}
	return place, folders
}

func open(t *testing.T, place string) *Medium {
	t.Helper()
	m, err := Open(t.Context(), place, Options{Env: env()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// spoil changes a byte of a file.
func spoil(t *testing.T, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err == nil {
		raw[0] ^= 1
		err = errors.Join(os.Chmod(file, 0o600), os.WriteFile(file, raw, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func id(n int) string { return ledger.ArtifactID("r1", string(rune('a'+n))) }

func ids(list []Entry) (out []string) {
	for _, e := range list {
		out = append(out, string(rune('a'+slices.IndexFunc([]int{0, 1, 2, 3, 4, 5}, func(n int) bool { return id(n) == e.ID }))))
	}
	return out
}

func TestCopiesArePickedByItemAndNewestFirst(t *testing.T) {
	t.Parallel()
	place, _ := stick(t, "erp", "mail", "erp", "web", "mail") // a to e, a day apart
	m := open(t, place)
	for _, c := range []struct {
		name, item, id string
		newest         bool
		want           []string
	}{
		{"all", "", "", false, []string{"c", "a", "e", "b", "d"}},
		{"the newest of each", "", "", true, []string{"c", "e", "d"}},
		{"of one item", "mail", "", false, []string{"e", "b"}},
		{"the newest of one item", "mail", "", true, []string{"e"}},
		{"by id, though it is not the newest", "", id(1), true, []string{"b"}},
		{"an id of another item", "erp", id(1), false, nil},
		{"no such item", "er", "", true, nil},
	} {
		list, err := m.Pick(c.item, c.id, c.newest)
		if !slices.Equal(ids(list), c.want) || (err != nil) != (c.want == nil) {
			t.Errorf("%s: got %v, %v, want %v", c.name, ids(list), err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), "\nhint: runner recover --from "+place) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestAnOlderCopyIsFoundWhereTheNewestIsDamaged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil []int // copies: 0 is the oldest
		want  string
		fails string
	}{
		{"nothing is damaged", nil, "", ErrNotDamaged.Error()},
		{"another is damaged", []int{0}, "", ErrNotDamaged.Error()},
		{"the newest is damaged", []int{2}, "b", ""},
		{"the newest two are", []int{1, 2}, "a", ""},
		{"all are", []int{0, 1, 2}, "", "none of the 2 older copies of erp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			place, folders := stick(t, "erp", "erp", "erp", "mail")
			for _, n := range c.spoil {
				spoil(t, filepath.Join(folders[n], "note.txt"))
			}
			m := open(t, place)
			list, err := m.Pick("erp", "", true)
			if err != nil {
				t.Fatal(err)
			}
			e, err := m.Sound(t.Context(), list[0])
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("got %v, %v, want %s", e.ID, err, c.fails)
				}
				return
			}
			if err != nil || !slices.Equal(ids([]Entry{e}), []string{c.want}) {
				t.Errorf("got %v, %v, want %s", e.ID, err, c.want)
			}
		})
	}
	place, folders := stick(t, "erp", "mail")
	spoil(t, filepath.Join(folders[0], "note.txt"))
	m := open(t, place)
	list, _ := m.Pick("erp", "", true)
	if _, err := m.Sound(t.Context(), list[0]); err == nil || !strings.Contains(err.Error(), "no older copy of erp") {
		t.Errorf("got %v", err)
	}
	place, folders = stick(t, "erp", "erp", "erp")
	spoil(t, filepath.Join(folders[1], "note.txt"))
	m = open(t, place)
	list, _ = m.Pick("", id(1), false) // somebody wants the state of that day: a newer one is not it
	if e, err := m.Sound(t.Context(), list[0]); err != nil || e.ID != id(0) {
		t.Errorf("got %v, %v", e.ID, err)
	}
}

func TestWhatComesBackIsWholeOrNotBelieved(t *testing.T) {
	t.Parallel()
	place, folders := stick(t, "erp", "erp")
	spoil(t, filepath.Join(folders[1], "note.txt"))
	m := open(t, place)
	good, bad := filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "x")
	out, err := m.Extract(t.Context(), id(0), good)
	if err != nil || len(out.Paths) != 1 {
		t.Fatalf("got %+v, %v", out, err)
	}
	raw, err := os.ReadFile(out.Paths[0])
	if err != nil || string(raw) != "what is in erp" || !strings.HasPrefix(out.Paths[0], good+"/erp-2026") {
		t.Errorf("got %s with %q, %v", out.Paths[0], raw, err)
	}
	if _, err := m.Extract(t.Context(), id(1), bad); err == nil {
		t.Error("a damaged copy came back as a sound one")
	}
	if _, err := m.Extract(t.Context(), "0123", bad); err == nil || !strings.Contains(err.Error(), "no copy 0123 on "+place) {
		t.Errorf("got %v", err)
	}
}

func TestANewerFolderThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	place, folders := stick(t, "erp", "erp", "erp", "mail")
	for _, n := range []int{0, 2, 3} { // an older one and a newer one of erp, and that of mail
		file := filepath.Join(folders[n], "manifest.json")
		if err := errors.Join(os.Chmod(file, 0o600), os.WriteFile(file, []byte("{"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	m := open(t, place)
	list, err := m.Pick("", "", false)
	if err != nil || !slices.Equal(ids(list), []string{"b"}) || len(m.Bad) != 3 || m.Odd() != 0 {
		t.Fatalf("got %v, %v, bad %v, %d odd", ids(list), err, m.Bad, m.Odd())
	}
	if got := m.Newer(list[0]); len(got) != 1 || filepath.Join(place, got[0]) != folders[2] {
		t.Errorf("got %v, want %s", got, folders[2])
	}
}

func TestNothingIsExtractedOverWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	into := filepath.Join(dir, "a", "b")
	if err := makeInto(into); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(into); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v: only its owner may read what comes back", st, err)
	}
	if err := makeInto(into); err == nil || !strings.Contains(err.Error(), "is there already\nhint: ") {
		t.Errorf("got %v", err)
	}
}
