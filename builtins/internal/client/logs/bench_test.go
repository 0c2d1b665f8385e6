package logs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/logbatch"
	"github.com/neosofia/runner/tests/gauge"
)

// Collecting a journal beside the plainest shell that could do it: the same
// journalctl into zstd -1. Ours also parses every entry, follows its number, and
// digests what it takes. CPU is of the process and of journalctl.
func TestBenchJournal(t *testing.T) {
	m := gauge.Begin(t)
	gauge.Need(t, "journalctl", "zstd", "bash")
	remote := "/lib/systemd/systemd-journal-remote"
	if _, err := os.Stat(remote); err != nil {
		t.Skip("apt-get install systemd-journal-remote")
	}
	entries := int64(10_000)
	if m == gauge.Full {
		entries = 100_000 // more, and the importer begins another file
	}
	dir := t.TempDir()
	journal := filepath.Join(dir, "bench.journal")
	export := filepath.Join(dir, "export")
	writeExport(t, export, int(entries))
	if out, err := exec.Command(remote, "-o", journal, export).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var ours, peer []gauge.Cost
	peak := 0.0
	for range m.Rounds(t) {
		peer = append(peer, gauge.Run(t, exec.Command("bash", "-c", "journalctl -o export --all --no-pager --file "+journal+" | zstd -1 > "+
			filepath.Join(dir, "peer.zst"))))
		cmd := exec.Command(os.Args[0], "-test.run", "^TestChildOfTheBenchmark$", "-test.v")
		cmd.Env = append(os.Environ(), "RUNNER_BENCH_JOURNAL="+journal, "RUNNER_BENCH_OUT="+dir)
		ours = append(ours, gauge.Run(t, cmd))
		raw, err := os.ReadFile(filepath.Join(dir, "peak"))
		if err != nil {
			t.Fatal(err)
		}
		var kib float64
		var n int64
		if _, err := fmt.Sscan(string(raw), &kib, &n); err != nil || n != entries {
			t.Fatalf("got %d entries, want %d (%v)", n, entries, err)
		}
		peak = max(peak, kib/1024)
	}
	var table gauge.Table
	// 0.8 of the entries per second of processor time is 1.25 of the time.
	table.Ratio(t, m, fmt.Sprintf("%d journal entries into a batch", entries), ours, peer, 1.25)
	table.Limit(t, "memory while it does that", peak, 64, "MiB", true)
	table.Print(t)
}

func writeExport(t *testing.T, path string, n int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range n {
		fmt.Fprintf(w, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=0f3a5c1d2b7e4a9688c1d0e2f3a4b5c6\n_TRANSPORT=syslog\nPRIORITY=6\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=postfix/smtpd\nSYSLOG_PID=%d\n_PID=%d\n_UID=0\n_GID=0\n_COMM=smtpd\n_EXE=/usr/lib/postfix/sbin/smtpd\n_CMDLINE=smtpd -n smtp -t inet -u\n_SYSTEMD_CGROUP=/system.slice/system-postfix.slice/postfix@-.service\n_SYSTEMD_UNIT=postfix@-.service\n_HOSTNAME=mail\nMESSAGE=connect from host-%d.example.org[192.0.2.%d], session %08x\n\n",
			1_700_000_000_000_000+i*1000, 1000+i*1000, 1000+i%5000, 1000+i%5000, i%977, i%250, i*2654435761)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// oneFile is this machine with one journal.
type oneFile struct {
	host.Host
	path string
}

func (o oneFile) Run(ctx context.Context, c host.Command) (host.Result, error) {
	c.Args = append(c.Args, "--file="+o.path)
	return o.Host.Run(ctx, c)
}

type folder string

func (f folder) Create(name string) (io.WriteCloser, error) {
	return os.Create(filepath.Join(string(f), name))
}
func (f folder) Drop(name string) error { return os.Remove(filepath.Join(string(f), name)) }

// TestChildOfTheBenchmark collects in a process of its own.
func TestChildOfTheBenchmark(t *testing.T) {
	path, out := os.Getenv("RUNNER_BENCH_JOURNAL"), os.Getenv("RUNNER_BENCH_OUT")
	if path == "" {
		t.Skip("it is a child of the benchmark")
	}
	c, err := Journal(t.Context(), oneFile{host.Local("here"), path}, logbatch.Position{}, 1<<40, folder(out))
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmHWM:" {
			if err := os.WriteFile(filepath.Join(out, "peak"), []byte(fmt.Sprint(f[1], " ", c.Parts[0].Entries)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
