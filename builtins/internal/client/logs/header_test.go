package logs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

// journalOf answers as journalctl does for a journal of one sequence.
type journalOf struct {
	host.Host
	header  string
	entries []int
}

func (j journalOf) Run(_ context.Context, c host.Command) (host.Result, error) {
	args := strings.Join(c.Args, " ")
	if strings.Contains(args, "--header") {
		return host.Result{Stdout: []byte(j.header)}, nil
	}
	_, cursor, _ := strings.Cut(args, "--cursor=")
	var from int
	if _, at, ok := strings.Cut(cursor, "i="); ok {
		fmt.Sscanf(at, "%x", &from)
	}
	for _, n := range j.entries {
		if n >= from {
			fmt.Fprintf(c.Stdout, "__CURSOR=s=5f3a;i=%x;b=7\n__REALTIME_TIMESTAMP=1795838000000000\nMESSAGE=entry %d\n\n", n, n)
		}
	}
	return host.Result{}, nil
}

func TestTheHeaderTellsWhetherTheJournalIsWhole(t *testing.T) {
	header := func(tail int) string {
		return fmt.Sprintf("File path: /a\nSequential number ID: 5f3a\nHead sequential number: 1 (1)\nTail sequential number: %d (%x)\n", tail,
			tail)
	}
	for name, c := range map[string]struct {
		header  string
		cursor  string
		entries []int
		want    int64
		gap     string
	}{
		"whole":                          {header(12), "s=5f3a;i=a;b=7", []int{10, 11, 12}, 2, ""},
		"nothing new":                    {header(10), "s=5f3a;i=a;b=7", []int{10}, 0, ""},
		"vacuumed":                       {header(14), "s=5f3a;i=a;b=7", []int{13, 14}, 2, "journal entries 11 to 12"},
		"vacuumed, nothing lost":         {header(12), "s=5f3a;i=a;b=7", []int{11, 12}, 2, ""},
		"damaged at the end":             {header(40), "", []int{31, 32}, 2, "journal entries 33 to 40"},
		"damaged behind the cursor":      {header(40), "s=5f3a;i=20;b=7", []int{32}, 0, "journal entries 33 to 40"},
		"a header of older systemd":      {"Sequential Number ID: 5f3a\nTail Sequential Number: 9\n", "", []int{7}, 1, "journal entries 8 to 9"},
		"entries that came meanwhile":    {header(10), "s=5f3a;i=a;b=7", []int{10, 11}, 1, ""},
		"a header that tells no numbers": {"File path: /a\nTail sequential number: x\n", "", []int{7}, 1, ""},
	} {
		c1, err := Journal(t.Context(), journalOf{host.Local("here"), c.header, c.entries}, logbatch.Position{Cursor: c.cursor}, 1<<30, memory{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		gaps := fmt.Sprint(c1.Gaps)
		if c1.Parts[0].Entries != c.want || (c.gap == "") != (len(c1.Gaps) == 0) || !strings.Contains(gaps, c.gap) {
			t.Errorf("%s: got %d entries, gaps %s", name, c1.Parts[0].Entries, gaps)
		}
	}
}

// A true journal with a piece of zeros in it: what did not come is reported, by number.
func TestADamagedJournalIsNotCalledWhole(t *testing.T) {
	remote := "/lib/systemd/systemd-journal-remote"
	if _, err := os.Stat(remote); err != nil {
		t.Skip("apt-get install systemd-journal-remote")
	}
	dir := t.TempDir()
	path, export := filepath.Join(dir, "a.journal"), filepath.Join(dir, "export")
	writeExport(t, export, 40)
	if out, err := exec.Command(remote, "-o", path, export).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := func() (int64, string, *Collected) {
		c, err := Journal(t.Context(), oneFile{host.Local("here"), path}, logbatch.Position{}, 1<<30, memory{})
		if err != nil {
			t.Fatal(err)
		}
		return c.Parts[0].Entries, fmt.Sprint(c.Gaps), c
	}
	n, gaps, whole := all()
	if n != 40 || gaps != "[]" {
		t.Fatalf("whole: got %d entries, gaps %s", n, gaps)
	}
	c, err := Journal(t.Context(), oneFile{host.Local("here"), path}, whole.After, 1<<30, memory{})
	if err != nil || c.Parts[0].Entries != 0 || len(c.Gaps) > 0 || c.After.Cursor != whole.After.Cursor {
		t.Fatalf("nothing new: got %+v, %v", c, err)
	}
	for _, message := range []int{5, 20, 33, 38, 39} {
		hurt := bytes.Clone(raw)
		at := bytes.Index(hurt, fmt.Appendf(nil, "session %08x", message*2654435761))
		if at < 0 {
			t.Fatalf("message %d is not in the journal", message)
		}
		clear(hurt[max(at-382, 0):min(at+382, len(hurt))])
		if err := os.WriteFile(path, hurt, 0o600); err != nil {
			t.Fatal(err)
		}
		n, gaps, c := all()
		t.Logf("message %d: %d entries, %s %s", message, n, gaps, c.Damaged)
		if n < 40 && gaps == "[]" {
			t.Errorf("message %d: %d entries of 40 came, and nothing is told", message, n)
		}
	}
}
