package builtins

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// filesBench is a lab whose node has a folder /srv/data.
func filesBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, "+", `asset(name = "files", on = {"second-disk": "opened"})`)
	for name, text := range map[string]string{"a.txt": "alpha\n", "sub/b.txt": "beta\n", "sub/c.tmp": "left out\n", "cache/d": "left out\n"} {
		path := filepath.Join(b.lab.Node().Root, "srv/data", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func saveData(more string) string {
	return `return verify(copies = copy(artifact = save_files(host = "pve1", name = "data", paths = ["/srv/data"]` + more + `)))`
}

func TestSaveFilesComesBackFromItsCopyAlone(t *testing.T) {
	t.Parallel()
	b := filesBench(t)
	b.good(saveData(`, exclude = ["*.tmp", "/srv/data/cache/"]`))
	m := openMedium(t, filepath.Join(b.lab.Root(), "srv/copies"), nil)
	into := t.TempDir()
	for _, e := range m.Entries() {
		if e.Kind != "files" {
			continue
		}
		if v, err := m.Verify(t.Context(), e.ID); err != nil || v.Level != ledger.Opened {
			t.Errorf("got %+v, %v", v, err)
		}
		if _, err := m.Extract(t.Context(), e.ID, into); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]string{}
	err := filepath.WalkDir(into, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			raw, rerr := os.ReadFile(path)
			_, rel, _ := strings.Cut(path, "/tree/")
			got[rel], err = string(raw), rerr
		}
		return err
	})
	if err != nil || len(got) != 2 || got["srv/data/a.txt"] != "alpha\n" || got["srv/data/sub/b.txt"] != "beta\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestSaveFilesTellsWhatItCouldNotSave(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		says, more string
		what, why  string
	}{
		"changed": {`says 1 srv/data/a.txt: file changed as we read it`, "", "/srv/data/a.txt", "changed while it was read"},
		"went":    {`says 1 srv/data/x: File removed before we read it`, "", "/srv/data/x", "went while it was read"},
		"unreadable": {`says 2 srv/data/x\: y\n: Cannot open: Permission denied`, "", `/srv/data/x: y\n`,
			"Cannot open: Permission denied"},
		"mounted": {`says 0 srv/data/m/: file is on a different filesystem; not dumped`, "", "/srv/data/m",
			"another file system is mounted there"},
		"what nobody knows": {`says 0 srv/data/x: Warning: something new`, "", "/srv/data/x", "Warning: something new"},
		"a path is missing": {"", `, name = "two"`, "/nowhere", "is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := filesBench(t)
			call := saveData("")
			if c.says == "" {
				call = strings.Replace(call, `["/srv/data"]`, `["/nowhere", "/srv/data"]`, 1)
			} else {
				b.inject(lab.Fault{On: "run pve1.lab tar", Do: c.says})
			}
			out := b.run(call)
			if out.Err != nil {
				t.Fatal(out.Err)
			}
			a := b.artifact("data")
			if len(a.Gaps) != 1 || a.Gaps[0].What != c.what || !strings.HasPrefix(a.Gaps[0].Why, c.why) {
				t.Errorf("got %+v", a.Gaps)
			}
			if text := b.spooled(a, "not-saved.txt"); !strings.HasPrefix(text, c.what+": "+c.why) {
				t.Errorf("not-saved.txt holds %q", text)
			}
		})
	}
}

func TestSaveFilesFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ do, call, code, said string }{
		"nothing is there": {"", `save_files(host = "pve1", paths = ["/nowhere", "/nor/here"], asset = "files")`, "E_FILES_NOTHING",
			"/nor/here is not there and 1 more"},
		"no tar":              {"missing", "", "E_HOST_PROGRAM", "no such program"},
		"another tar":         {"exit 64 tar: unrecognized option '--sort=name'", "", "E_TAR", "GNU tar 1.28"},
		"tar gives up":        {"exit 2 tar: memory exhausted", "", "E_TAR", "memory exhausted"},
		"it is killed":        {"killed", "", "E_HOST", "signal KILL"},
		"the archive is half": {"cut", "", "E_HOST", ""},
		"the host is away":    {"", "", "E_HOST_DOWN", ""},
		"a relative path":     {"", `save_files(host = "pve1", paths = ["srv"])`, "", "is not absolute"},
		"no path":             {"", `save_files(host = "pve1", paths = [])`, "", "paths is empty"},
		"nothing is left":     {"", `save_files(host = "pve1", paths = ["/srv/data"], exclude = ["/srv"])`, "", "leaves nothing"},
		"no such asset":       {"", `save_files(host = "pve1", paths = ["/srv/data"], asset = "nope")`, "E_NO_ASSET", "nope"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := filesBench(t)
			switch {
			case c.do != "":
				b.inject(lab.Fault{On: "run pve1.lab tar", Do: c.do})
			case c.code == "E_HOST_DOWN":
				b.inject(lab.Fault{On: "ssh pve1.lab", Do: "refuse"})
			}
			call := c.call
			if call == "" {
				call = `save_files(host = "pve1", paths = ["/srv/data"])`
			}
			out := b.run("return " + call)
			var own *failure.Error
			if out.Err == nil || !strings.Contains(out.Err.Error(), c.said) {
				t.Fatalf("got %v, want %s %q", out.Err, c.code, c.said)
			}
			if errors.As(out.Err, &own); c.code != "" && (own == nil || own.Code.Name != c.code) {
				t.Errorf("got %v, want %s", out.Err, c.code)
			}
			if left, err := filepath.Glob(filepath.Join(b.dir, "spool", "*", "*")); err != nil || len(left) > 0 {
				t.Errorf("%v is left in the spool, %v", left, err)
			}
			all, err := ledger.Catalog{Store: b.store}.Artifacts(t.Context(), ledger.Query{})
			if err != nil || len(all) > 0 {
				t.Errorf("got %v, %v", all, err)
			}
		})
	}
}

// Only what no restore would take is left out, and it is named.
func TestSaveFilesLeavesOutWhatIsTooDeep(t *testing.T) {
	t.Parallel()
	b := filesBench(t)
	for name, levels := range map[string]int{"deep": 1100, "edge": 1020} { // below /srv/deep and /srv/edge
		dir := filepath.Join(b.lab.Node().Root, "srv", name, strings.Repeat("d/", levels))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(b.lab.Node().Root, "srv", name, "beside"), []byte("saved\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.good(`verify(copies = copy(artifact = save_files(host = "pve1", name = "both", paths = ["/srv/deep", "/srv/edge"], asset = "files")), level = "opened")`)
	all, err := ledger.Catalog{Store: b.store}.Artifacts(t.Context(), ledger.Query{Item: "both"})
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	gaps := all[0].Gaps
	if len(gaps) != 1 || !strings.HasPrefix(gaps[0].What, "/srv/deep/d/d/") || !strings.Contains(gaps[0].Why, "deeper than 1023 levels") ||
		len(gaps[0].What) > 400 {
		t.Errorf("got %+v, want /srv/deep alone, in short", gaps)
	}
	if got, want := all[0].Declared["entries"], fmt.Sprint(1+1021+1+1+1020+1); got != want {
		t.Errorf("got %s entries, want %s: all that is not too deep", got, want)
	}
}
