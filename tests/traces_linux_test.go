package tests

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"filippo.io/age"
	"github.com/neosofia/runner/tests/internal/program"
)

// secretText is sealed, copied and proven; nothing but sealed bytes may hold it.
const secretText = "xyzzy-plugh-4711-a-secret-that-is-looked-for"

// forms are the ways in which a text could lie somewhere: as it is, in base64 (at
// each of the three offsets that it can have), in hex.
func forms(text string) map[string][]byte {
	out := map[string][]byte{"clear": []byte(text), "hex": []byte(hex.EncodeToString([]byte(text))),
		"HEX": []byte(strings.ToUpper(hex.EncodeToString([]byte(text))))}
	for i := range 3 {
		cut := text[i:]
		out[fmt.Sprint("base64 at ", i)] = []byte(base64.RawStdEncoding.EncodeToString([]byte(cut[:len(cut)/3*3])))
	}
	return out
}

// The secrets of a run on the real binary are found in no file below its folders, in
// nothing that it says, and neither in its arguments nor in its environment nor in
// the files that it has open, whenever one looks.
func TestSealedSecretsLeaveNoTrace(t *testing.T) {
	bin, err := program.Build(t.TempDir(), "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tmp, state := filepath.Join(dir, "tmp"), filepath.Join(dir, "state")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + tmp}
	set := exec.CommandContext(t.Context(), bin, "secret", "set", "site/marked", "--lab", "--state", state)
	set.Env, set.Stdin = env, strings.NewReader(secretText)
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("got %v\n%s", err, out)
	}
	policy := filepath.Join(dir, "seal.star")
	if err := os.WriteFile(policy, []byte(sealPolicy(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), bin, "exec", "-v", "--lab", "--state", state, policy)
	run.Env = env
	said, looks := watched(t, run)
	if looks == 0 {
		t.Error("the run was never looked at while it ran")
	}
	if !strings.Contains(said, "seal_secrets(") || !strings.Contains(said, "ok after") {
		t.Fatalf("the run did not seal and end well:\n%s", said)
	}
	for form, b := range forms(secretText) {
		if strings.Contains(said, string(b)) {
			t.Errorf("it said the secret (%s)", form)
		}
	}
	if found := holding(t, dir); len(found) > 0 {
		t.Errorf("the secret lies in %s", strings.Join(found, ", "))
	}
	// The search finds what is there: the secret is planted in one form after the other.
	for form, b := range forms(secretText) {
		planted := filepath.Join(tmp, "planted")
		if err := os.WriteFile(planted, append([]byte("..."), b...), 0o600); err != nil {
			t.Fatal(err)
		}
		if found := holding(t, dir); len(found) != 1 || !strings.HasPrefix(found[0], planted) {
			t.Errorf("planted as %s: the search finds %v", form, found)
		}
	}
}

// sealPolicy seals to the recovery key of the lab, and again to custodians.
func sealPolicy(t *testing.T) string {
	t.Helper()
	custodians := ""
	for _, name := range []string{"anna", "ben", "carla"} {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		custodians += fmt.Sprintf("%q: %q, ", name, id.Recipient())
	}
	return fmt.Sprintf(`"""seal"""

def main():
    for a in [seal_secrets(), seal_secrets(threshold = 2, custodians = {%s})]:
        verify(copies = copy(artifact = a))
`, custodians)
}

// watched runs a command, and stops it at every line that it says to look at it.
func watched(t *testing.T, cmd *exec.Cmd) (said string, looks int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var text strings.Builder
	var once sync.Once
	for in := bufio.NewReader(r); ; {
		line, err := in.ReadString('\n')
		text.WriteString(line)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		// A process that has just ended cannot be stopped any more: then there is nothing to look at.
		if cmd.Process.Signal(syscall.SIGSTOP) != nil {
			continue
		}
		once.Do(func() { t.Logf("looking at process %d", cmd.Process.Pid) })
		if look(t, cmd.Process.Pid) {
			looks++
		}
		if err := cmd.Process.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v", err)
	}
	return text.String(), looks
}

// look searches what the kernel shows of a process; false: it has ended.
func look(t *testing.T, pid int) bool {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d", pid)
	names := []string{proc + "/cmdline", proc + "/environ"}
	fds, _ := filepath.Glob(proc + "/fd/*") // of a process that has ended: none
	for _, fd := range fds {
		if st, err := os.Stat(fd); err == nil && st.Mode().IsRegular() {
			names = append(names, fd)
		}
	}
	seen := false
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		seen = seen || strings.HasSuffix(name, "/cmdline") && len(raw) > 0
		for form, b := range forms(secretText) {
			if bytes.Contains(raw, b) {
				t.Errorf("%s holds the secret (%s)", name, form)
			}
		}
	}
	return seen
}

// holding lists the files below a folder that hold the secret in some form.
func holding(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		for form, b := range forms(secretText) {
			if bytes.Contains(raw, b) {
				found = append(found, path+" ("+form+")")
				break
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
