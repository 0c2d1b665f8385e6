package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

// ship reads what is new, keeps the position as the ledger does, and gives the clear
// text of the batch by log.
func ship(t *testing.T, pos *logbatch.Position, most int64, patterns ...string) (map[string]string, *Collected) {
	t.Helper()
	batch := memory{}
	c, err := Files(t.Context(), host.Local("here"), patterns, *pos, most, batch)
	if err != nil {
		t.Fatal(err)
	}
	x := logbatch.Index{Source: "x", Kind: logbatch.Lines, Seq: 1, After: c.After}
	raw, err := x.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := logbatch.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	*pos = back.After
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out := map[string]string{}
	for _, p := range c.Parts {
		clear, err := z.DecodeAll(batch[p.File].Bytes(), nil)
		if err != nil {
			t.Fatal(err)
		}
		out[string(p.Log)] += string(clear)
	}
	return out, c
}

// Whatever a rotated file is called, and whatever the log is, by its own name and by
// a pattern that fits rotated files as well: each line comes once.
func TestRotatedNames(t *testing.T) {
	for name, to := range map[string]func(log string, n int) string{
		"numbered":          func(l string, n int) string { return fmt.Sprintf("%s.%d", l, 9-n) },
		"before the ending": func(l string, n int) string { return strings.TrimSuffix(l, ".log") + fmt.Sprintf(".%d.log", 9-n) },
		"dateext":           func(l string, n int) string { return fmt.Sprintf("%s-202611%02d", l, n+1) },
		"hourly dateext":    func(l string, n int) string { return fmt.Sprintf("%s-20261128%02d", l, n) },
		"date with dashes":  func(l string, n int) string { return fmt.Sprintf("%s.2026-11-%02d", l, n+1) },
		"date and time":     func(l string, n int) string { return fmt.Sprintf("%s-2026-11-28T%02d:00:00Z", l, n) },
		"seconds":           func(l string, n int) string { return fmt.Sprintf("%s.179583800%d", l, n) },
		"extension": func(l string, n int) string {
			return strings.TrimSuffix(l, ".log") + fmt.Sprintf("-20261128%02d.log", n)
		},
		"a date and a counter": func(l string, n int) string {
			return strings.TrimSuffix(l, ".log") + fmt.Sprintf("-2026-11-28-%d.log", n)
		},
		"a month": func(l string, n int) string { return fmt.Sprintf("%s_2026-%02d", l, n+1) },
	} {
		for _, odd := range []string{"app", "caf\xe9", "a line\n7 8 9 1795838000", "-n", "a b", `"quoted`, "[x]"} {
			for _, all := range []bool{false, true} {
				dir := t.TempDir()
				log := filepath.Join(dir, odd+".log")
				pattern := filepath.Join(dir, strings.NewReplacer("[", `\[`).Replace(odd)+".log")
				if all {
					pattern = filepath.Join(dir, "*.log")
				}
				if err := os.WriteFile(filepath.Join(dir, odd+"-error.log"), nil, 0o600); err != nil { // another log
					t.Fatal(err)
				}
				var pos logbatch.Position
				text, wrote := "", ""
				for n := range 5 {
					line := fmt.Sprintf("line %d\n", n)
					wrote += line
					if err := os.WriteFile(log, []byte(line), 0o600); err != nil {
						t.Fatal(err)
					}
					if n%2 == 0 {
						got, c := ship(t, &pos, 1<<20, pattern)
						text += got[log]
						for _, g := range c.Gaps {
							t.Errorf("%s, %q, all %v: a gap: %+v", name, odd, all, g)
						}
					}
					at := time.Date(2026, 11, 28, 8, 0, n/3, n*1000, time.UTC) // several within a second
					if err := os.Chtimes(log, at, at); err != nil {
						t.Fatal(err)
					}
					if err := os.Rename(log, to(log, n)); err != nil {
						t.Fatal(err)
					}
				}
				got, _ := ship(t, &pos, 1<<20, pattern)
				if text += got[log]; text != wrote {
					t.Errorf("%s, %q, all %v: got %q", name, odd, all, text)
				}
			}
		}
	}
}

// What only looks like it is a log of its own.
func TestNamesThatAreNotRotated(t *testing.T) {
	names := []string{"app.log", "app-error.log", "app-2.log", "app8080.log", "app.8080.log", "app.log.bak", "application.log", "app",
		"app.d.log", "1.log", "x-20261128.log"}
	sort.Strings(names)
	for _, n := range names {
		if of := rotatedOf(n, names); of != "" {
			t.Errorf("%s counts as rotated from %s", n, of)
		}
	}
}
