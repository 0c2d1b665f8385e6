package savefiles

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What is left out is left out by tar itself, also where the whole root is saved.
func TestTarLeavesOutWhatIsNamed(t *testing.T) {
	root := t.TempDir()
	for _, f := range []string{"etc/passwd", "var/cache/apt/a", "var/cache-not", "var/lib/runner/spool/big", "var/tmp/x.tmp"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, f)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, f), []byte(f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		paths []string
		want  string
	}{
		{[]string{"/"}, "./etc/passwd ./var/cache-not"},
		{[]string{"/var"}, "var/cache-not"},
		{[]string{"/etc", "/var"}, "etc/passwd var/cache-not"},
	} {
		j := &job{paths: c.paths}
		args := j.args([]string{"/var/cache", "*.tmp"}, []string{"/var/lib/runner"})
		args[slices.Index(args, "--directory=/")] = "--directory=" + root
		var names strings.Builder
		for _, p := range c.paths {
			if p = strings.TrimPrefix(p, "/"); p == "" {
				p = "."
			}
			names.WriteString(p + "\x00")
		}
		archive := filepath.Join(t.TempDir(), "a.tar")
		args[slices.Index(args, "--file=-")] = "--file=" + archive
		tar := exec.CommandContext(t.Context(), args[0], args[1:]...)
		tar.Stdin = strings.NewReader(names.String())
		if out, err := tar.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		list, err := exec.CommandContext(t.Context(), "tar", "--list", "--file="+archive).Output()
		if err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc(strings.Fields(string(list)), func(name string) bool { return strings.HasSuffix(name, "/") })
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v: got %q, want %q", c.paths, got, c.want)
		}
	}
}
