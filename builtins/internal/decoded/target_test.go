package decoded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/chunks"
	"github.com/neosofia/runner/builtins/internal/decoded"
	"github.com/neosofia/runner/builtins/internal/engine"
	"github.com/neosofia/runner/builtins/internal/format/archive"
	"github.com/neosofia/runner/builtins/internal/format/vma"
	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/builtins/internal/target"
	. "github.com/neosofia/runner/builtins/internal/target/targettest"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// chunked opens a folder as a target of layout chunks.
func chunked(t *testing.T, dir string) *target.Target {
	t.Helper()
	env := Env(Stick())
	env.Now = time.Now
	env.Decoder = decoded.Decoder{Dir: t.TempDir(), Limit: 64 << 20}
	env.Chunks = func(ctx context.Context, name, folder string) (store.Store, target.Capabilities, error) {
		o := chunks.Options{Folder: folder, Password: "correct horse", Scratch: t.TempDir(), Target: name, Write: true, Now: time.Now}
		r, err := chunks.Open(ctx, o)
		if failure.Is(err, target.CodeNotFound) {
			if err = chunks.Create(ctx, o); err == nil {
				r, err = chunks.Open(ctx, o)
			}
		}
		if err != nil {
			return nil, target.Capabilities{}, err
		}
		return r, target.Capabilities{Maintain: r.Maintain, Close: func() error { return r.Close(context.Background()) }}, nil
	}
	tgt, err := target.Open(t.Context(), target.Spec{Name: "second-disk", URL: "file://" + dir, Layout: target.LayoutChunks}, env)
	if err != nil {
		t.Fatal(err)
	}
	return tgt
}

// TestMain lets the test binary be the engine.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == engine.Verb {
		err := engine.Main(func(ctx context.Context, cfg engine.Config, _ engine.Keep) (engine.Engine, error) {
			return chunks.Serve(ctx, cfg, time.Now)
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// served opens a target whose repository is in a process of its own.
func served(t *testing.T, dir string, repositories *target.Repositories, password string) *target.Target {
	t.Helper()
	env := Env(Stick())
	env.Now = time.Now
	env.Decoder = decoded.Decoder{Dir: dir, Limit: 64 << 20}
	env.Repositories = repositories
	tgt, err := target.Open(t.Context(), target.Spec{Name: "second-disk", URL: "file://" + dir, Layout: target.LayoutChunks,
		Password: func(context.Context) ([]byte, error) { return []byte(password), nil }}, env)
	if err != nil {
		t.Fatal(err)
	}
	return tgt
}

// Steps of one run share the repository, which is in a process of its own; others have to wait, and what
// is wrong with it is told by that process.
func TestStepsShareARepositoryInItsProcess(t *testing.T) {
	dir := backups(t)
	var repositories target.Repositories
	raw := packed(t, machine(t, random(1, 3<<20), random(2, 200<<10)))
	var all sync.WaitGroup
	copies := make([]ledger.Copy, 3)
	for i := range copies {
		all.Go(func() {
			tgt := served(t, dir, &repositories, "correct horse")
			src := artifact(Source(File{Name: fmt.Sprintf("vzdump-qemu-10%d-2026_11_24-01_00_00.vma.zst", i), Data: raw}), fmt.Sprint("guest", i))
			o := target.Copy(t.Context(), src, []*target.Target{tgt})[0]
			if o.Err != nil {
				t.Error(o.Err)
			} else if v, err := tgt.Verify(t.Context(), o.Copy, ledger.Opened, nil, opens); err != nil || v.Level != ledger.Opened {
				t.Errorf("level %d, %v", v.Level, err)
			}
			copies[i] = o.Copy
			if err := tgt.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	tgt := served(t, dir, &repositories, "correct horse")
	if _, err := tgt.Verify(t.Context(), copies[0], ledger.Read, nil, nil); err != nil {
		t.Fatal(err)
	}
	other := served(t, dir, nil, "correct horse")
	_, err := other.Verify(t.Context(), copies[0], ledger.Read, nil, nil)
	if !failure.Is(err, target.CodeBusy) || !strings.Contains(err.Error(), "it is used by process") {
		t.Errorf("a second process: %v", err)
	}
	if was, err := tgt.Remove(t.Context(), copies[0]); err != nil || !was {
		t.Errorf("removed: %v, %v", was, err)
	}
	if _, err := tgt.Maintain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := errors.Join(tgt.Close(), other.Close()); err != nil {
		t.Error(err)
	}
	wrong := served(t, dir, nil, "another")
	defer wrong.Close()
	if _, err := wrong.Verify(t.Context(), copies[1], ledger.Read, nil, nil); !failure.Is(err, target.CodeDenied) {
		t.Errorf("a wrong password: %v", err)
	}
}

func backups(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "backups")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// opens is what the kinds of guests open with.
func opens() target.Checker {
	return target.EachFile(func(ctx context.Context, file string, r io.Reader) error {
		_, err := archive.Check(ctx, file, r)
		if errors.Is(err, archive.ErrUnsupported) {
			return errors.Join(target.ErrNotHere, err)
		}
		return err
	}).Each()
}

func artifact(src target.Source, item string) target.Source {
	src.Artifact.Item = item
	src.Artifact.ID = ledger.ArtifactID("run", "/"+item)
	return src
}

// A target of layout chunks holds archives of guests decoded, proves them, and gives archives back.
func TestATargetKeepsGuestsDecoded(t *testing.T) {
	dir := backups(t)
	tgt := chunked(t, dir)
	pve, err := os.ReadFile(samples + "vzdump-qemu-100-2026_11_23-07_11_16.vma.zst")
	if err != nil {
		t.Fatal(err)
	}
	lxc, err := os.ReadFile(samples + "vzdump-lxc-101-2026_11_28-05_00_43.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	disk := random(1, 9<<20)
	files := []File{
		{Name: "vzdump-qemu-100-2026_11_23-07_11_16.vma.zst", Data: pve},
		{Name: "vzdump-qemu-104-2026_11_24-01_00_00.vma.zst", Data: packed(t, machine(t, disk, random(2, 100<<10)))},
		{Name: "vzdump-lxc-101-2026_11_28-05_00_43.tar.gz", Data: lxc},
		{Name: "vzdump-qemu-106-2026_11_24-01_00_00.vma.lzo", Data: random(4, 1<<20)}, // kept as it is
		{Name: "zone.json", Data: []byte(`{"a": 1}`)},
	}
	var copies []ledger.Copy
	for _, f := range files {
		o := One(t, artifact(Source(f), "item-"+f.Name), tgt)
		lzo := strings.HasSuffix(f.Name, ".lzo")
		if o.Clear[f.Name] == "" || slices.ContainsFunc(o.Notes, func(n string) bool { return strings.Contains(n, "as it is") }) != lzo {
			t.Errorf("%s: digest %q, notes %v", f.Name, o.Clear[f.Name], o.Notes)
		}
		copies = append(copies, o.Copy)
	}
	if err := tgt.PutCheckpoint(t.Context(), "pve1", "checkpoint\n"); err != nil {
		t.Fatal(err)
	}
	if err := tgt.Close(); err != nil {
		t.Fatal(err)
	}

	tgt = chunked(t, dir)
	defer tgt.Close()
	for i, f := range files {
		c := copies[i]
		level := ledger.Opened
		if strings.HasSuffix(f.Name, ".lzo") || strings.HasSuffix(f.Name, ".json") {
			level = ledger.Read
		}
		v, err := tgt.Verify(t.Context(), c, level, nil, opens)
		if err != nil || v.Level != level {
			t.Errorf("%s: level %d, %v", f.Name, v.Level, err)
		}
		if v, err := tgt.Verify(t.Context(), c, ledger.Read, nil, nil); err != nil || v.Bytes != c.Bytes {
			t.Errorf("%s: %d of %d bytes were read back, %v", f.Name, v.Bytes, c.Bytes, err)
		}
		rc, err := tgt.OpenFile(t.Context(), c, ledger.File{Name: f.Name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rc)
		if cerr := rc.Close(); err != nil || cerr != nil {
			t.Fatalf("%s: %v, %v", f.Name, err, cerr)
		}
		switch {
		case level == ledger.Read:
			if !bytes.Equal(got, f.Data) {
				t.Errorf("%s came back with other bytes", f.Name)
			}
		case strings.Contains(f.Name, ".vma"):
			_, want := disksOf(t, f.Name, bytes.NewReader(f.Data))
			_, have := disksOf(t, f.Name, bytes.NewReader(got))
			for name, data := range want {
				if !bytes.Equal(have[name], data) {
					t.Errorf("%s of %s came back with other bytes", name, f.Name)
				}
			}
		default:
			want, _ := archive.Check(t.Context(), f.Name, bytes.NewReader(f.Data))
			if have, err := archive.Check(t.Context(), f.Name, bytes.NewReader(got)); err != nil || have.Entries != want.Entries {
				t.Errorf("%s came back with %d entries, want %d, %v", f.Name, have.Entries, want.Entries, err)
			}
		}
	}
	atTheRoot(t, tgt, dir, copies)
}

// atTheRoot looks at what lies beside the repository, at the list of copies, and removes one.
func atTheRoot(t *testing.T, tgt *target.Target, dir string, copies []ledger.Copy) {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(dir, "README.txt"))
	if err != nil || !bytes.Contains(readme, []byte("kopia restore SNAPSHOT")) {
		t.Errorf("the README: %v\n%s", err, readme)
	}
	var names []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"README.txt", "checkpoint-pve1.txt", "chunks"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("at the root lie %v, %v, want %v", names, err, want)
	}
	if heads, err := tgt.Checkpoints(t.Context()); err != nil || heads["pve1"] != "checkpoint\n" {
		t.Errorf("checkpoints: %v, %v", heads, err)
	}
	all, bad, err := tgt.List(t.Context())
	if err != nil || len(bad) > 0 || len(all) != len(copies) {
		t.Errorf("listed %d copies of %d, %v, %v", len(all), len(copies), bad, err)
	}
	if was, err := tgt.Remove(t.Context(), copies[0]); err != nil || !was {
		t.Errorf("removed: %v, %v", was, err)
	}
	if _, err := tgt.Verify(t.Context(), copies[0], ledger.Stored, nil, nil); !failure.Is(err, target.CodeDamaged) {
		t.Errorf("after it was removed: %v", err)
	}
	if freed, err := tgt.Maintain(t.Context()); err != nil || freed < 0 {
		t.Errorf("maintenance freed %d bytes, %v", freed, err)
	}
	if all, _, err := tgt.List(t.Context()); err != nil || len(all) != len(copies)-1 {
		t.Errorf("after one was removed: %d copies, %v", len(all), err)
	}
	gone, err := tgt.CleanUp(t.Context(), func(string) bool { return false })
	if err != nil || len(gone) > 0 {
		t.Errorf("broken transfers: %v, %v", gone, err)
	}
}

// An archive that holds more than disks is copied as it is, in a second pass.
func TestWhatCannotBeDecodedIsCopiedAsItIs(t *testing.T) {
	dir := backups(t)
	tgt := chunked(t, dir)
	defer tgt.Close()
	f := File{Name: "vzdump-qemu-104-2026_11_24-01_00_00.vma", Data: memoryOf(t)}
	o := One(t, Source(f), tgt)
	if !slices.ContainsFunc(o.Notes, func(n string) bool { return strings.Contains(n, "it holds the machine's memory") }) {
		t.Errorf("notes %v do not say why", o.Notes)
	}
	if len(o.Copy.Files) != 1 || o.Copy.Files[0].SHA256 != o.Clear[f.Name] {
		t.Errorf("stored as %+v", o.Copy.Files)
	}
	if v, err := tgt.Verify(t.Context(), o.Copy, ledger.Opened, nil, opens); err != nil || v.Level != ledger.Opened {
		t.Errorf("level %d, %v", v.Level, err)
	}
}

// memoryOf makes an archive with the memory of a machine.
func memoryOf(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := vma.NewWriter(&out, vma.Header{Created: time.Unix(1795000000, 0), Devices: []vma.Device{{ID: 1, Name: "vmstate", Size: 65536}},
		Configs: []vma.Config{{Name: "qemu-server.conf", Data: []byte("cores: 2\n")}}})
	if err == nil {
		err = w.WriteCluster(1, 0, random(1, 65536))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A damaged archive is the source's fault, and nothing of it is seen.
func TestADamagedArchiveIsNeverVisible(t *testing.T) {
	dir := backups(t)
	tgt := chunked(t, dir)
	defer tgt.Close()
	raw := machine(t, random(1, 3<<20))
	src := Source(File{Name: "vzdump-qemu-104-2026_11_24-01_00_00.vma", Data: raw[:len(raw)-4096]})
	o := target.Copy(t.Context(), src, []*target.Target{tgt})[0]
	if !failure.Is(o.Err, target.CodeDamaged) || !strings.Contains(o.Err.Error(), "make the artifact again") {
		t.Errorf("got %v", o.Err)
	}
	if all, bad, err := tgt.List(t.Context()); err != nil || len(all)+len(bad) > 0 {
		t.Errorf("listed: %v, %v, %v", all, bad, err)
	}
	src = BreakAt(Source(File{Name: "vzdump-qemu-104-2026_11_24-01_00_00.vma", Data: raw}), 1<<20, func() {})
	if o := target.Copy(t.Context(), src, []*target.Target{tgt})[0]; !errors.Is(o.Err, ErrBroken) {
		t.Errorf("a source that broke: %v", o.Err)
	}
	if o := One(t, Source(File{Name: "vzdump-qemu-104-2026_11_24-01_00_00.vma", Data: raw}), tgt); len(o.Copy.Files) != 3 {
		t.Errorf("after both: %+v", o.Copy.Files)
	}
}

func TestWhatALayoutOfChunksCannotBe(t *testing.T) {
	env := Env(Stick())
	for name, spec := range map[string]target.Spec{
		"unknown": {Layout: "rows"}, "far": {Layout: target.LayoutChunks, URL: "sftp://a@b/c"},
		"parts":  {Layout: target.LayoutChunks, PartSize: 1 << 20},
		"sealed": {Layout: target.LayoutChunks, SealedTo: []string{"age1x"}}, "immutable": {Layout: target.LayoutChunks, Immutable: true},
		"nobody opens it": {Layout: target.LayoutChunks},
	} {
		spec.Name = "second-disk"
		if spec.URL == "" {
			spec.URL = "file://" + backups(t)
		}
		_, err := target.Open(t.Context(), spec, env)
		if !failure.Is(err, target.CodeBadTarget) {
			t.Errorf("%s: got %v, want E_BAD_TARGET", name, err)
		}
	}
}
