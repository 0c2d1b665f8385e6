package bundle_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/format/bundle"
	"github.com/neosofia/runner/tests/gauge"
)

// TestBench seals one large secret, from a file to a file, and holds the processor
// time against that of the age program for the same file and recipient.
func TestBench(t *testing.T) {
	m := gauge.Begin(t)
	gauge.Need(t, "age")
	program, err := gauge.Find("age")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	source, size := filepath.Join(dir, "source"), m.Size(t, 32<<20, 1<<30)
	gauge.Image(t, source, size)
	id, err := age.GenerateX25519Identity() // Debian's age knows no other
	if err != nil {
		t.Fatal(err)
	}
	var ours, peer []gauge.Cost
	out := filepath.Join(dir, "sealed")
	us := func() { ours = append(ours, sealFile(t, source, out, size, id.Recipient())) }
	they := func() {
		peer = append(peer, gauge.Run(t, exec.CommandContext(t.Context(), program, "-r", id.Recipient().String(), "-o", out, source)))
	}
	for i := range m.Rounds(t) { // neither is always the second
		order := []func(){us, they}
		if i%2 == 1 {
			order = []func(){they, us}
		}
		for _, work := range order {
			if err := os.RemoveAll(out); err != nil {
				t.Fatal(err)
			}
			work()
		}
	}
	var table gauge.Table
	table.Ratio(t, m, "seal a bundle / age", ours, peer, 1.1)
	table.Print(t)
}

func sealFile(t *testing.T, from, to string, size int64, r age.Recipient) gauge.Cost {
	t.Helper()
	return gauge.Self(t, func() {
		in, err := os.Open(from)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		w, err := bundle.NewWriter(out, make([]byte, 32), r)
		if err == nil {
			err = w.Add("large", size, in)
		}
		if err == nil {
			err = w.Close()
		}
		if err == nil {
			err = out.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}
