package files

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/internal/kind/kindtest"
)

// packed makes an archive of files.
func packed(t *testing.T, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: 2}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "hi"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []io.Closer{w, z} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// What opens comes back, and what does not open comes not back either.
func TestWhatOpensComesBack(t *testing.T) {
	good := packed(t, "srv/a", "etc/b")
	for name, c := range map[string]struct {
		files map[string]string
		order []string
		want  string // of the error; "" is none
	}{
		"whole":          {map[string]string{Archive: good, NotSaved: "/x: is not there\n"}, []string{Archive, NotSaved}, ""},
		"cut":            {map[string]string{Archive: good[:len(good)-9]}, []string{Archive}, Archive},
		"climbs":         {map[string]string{Archive: packed(t, "../etc/passwd")}, []string{Archive}, `holds ".."`},
		"below a file":   {map[string]string{Archive: packed(t, "a", "a/b")}, []string{Archive}, "is not a directory"},
		"a foreign file": {map[string]string{Archive: good, "run.sh": "rm -rf /"}, []string{Archive, "run.sh"}, "is not a file of this kind"},
		"no archive":     {map[string]string{NotSaved: "x"}, []string{NotSaved}, "there is no " + Archive},
		"a list too long": {map[string]string{Archive: good, NotSaved: strings.Repeat("x", maxNotSaved+1)}, []string{Archive, NotSaved},
			"more than"},
	} {
		t.Run(name, func(t *testing.T) {
			opened := kindtest.Check(t, Kind(), c.files, c.order...)
			j := kindtest.Job(t, "files", c.files, c.order...)
			j.Artifact.Declared = map[string]string{Paths: `["/srv","/etc","/gone","/../../x"]`}
			back := Kind().Recover(t.Context(), j)
			for _, err := range []error{opened, back} {
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("opened %v, recovered %v, want %q", opened, back, c.want)
				}
			}
			if c.want != "" {
				return
			}
			if raw, err := os.ReadFile(filepath.Join(j.Into, "tree/srv/a")); err != nil || string(raw) != "hi" {
				t.Errorf("got %q, %v", raw, err)
			}
			if say := strings.Join(j.Say, "\n"); !strings.Contains(say, "-cf - ./srv ./etc | tar -C / ") {
				t.Errorf("it says %s", say)
			}
		})
	}
}
