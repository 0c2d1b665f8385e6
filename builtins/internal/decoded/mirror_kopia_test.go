package decoded_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
)

// kopiaFolder is where kopia's own program is, of the very version that is linked in.
func kopiaFolder(t *testing.T) string {
	t.Helper()
	if os.Getenv("RUNNER_REAL") == "" {
		t.Skip("set RUNNER_REAL=1 to build kopia's own program and run against it")
	}
	if built := os.Getenv("RUNNER_KOPIA"); built != "" { // one that is built already
		return filepath.Dir(built)
	}
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "bash", "-e", "-c", `cd "$(go list -m -f '{{.Dir}}' github.com/kopia/kopia)"
go build -buildvcs=false -o `+filepath.Join(dir, "kopia")+" .").CombinedOutput()
	if err != nil {
		t.Fatalf("build kopia: %v: %s", err, out)
	}
	return dir
}

// A copy comes back from the mirror by what the READMEs say, line by line, with age, kopia's own program, sha256sum and a shell.
func TestAgeAndKopiaAndTheReadmeBringAGuestBackFromAMirror(t *testing.T) {
	program := kopiaFolder(t)
	if _, err := exec.LookPath("age"); err != nil {
		t.Fatal("age is missing: apt install age")
	}
	p, home := newPair(t), t.TempDir()
	disks := [][]byte{random(1, 25<<20+512), random(2, 1<<20)}
	_, c := p.copied(night(t, 24, disks...))
	p.copied(night(t, 25, random(3, 1<<20)))
	key := filepath.Join(home, "recovery.key")
	if err := os.WriteFile(key, []byte(p.id.(*age.X25519Identity).String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(p.away, "README.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for line := range strings.Lines(string(readme)) {
		if rest, ok := strings.CutPrefix(line, "    "); ok && !strings.HasPrefix(rest, "     ") { // the table of files has more
			commands = append(commands, strings.TrimRight(rest, "\n"))
		}
	}
	script := strings.NewReplacer("MIRROR=/path/to/this/folder", "MIRROR="+p.away, "KEY=/path/to/recovery.key", "KEY="+key,
		"REF=KIND/ITEM/TIME-ID", "REF="+c.Ref, "kopia restore SNAPSHOT OUT",
		"SNAPSHOT=$(kopia snapshot list --all --show-identical | grep -A9 \"$REF$\" | grep -o '\\bk[0-9a-f]\\{20,\\}' | head -1)\n"+
			"kopia restore $SNAPSHOT out").Replace(strings.Join(commands, "\n"))
	x := exec.CommandContext(t.Context(), "bash", "-e", "-o", "pipefail", "-c", script+"\ncd out\nsha256sum -c SHA256SUMS\n")
	x.Dir = filepath.Join(home, "work")
	if err := os.Mkdir(x.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	x.Env = []string{"HOME=" + home, "PATH=" + program + ":" + os.Getenv("PATH"), "KOPIA_CHECK_FOR_UPDATES=false"}
	if out, err := x.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\nof\n%s", err, out, script)
	}
	for name, want := range map[string][]byte{"disk-drive-scsi0.raw": disks[0], "disk-drive-scsi1.raw": disks[1],
		"config-qemu-server.conf": []byte("cores: 2\n")} {
		if got, err := os.ReadFile(filepath.Join(x.Dir, "out", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v, want %d equal ones", name, len(got), err, len(want))
		}
	}
	own, err := os.ReadFile(filepath.Join(p.away, c.Ref, "README.txt"))
	if err != nil || !bytes.Contains(own, []byte("REF="+c.Ref)) {
		t.Errorf("the copy's README: %v\n%s", err, own)
	}
}
