package target_test

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/internal/target"
	. "github.com/neosofia/runner/builtins/internal/target/targettest"
	"github.com/neosofia/runner/runtime/ledger"
)

// TestCopyIsRestoredWithoutRunner does what the README of a copy says, line by
// line, with the programs that every administrator has.
func TestCopyIsRestoredWithoutRunner(t *testing.T) {
	for program, pack := range map[string]string{"sh": "dash", "sha256sum": "coreutils", "age": "age", "zstd": "zstd", "tar": "tar"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("install %s", pack)
		}
	}
	want := Bytes(30, 300_000)
	file := File{Name: "vzdump-lxc-101.tar.zst", Data: packed(t, "etc/hostname", want)}
	for _, seal := range []bool{false, true} {
		for _, part := range []int64{0, 100_000} {
			id, err := age.GenerateX25519Identity()
			if err != nil {
				t.Fatal(err)
			}
			dir := newFolder(t)
			tgt := openFolder(t, dir, func(s *target.Spec, _ *target.Env) {
				s.PartSize = part
				if seal {
					s.SealedTo = []string{id.Recipient().String()}
				}
			})
			src := Source(file)
			src.Artifact.Kind = "files"
			src.Commands = func(a ledger.Artifact, dir string) []string {
				return []string{"# its tree:", "mkdir TREE && tar -xpf " + dir + "/" + a.Files[0].Name + " -C TREE"}
			}
			o := One(t, src, tgt)
			work := t.TempDir()
			if err := os.WriteFile(filepath.Join(work, "KEY"), []byte(id.String()+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			readme, err := os.ReadFile(filepath.Join(dir, o.Copy.Ref, "README.txt"))
			if err != nil {
				t.Fatal(err)
			}
			var script []string
			for line := range strings.Lines(string(readme)) {
				if command, ok := strings.CutPrefix(line, "    "); ok {
					script = append(script, strings.NewReplacer("/path/to/this/folder", filepath.Join(dir, o.Copy.Ref), "/path/to/recovery.key",
						"KEY").Replace(command))
				}
			}
			cmd := exec.Command("sh", "-e", "-c", strings.Join(script, ""))
			cmd.Dir = work
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("sealed %t, parts of %d: %v: %s\nof\n%s", seal, part, err, out, readme)
			}
			if got, err := os.ReadFile(filepath.Join(work, "TREE", "etc", "hostname")); err != nil || !bytes.Equal(got, want) {
				t.Errorf("sealed %t, parts of %d: got other bytes, error %v", seal, part, err)
			}
		}
	}
}

// packed returns a tar.zst of one file.
func packed(t *testing.T, name string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
