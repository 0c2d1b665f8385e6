package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/neosofia/runner/tests/internal/program"
)

// Somebody who may read the state, and write nothing, verifies the ledger and looks at
// its runs; nothing is left in the state folder or elsewhere.
func TestAnAuditorReadsWhatNobodyMayWrite(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("another account needs root")
	}
	dir := t.TempDir()
	bin, err := program.Build(t.TempDir(), "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(dir, "a.star")
	for path, text := range map[string]string{policy: "\"\"\"a\"\"\"\n\ndef main():\n    log(text = \"hello\")\n",
		filepath.Join(dir, "site.star"): "asset(name = \"x\", title = \"X\")\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	state, temp := filepath.Join(dir, "state"), filepath.Join(dir, "tmp")
	if out, err := exec.Command(bin, "exec", "--state", state, policy).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Mkdir(temp, 0o777); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{temp: 0o777, state: 0o755, filepath.Join(state, "ledger.db"): 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for d := bin; d != "/"; d = filepath.Dir(d) { // folders of tests are closed to others
		openUp(t, d)
	}
	for d := dir; d != "/"; d = filepath.Dir(d) {
		openUp(t, d)
	}
	before := names(t, state)
	for want, args := range map[string][]string{"ok: ": {"ledger", "verify", "--offline"}, "ok ": {"runs"}, "hello": {"show"}} {
		cmd := exec.Command(bin, append(args, "--state", state)...)
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + temp, "TMPDIR=" + temp, "PATH=/usr/bin:/bin"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if got := names(t, state); got != before {
		t.Errorf("the state folder holds %s, and held %s", got, before)
	}
	if got := names(t, temp); got != "" {
		t.Errorf("%s was left behind", got)
	}
}

func openUp(t *testing.T, path string) {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, fi.Mode()|0o055); err != nil {
		t.Logf("%v", err) // it may be open already
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}
