package targettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

func idempotent(t *testing.T, tgt *target.Target, _ Hooks) {
	src := Source(File{"disk.raw", Bytes(4, 100_000)})
	first := One(t, src, tgt)
	second := One(t, src, tgt)
	if second.Copy.Created != first.Copy.Created || second.Resumed != first.Copy.Bytes || second.Clear["disk.raw"] != first.Clear["disk.raw"] {
		t.Errorf("got %+v, want the first copy %+v", second, first)
	}
	// With known digests the source is not even read.
	src.Artifact.Files[0].SHA256 = first.Clear["disk.raw"]
	third := One(t, BreakAt(src, 0, nil), tgt)
	if third.Copy.Created != first.Copy.Created {
		t.Errorf("got %+v, want the first copy", third.Copy)
	}
	other := Source(File{"disk.raw", Bytes(5, 100_000)})
	o := target.Copy(context.Background(), other, []*target.Target{tgt})[0]
	Refused(t, o.Err, target.CodeDamaged)
}

func crash(t *testing.T, tgt *target.Target, h Hooks) {
	src := Source(File{"disk.raw", Bytes(6, 100_000)})
	o := One(t, src, tgt)
	if err := os.Remove(filepath.Join(h.Dir, o.Copy.Ref, "manifest.json")); err != nil {
		t.Fatal(err)
	}
	if got := visible(t, tgt); len(got) != 0 {
		t.Fatalf("got %d copies without a manifest, want none", len(got))
	}
	if _, all, err := tgt.List(context.Background()); err != nil || len(all) != 1 ||
		!strings.Contains(all[0].Error(), "is not a complete copy: it has no manifest") {
		t.Errorf("got %v and %v, want the copy without a manifest told", all, err)
	}
	o = One(t, src, tgt)
	if o.Resumed != 100_000 && !h.Objects { // its notes of what is complete went with the first end
		t.Errorf("got %d bytes resumed, want all", o.Resumed)
	}
	verified(t, tgt, o.Copy, ledger.Read)
	// Between the manifest and the end, a crash leaves the notes of the transfer.
	note := filepath.Join(h.Dir, o.Copy.Ref, "progress.json")
	must(t, os.WriteFile(note, []byte("{}"), 0o600))
	One(t, src, tgt)
	if _, err := os.Stat(note); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want the notes of the transfer removed", err)
	}
}

func changed(t *testing.T, _ *target.Target, h Hooks) {
	for _, seal := range []bool{false, true} {
		tgt := h.Open(t, func(s *target.Spec, _ *target.Env) {
			s.PartSize = 10_000
			if seal {
				_, recipient := Keys(t, false)
				s.SealedTo = []string{recipient}
			}
		})
		src := Source(File{"disk.raw", Bytes(7, 50_000)})
		src.Artifact.ID = ledger.ArtifactID(t.Name(), map[bool]string{true: "sealed", false: "plain"}[seal])
		target.Copy(context.Background(), BreakAt(src, 30_000, nil), []*target.Target{tgt})
		other := Source(File{"disk.raw", Bytes(8, 50_000)})
		other.Artifact.ID = src.Artifact.ID
		o := One(t, other, tgt)
		verified(t, tgt, o.Copy, ledger.Read)
		if !seal && !bytes.Equal(ReadAll(t, tgt, o.Copy, "disk.raw"), Bytes(8, 50_000)) {
			t.Errorf("got other bytes than the source has now")
		}
	}
}

func damage(t *testing.T, tgt *target.Target, h Hooks) {
	edit := func(name string, change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			file := filepath.Join(dir, name)
			b, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(file, change(b), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	replace := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }
	}
	for name, c := range map[string]struct {
		level int // from which on it is found
		do    func(*testing.T, string)
	}{
		"a bit has changed":        {ledger.Read, edit("disk.raw", flip)},
		"a file is shorter":        {ledger.Stored, edit("disk.raw", func(b []byte) []byte { return b[:len(b)-1] })},
		"a file is longer":         {ledger.Stored, edit("disk.raw", func(b []byte) []byte { return append(b, 0) })},
		"a file is missing":        {ledger.Stored, func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "disk.raw"))) }},
		"the manifest is missing":  {ledger.Stored, func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "manifest.json"))) }},
		"the manifest is cut":      {ledger.Stored, edit("manifest.json", func(b []byte) []byte { return b[:len(b)/2] })},
		"the manifest names bytes": {ledger.Stored, edit("manifest.json", replace(`"size": 50000`, `"size": 50001`))},
		"the manifest is of another item": {ledger.Stored, func(t *testing.T, dir string) {
			edit("manifest.json", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`"item": "erp"`), []byte(`"item": "web"`)) })(t, dir)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			src := Source(File{"disk.raw", Bytes(9, 50_000)})
			src.Artifact.ID = ledger.ArtifactID(name, "/0")
			o := One(t, src, tgt)
			c.do(t, filepath.Join(h.Dir, o.Copy.Ref))
			for level := ledger.Stored; level <= ledger.Opened; level++ {
				_, err := tgt.Verify(context.Background(), o.Copy, level, nil, target.EachFile(accept).Each)
				if level >= c.level {
					Refused(t, err, target.CodeDamaged)
				} else if err != nil {
					t.Errorf("got %v at level %s, want it found from %s on", err, ledger.LevelName(level), ledger.LevelName(c.level))
				}
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wrongSource(t *testing.T, _ *target.Target, h Hooks) {
	_, recipient := Keys(t, true)
	tgt := h.Open(t, func(s *target.Spec, _ *target.Env) { s.SealedTo = []string{recipient} })
	for name, change := range map[string]func(*target.Source){
		"shorter than declared": func(s *target.Source) { s.Artifact.Files[0].Size++ },
		"longer than declared":  func(s *target.Source) { s.Artifact.Files[0].Size-- },
		"of another digest":     func(s *target.Source) { s.Artifact.Files[0].SHA256 = strings.Repeat("ab", 32) },
		"it cannot be opened": func(s *target.Source) {
			s.Check = target.EachFile(func(context.Context, string, io.Reader) error { return errors.New("bad") }).Each
		},
		"its files contradict each other": func(s *target.Source) { s.Check = func() target.Checker { return contradicted{accept} } },
		"refused after all of it":         func(s *target.Source) { s.Check = target.EachFile(refuseAtEnd).Each },
	} {
		t.Run(name, func(t *testing.T) {
			src := Source(File{"disk.raw", Bytes(10, 3<<20)})
			change(&src)
			o := target.Copy(context.Background(), src, []*target.Target{tgt})[0]
			Refused(t, o.Err, target.CodeDamaged)
			if got := visible(t, tgt); len(got) > 0 {
				t.Errorf("got a visible copy of a source that is wrong")
			}
			if left, _ := os.ReadDir(filepath.Join(h.Dir, ".runner-parts")); len(left) > 0 {
				t.Errorf("got %v left in .runner-parts, want nothing", left)
			}
		})
	}
}

// contradicted is an artifact of which every file is good, but not together.
type contradicted struct{ target.EachFile }

func (contradicted) End() error { return errors.New("the files hold different records") }

func refuseAtEnd(_ context.Context, _ string, r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	return errors.New("a cluster is missing")
}

func remove(t *testing.T, tgt *target.Target, h Hooks) {
	o := One(t, Source(File{"disk.raw", Bytes(11, 1000)}), tgt)
	must(t, os.WriteFile(filepath.Join(h.Dir, "precious"), []byte("x"), 0o600))
	for _, ref := range []string{"", ".", "..", "../..", "vm", "vm/erp", "/etc/x/y", "vm/../" + o.Copy.Ref, o.Copy.Ref + "/.."} {
		c := o.Copy
		c.Ref = ref
		if _, err := tgt.Remove(context.Background(), c); !failure.Is(err, target.CodeNotFound) {
			t.Errorf("got %v for the folder %q, want it refused", err, ref)
		}
	}
	if len(visible(t, tgt)) != 1 {
		t.Fatalf("the copy is gone, want it kept")
	}
	for _, there := range []bool{true, false} {
		was, err := tgt.Remove(context.Background(), o.Copy)
		if must(t, err); was != there {
			t.Errorf("got %t, want it told whether the copy was there", was)
		}
	}
	left, err := os.ReadDir(h.Dir)
	must(t, err)
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	want := []string{".runner-parts", "README.txt", "precious"}
	if h.Objects {
		want = want[1:]
	}
	if !slices.Equal(names, want) {
		t.Errorf("got %v left, want %v", names, want)
	}
}

func checkpoints(t *testing.T, tgt *target.Target, h Hooks) {
	ctx := context.Background()
	must(t, tgt.PutCheckpoint(ctx, "pve1", "one"))
	must(t, tgt.PutCheckpoint(ctx, "pve1", "two"))
	must(t, tgt.PutCheckpoint(ctx, "pve2", "three"))
	got, err := tgt.Checkpoints(ctx)
	if err != nil || len(got) != 2 || got["pve1"] != "two" || got["pve2"] != "three" {
		t.Errorf("got %v, error %v, want the last of both hosts", got, err)
	}
	// Nothing is replaced on an immutable target: three years of nights.
	for i := range 1100 {
		name := "checkpoint-pve3-" + time.Date(2026, 1, 1+i, 1, 0, 0, 0, time.UTC).Format("20060102T150405.000000Z") + ".txt"
		must(t, os.WriteFile(filepath.Join(h.Dir, name), []byte(fmt.Sprint(i)), 0o600))
	}
	got, err = tgt.Checkpoints(ctx)
	if err != nil || len(got) != 2+32 || got["pve3-20290104T010000.000000Z"] != "1099" || got["pve1"] != "two" {
		t.Errorf("got %d, error %v, want the newest 32 of the third host and all others", len(got), err)
	}
	must(t, os.WriteFile(filepath.Join(h.Dir, "checkpoint-evil.txt"), make([]byte, 1<<20), 0o600))
	_, err = tgt.Checkpoints(ctx)
	Refused(t, err, target.CodeDamaged)
}

func sweep(t *testing.T, tgt *target.Target, h Hooks) {
	src := Source(File{"disk.raw", Bytes(12, 5<<20)})
	target.Copy(context.Background(), BreakAt(src, 4<<20, nil), []*target.Target{tgt})
	id := ledger.CopyID(src.Artifact.ID, tgt.Name())
	for _, keep := range []bool{true, false} {
		gone, err := tgt.CleanUp(context.Background(), func(string) bool { return keep })
		if err != nil || slices.Contains(gone, id) == keep {
			t.Errorf("got %v gone, error %v, with keep %t", gone, err, keep)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(h.Dir, ".runner-parts")); len(left) > 0 {
		t.Errorf("got %v left, want nothing", left)
	}
}

func probe(t *testing.T, tgt *target.Target, h Hooks) {
	could, err := target.ProbeImmutable(context.Background(), tgt, "")
	if err != nil || !slices.Contains(could, "overwrite") || !slices.Contains(could, "delete") {
		t.Errorf("could %q, error %v, want to overwrite and delete", could, err)
	}
	if left, _ := os.ReadDir(h.Dir); len(left) > 0 {
		t.Errorf("got %v left of the probe, want nothing", left)
	}
}

// cancel stops a copy whose source gives nothing more and does not notice: the outcome
// waits for nobody.
func cancel(t *testing.T, tgt *target.Target, _ Hooks) {
	src := Source(File{"disk.raw", Bytes(13, 4<<20)})
	ctx, stop := context.WithCancel(context.Background())
	hung := make(chan struct{})
	defer close(hung)
	src = BreakAt(src, 3<<20, func() {
		stop()
		<-hung
	})
	o := target.Copy(ctx, src, []*target.Target{tgt})[0]
	if !errors.Is(o.Err, context.Canceled) {
		t.Errorf("got error %v, want that of the context", o.Err)
	}
	o = One(t, Source(File{"disk.raw", Bytes(13, 4<<20)}), tgt)
	verified(t, tgt, o.Copy, ledger.Read)
}

func direct(t *testing.T, _ *target.Target, h Hooks) {
	tgt := h.Open(t, func(s *target.Spec, _ *target.Env) { s.Immutable = true })
	src := Source(File{"disk.raw", Bytes(14, 100_000)})
	target.Copy(context.Background(), BreakAt(src, 50_000, nil), []*target.Target{tgt})
	o := One(t, src, tgt)
	verified(t, tgt, o.Copy, ledger.Read)
	if o.Copy.Immutable {
		t.Errorf("got a copy that counts as immutable, want that only after a probe")
	}
	if _, err := os.Stat(filepath.Join(h.Dir, ".runner-parts")); err == nil {
		t.Errorf("got a folder for parts, want files written in place")
	}
}

func program(t *testing.T, _ *target.Target, h Hooks) {
	file := filepath.Join(t.TempDir(), "runner")
	must(t, os.WriteFile(file, []byte("one"), 0o700))
	tgt := h.Open(t, func(_ *target.Spec, e *target.Env) { e.Binary = func() (string, bool) { return file, true } })
	src := func(step string) target.Source {
		s := Source(File{"disk.raw", []byte("x")})
		s.Artifact.ID = ledger.ArtifactID("run", step)
		return s
	}
	if o := One(t, src("/0"), tgt); len(o.Notes) > 0 {
		t.Fatalf("got notes %q, want none", o.Notes)
	}
	left, err := filepath.Glob(filepath.Join(h.Dir, "runner-linux-*"))
	if err != nil || len(left) != 2 {
		t.Fatalf("got %v, error %v, want the program and its digest", left, err)
	}
	before, err := os.Stat(left[0])
	must(t, err)
	One(t, src("/1"), tgt)
	if after, err := os.Stat(left[0]); err != nil || !os.SameFile(before, after) {
		t.Errorf("the program was written again, want it left alone")
	}
	must(t, os.WriteFile(file, []byte("two"), 0o700))
	One(t, src("/2"), tgt)
	if b, err := os.ReadFile(left[0]); err != nil || string(b) != "two" {
		t.Errorf("got program %q, error %v, want the new one", b, err)
	}
}
