package target_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/format/archive"
	"github.com/neosofia/runner/builtins/internal/format/vma"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/tests/gauge"
)

// work is what a child process does, so that its memory is its own.
type work struct {
	File    string // to copy; "": none
	Name    string // of the file in the artifact
	Size    int64
	Targets []place
	Level   int           // to verify every copy at
	Copies  []ledger.Copy // to verify, when nothing is copied
}

type place struct {
	Name, URL, HostKey, Key, Recipient string
}

const childEnv = "RUNNER_BENCH_CHILD"

// TestMeasuredChild is the process that is measured.
func TestMeasuredChild(t *testing.T) {
	path := os.Getenv(childEnv)
	if path == "" {
		t.Skip("the benchmarks run it")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var w work
	if err := json.Unmarshal(raw, &w); err != nil {
		t.Fatal(err)
	}
	copies, err := w.do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = json.Marshal(copies); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".out", raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// child does work in a process of its own and returns the copies that it made.
func (w work) child(t *testing.T) (gauge.Cost, []ledger.Copy) {
	t.Helper()
	raw, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "work.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMeasuredChild$", "-test.timeout=30m")
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	c := gauge.Run(t, cmd)
	var copies []ledger.Copy
	if raw, err = os.ReadFile(path + ".out"); err == nil {
		err = json.Unmarshal(raw, &copies)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, copies
}

func (w work) do(ctx context.Context) ([]ledger.Copy, error) {
	var targets []*target.Target
	for _, p := range w.Targets {
		tgt, err := p.open(ctx)
		if err != nil {
			return nil, err
		}
		defer tgt.Close()
		targets = append(targets, tgt)
	}
	copies := w.Copies
	if w.File != "" {
		for _, o := range target.Copy(ctx, w.source(), targets) {
			if o.Err != nil {
				return nil, o.Err
			}
			copies = append(copies, o.Copy)
		}
	}
	return copies, w.verify(ctx, targets, copies)
}

// verify proves all copies at once, as branches of parallel do.
func (w work) verify(ctx context.Context, targets []*target.Target, copies []ledger.Copy) error {
	if w.Level == ledger.Stored {
		return nil
	}
	errs := make([]error, len(copies))
	var all sync.WaitGroup
	for i, c := range copies {
		all.Go(func() {
			v, err := targets[i].Verify(ctx, c, w.Level, nil, target.EachFile(openArchive).Each)
			if err == nil && (v.Level != w.Level || v.Bytes != c.Bytes) {
				err = fmt.Errorf("verify %s: level %d of %d bytes, want %d of %d", c.Target, v.Level, v.Bytes, w.Level, c.Bytes)
			}
			errs[i] = err
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func openArchive(ctx context.Context, name string, r io.Reader) error {
	_, err := archive.Check(ctx, name, r)
	return err
}

func (w work) source() target.Source {
	a := ledger.Artifact{ID: ledger.ArtifactID("bench", "/0"), Kind: "vm", Asset: "vms", Item: "erp", Run: "bench", Step: "/0",
		Created: time.Date(2026, 11, 23, 7, 11, 16, 0, time.UTC), Files: []ledger.File{{Name: w.Name, Size: w.Size}}, Bytes: w.Size}
	return target.Source{Artifact: a, Open: func(context.Context, string, int64) (io.ReadCloser, error) { return os.Open(w.File) }}
}

func (p place) open(ctx context.Context) (*target.Target, error) {
	spec := target.Spec{Name: p.Name, URL: p.URL, Medium: "disk", Location: "bench", HostKey: p.HostKey,
		Key: func(context.Context) ([]byte, error) { return os.ReadFile(p.Key) }}
	if p.Recipient != "" {
		spec.SealedTo = []string{p.Recipient}
	}
	return target.Open(ctx, spec, target.Env{Now: time.Now, Device: func(path string) (ledger.Device, error) {
		return ledger.Device{ID: "path:" + path, FS: "ext4", Mount: path}, nil
	}})
}

// identity makes a classic age identity in a file.
func identity(t *testing.T, file string) (recipient string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String()
}

// pack writes a disk into an archive.
func pack(w *vma.Writer, disk io.Reader, size int64) error {
	buf := make([]byte, 64<<10)
	for i := int64(0); i*int64(len(buf)) < size; i++ {
		n, err := io.ReadFull(disk, buf[:min(int64(len(buf)), size-i*int64(len(buf)))])
		if err != nil {
			return err
		}
		if err := w.WriteCluster(1, uint32(i), buf[:n]); err != nil {
			return err
		}
	}
	return w.Close()
}
