package decoded_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/target/targettest"
)

// A copy comes back by what the READMEs say, with kopia's own program and sha256sum, and without runner.
func TestKopiasProgramAndTheReadmeBringAGuestBack(t *testing.T) {
	if os.Getenv("RUNNER_REAL") == "" {
		t.Skip("set RUNNER_REAL=1 to build kopia's own program and run against it")
	}
	dir, home := backups(t), t.TempDir()
	tgt := chunked(t, dir)
	disks := [][]byte{random(1, 5<<20+512), make([]byte, 3<<20)}
	file := targettest.File{Name: "vzdump-qemu-104-2026_11_24-01_00_00.vma.zst", Data: packed(t, machine(t, disks...))}
	copied := targettest.One(t, targettest.Source(file), tgt).Copy
	if err := tgt.Close(); err != nil {
		t.Fatal(err)
	}
	program := os.Getenv("RUNNER_KOPIA") // one that is built already
	if program == "" {
		program = filepath.Join(t.TempDir(), "kopia")
		out, err := exec.CommandContext(t.Context(), "bash", "-e", "-c", `cd "$(go list -m -f '{{.Dir}}' github.com/kopia/kopia)"
go build -buildvcs=false -o `+program+" .").CombinedOutput()
		if err != nil {
			t.Fatalf("build kopia: %v: %s", err, out)
		}
	}
	readme, err := os.ReadFile(filepath.Join(dir, "README.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for line := range strings.Lines(string(readme)) {
		if rest, ok := strings.CutPrefix(line, "    "); ok && (strings.HasPrefix(rest, "kopia ") || strings.HasPrefix(rest, "export ")) {
			commands = append(commands, strings.TrimSpace(rest))
		}
	}
	script := strings.Join(commands, "\n")
	script = strings.NewReplacer("'...'", "'correct horse'", "FOLDER", filepath.Join(dir, "chunks"), "kopia restore SNAPSHOT/NAME NAME",
		"SNAPSHOT=$(kopia snapshot list --all --show-identical | tee list.txt | grep -A9 '"+copied.Ref+"$' | grep -o '\\bk[0-9a-f]\\{20,\\}' | "+
			"head -1)\nkopia restore $SNAPSHOT/disk-drive-scsi0.raw one.raw", "SNAPSHOT OUT", "$SNAPSHOT out").Replace(script)
	c := exec.CommandContext(t.Context(), "bash", "-e", "-o", "pipefail", "-c", script+"\ncd out\nsha256sum -c SHA256SUMS\n")
	c.Dir = home
	c.Env = []string{"HOME=" + home, "PATH=" + filepath.Dir(program) + ":" + os.Getenv("PATH"), "KOPIA_CHECK_FOR_UPDATES=false"}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\nof\n%s", err, out, script)
	}
	for name, want := range map[string][]byte{"one.raw": disks[0], "out/disk-drive-scsi0.raw": disks[0], "out/disk-drive-scsi1.raw": disks[1],
		"out/config-qemu-server.conf": []byte("cores: 2\n")} {
		if got, err := os.ReadFile(filepath.Join(home, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v, want %d equal ones", name, len(got), err, len(want))
		}
	}
	guide, err := os.ReadFile(filepath.Join(home, "out", "README.txt"))
	if err != nil || !bytes.Contains(guide, []byte("qm importdisk NEWID 'disk-drive-scsi0.raw' STORAGE")) {
		t.Errorf("the copy's README: %v\n%s", err, guide)
	}
}
