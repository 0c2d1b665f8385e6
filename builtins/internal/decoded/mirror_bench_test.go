package decoded_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/tests/gauge"
)

// TestBenchMirror holds the sealing of a repository's new blobs against age, which seals the same bytes as one file, and openssl dgst of
// both files: without these nobody could tell later whether what was sealed is there. Against age alone, which takes no digest,
// the ratio is only told. What a copy to a mirror does beside it, reading the original back, is taken off by a second
// copy, which seals nothing.
func TestBenchMirror(t *testing.T) {
	m := gauge.Begin(t)
	gauge.Need(t, "age", "openssl")
	size := m.Size(t, 16<<20, 512<<20)
	p := newPair(t)
	disk := filepath.Join(t.TempDir(), "disk.raw")
	gauge.Image(t, disk, size)
	data, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	src := night(t, 24, data)
	src.Check = nil
	p.only(src)
	whole := filepath.Join(t.TempDir(), "blobs")
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `cat "$1"/chunks/*/*/*.f > "$2"`, "sh", p.disk, whole).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var ours, they, bare []gauge.Cost
	copied := func() gauge.Cost {
		return gauge.Self(t, func() {
			tgt := p.mirror()
			defer tgt.Close()
			if o := target.Copy(t.Context(), src, []*target.Target{tgt})[0]; o.Err != nil {
				t.Fatal(o.Err)
			}
		})
	}
	for range m.Rounds(t) {
		if err := os.RemoveAll(filepath.Join(p.away, "mirror")); err != nil {
			t.Fatal(err)
		}
		first := copied()
		again := copied()
		first.CPU -= again.CPU
		first.Wall -= again.Wall
		ours = append(ours, first)
		sealed := filepath.Join(t.TempDir(), "sealed")
		age := gauge.Tools(t, []string{"age", "-r", p.recipient, "-o", sealed, whole}, []string{"sync", sealed})
		bare = append(bare, age)
		they = append(they, age.Plus(gauge.Tools(t, []string{"openssl", "dgst", "-sha256", whole}, []string{"openssl", "dgst", "-sha256", sealed})))
		if err := os.Remove(sealed); err != nil {
			t.Fatal(err)
		}
	}
	var table gauge.Table
	table.Ratio(t, m, "seal what is new, with both digests", ours, they, 1.15)
	table.Ratio(t, m, "the same against age without a digest", ours, bare, 100)
	table.Print(t)
}
