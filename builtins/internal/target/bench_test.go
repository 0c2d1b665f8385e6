package target_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/neosofia/runner/builtins/internal/target"
	. "github.com/neosofia/runner/builtins/internal/target/targettest"
	"github.com/neosofia/runner/runtime/ledger"
)

// BenchmarkProtect reads a file once, copies it to a plain folder, a sealed
// folder and an SFTP server, and reads all three back. RUNNER_BENCH_MIB is the
// size of the file (16). It reports CPU seconds too, those of the server in this
// process included, and the peak of the resident memory.
func BenchmarkProtect(b *testing.B) {
	size := int64(16)
	if s := os.Getenv("RUNNER_BENCH_MIB"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		size = n
	}
	size <<= 20
	file := filepath.Join(b.TempDir(), "disk.raw")
	writeLarge(b, file, size)
	b.SetBytes(size)
	before := cpu(b)
	for n := 0; b.Loop(); n++ {
		protect(b, file, size, n)
	}
	b.ReportMetric((cpu(b)-before)/float64(b.N), "cpu-s/op")
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(u.Maxrss)/1024, "MiB-peak")
}

func cpu(b *testing.B) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func writeLarge(b *testing.B, file string, size int64) {
	f, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for i := int64(0); i < size; i += 8 << 20 {
		if _, err := f.Write(Bytes(uint64(i>>23), int(min(8<<20, size-i)))); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
}

func protect(b *testing.B, file string, size int64, n int) {
	ctx := context.Background()
	_, recipient := Keys(b, true)
	plain := openFolder(b, newFolder(b), nil)
	sealed := openFolder(b, newFolder(b), func(s *target.Spec, _ *target.Env) {
		s.Name, s.URL, s.SealedTo = "usb-b", "file:///backups/", []string{recipient}
	})
	_, offsite := serve(b)
	targets := []*target.Target{plain, sealed, offsite}
	src := Source()
	src.Artifact.ID = ledger.ArtifactID("bench", strconv.Itoa(n))
	src.Artifact.Files = []ledger.File{{Name: "disk.raw", Size: size}}
	src.Open = func(context.Context, string, int64) (io.ReadCloser, error) { return os.Open(file) }
	out := target.Copy(ctx, src, targets)
	done := make(chan error)
	for i, o := range out {
		if o.Err != nil {
			b.Fatal(o.Err)
		}
		go func() {
			_, err := targets[i].Verify(ctx, o.Copy, ledger.Read, nil, nil)
			done <- err
		}()
	}
	for range out {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}
