package chunks_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/chunks"
	"github.com/neosofia/runner/tests/gauge"
)

// TestBench holds generations of one disk against restic: the first, 1 % changed in scattered blocks
// of 4 KiB, 1 % changed in one run, and nothing changed; processor time and bytes. The
// restore is held against kopia's own program. Ours runs in a child process, which opens the repository each
// time, as a night does.
func TestBench(t *testing.T) {
	m := gauge.Begin(t)
	gauge.Need(t, "restic")
	large := m.Size(t, 64<<20, 1<<30)
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.raw")
	gauge.Image(t, disk, large)
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	restic := func(args ...string) []string {
		return append([]string{"restic", "-q", "--repo", filepath.Join(dir, "restic"), "--password-file", secret, "--cache-dir",
			filepath.Join(dir, "cache")}, args...)
	}
	gauge.Tools(t, restic("init"))
	var table gauge.Table
	repository := create(t)
	for i, g := range []struct {
		name       string
		change     func(f *os.File) error
		cpu, bytes float64 // gates; 0: reported
	}{
		{"first generation", nil, 0, 0},
		{"1 % changed, scattered", scatter, 0.6, 0.4},
		{"1 % changed, in one run", run, 0.6, 1.0},
		{"nothing changed", nil, 0.6, 0},
	} {
		if g.change != nil {
			changed(t, disk, g.change)
		}
		was := []int64{gauge.Size(t, repository), gauge.Size(t, filepath.Join(dir, "restic"))}
		gauge.Cold(t, disk)
		ours := child(t, "put", repository, fmt.Sprintf("vm/erp/T%d/disk.raw", i), disk)
		gauge.Cold(t, disk)
		they := gauge.Tools(t, restic("backup", "--force", disk))
		grew := []int64{gauge.Size(t, repository) - was[0], gauge.Size(t, filepath.Join(dir, "restic")) - was[1]}
		gate := g.cpu
		if gate == 0 {
			gate = 100
		}
		table.Ratio(t, m, g.name, []gauge.Cost{ours}, []gauge.Cost{they}, gate)
		table.Peak(t, g.name, []gauge.Cost{ours}, 96)
		table.Told(g.name+", bytes", fmt.Sprintf("%.1f MB, restic %.1f MB", float64(grew[0])/1e6, float64(grew[1])/1e6))
		if g.bytes > 0 {
			table.Limit(t, g.name+", bytes against restic", float64(grew[0])/float64(grew[1])*100, g.bytes*100, "%", m == gauge.Full)
		}
	}
	check := child(t, "check", repository, "", "")
	table.Told("check of four generations", check.String())
	b := &restored{repository: repository, dir: dir}
	if os.Getenv("RUNNER_KOPIA") != "" {
		table.Ratio(t, m, "restore", []gauge.Cost{child(t, "get", repository, "vm/erp/T3/disk.raw", filepath.Join(dir, "ours.raw"))},
			[]gauge.Cost{b.byKopia(t)}, 1.1)
		gauge.Tools(t, []string{"cmp", filepath.Join(dir, "ours.raw"), filepath.Join(dir, "theirs.raw")})
	}
	table.Print(t)
}

func scatter(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	pick := rand.New(rand.NewPCG(7, 7))
	for range info.Size() / 4096 / 100 {
		if _, err := f.WriteAt(random(pick.Uint64(), 4096), pick.Int64N(info.Size()/4096)*4096); err != nil {
			return err
		}
	}
	return nil
}

func run(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = f.WriteAt(random(9, int(info.Size()/100)), info.Size()/3)
	return err
}

func changed(t *testing.T, path string, change func(f *os.File) error) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = change(f)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		t.Fatal(err)
	}
}

// child runs one verb of a Repository in a process of its own.
func child(t *testing.T, verb, dir, name, file string) gauge.Cost {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), exe)
	c.Env = append(os.Environ(), "CHUNKS_VERB="+verb, "CHUNKS_DIR="+dir, "CHUNKS_NAME="+name, "CHUNKS_FILE="+file)
	return gauge.Run(t, c)
}

// beChild is what the child does.
func beChild(verb, dir, name, file string) (err error) {
	if verb == "nights" {
		from, err := strconv.Atoi(name)
		if err != nil {
			return err
		}
		return nights(dir, from)
	}
	ctx := context.Background()
	r, err := chunks.Open(ctx, chunks.Options{Folder: dir, Password: password, Write: verb == "put", Now: time.Now})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := r.Close(ctx); err == nil {
			err = cerr
		}
	}()
	switch verb {
	case "put":
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = r.Put(ctx, name, 0, -1, f)
		return err
	case "get":
		rc, err := r.Get(ctx, name, 0, -1)
		if err != nil {
			return err
		}
		defer rc.Close()
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{f}, rc, make([]byte, 1<<20))
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		return err
	default:
		bad, err := r.Check(ctx)
		if err == nil && len(bad) > 0 {
			err = fmt.Errorf("damaged: %v", bad)
		}
		return err
	}
}

// restored is what kopia's program restores.
type restored struct{ repository, dir string }

func (b *restored) byKopia(t *testing.T) gauge.Cost {
	t.Helper()
	home := t.TempDir()
	kopia(t, home, "kopia repository connect filesystem --readonly --path="+b.repository)
	id := kopia(t, home, `kopia snapshot list --all --json | tr -d ' \n' | sed 's/},{"id"/}\n{"id"/g' | grep '/vm/erp/T3"' | `+
		`sed 's/.*{"id":"\([0-9a-f]*\)","source".*T3".*/\1/'`)
	c := exec.CommandContext(t.Context(), os.Getenv("RUNNER_KOPIA"), "restore", id[:32]+"/disk.raw", filepath.Join(b.dir, "theirs.raw"))
	c.Env = []string{"HOME=" + home, "KOPIA_PASSWORD=" + password, "KOPIA_CHECK_FOR_UPDATES=false"}
	return gauge.Run(t, c)
}
