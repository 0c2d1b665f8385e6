package copying

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

const house = `
target(name = "one", url = "file:///srv/one", medium = "disk", location = "x")
target(name = "two", url = "file:///srv/two", medium = "disk", location = "x")
target(name = "usb", url = "file:///media/usb", medium = "usb", location = "x", offline = True, uuid = "u", serial = "s", due = "7d")
asset(name = "papers", on = {"one": "read", "two": "read", "usb": "read"})
`

// bench is a machine with folders that are targets, and a spool.
type bench struct {
	t     *testing.T
	l     *ledger.Ledger
	w     *systems.Systems
	clock *runtime.VirtualClock
	runs  int

	mu   sync.Mutex
	disk map[string]ledger.Device // folder -> what it lies on
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := site.Load("site.star", []byte(house), runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, l: ledger.New(ledger.NewMemory()), clock: runtime.NewVirtualClock(time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)),
		disk: map[string]ledger.Device{"/srv/one": {ID: "disk:1"}, "/srv/two": {ID: "disk:2"},
			"/media/usb": {ID: "disk:3", UUID: "u", Serial: "s", Removable: true}}}
	root := t.TempDir()
	for _, dir := range []string{"/srv/one", "/srv/two", "/media/usb"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.w = systems.New(s, systems.Env{Root: root, Host: "h", Spool: filepath.Join(root, "spool"), Device: b.device})
	return b
}

func (b *bench) device(path string) (ledger.Device, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for dir, d := range b.disk {
		if strings.HasPrefix(path, dir) {
			return d, nil
		}
	}
	return ledger.Device{ID: "disk:system"}, nil
}

func (b *bench) put(folder string, d ledger.Device) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.disk[folder] = d
}

// run is a run whose only call does something, once.
func (b *bench) run(do func(context.Context, *runtime.Step) (runtime.Result, error)) *runtime.Outcome {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "p.star")
	if err := os.WriteFile(path, []byte("def main():\n    act()\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	rt := &runtime.Runtime{Primitives: []runtime.Declaration{runtime.Primitive[struct{}]{Name: "act", Kind: runtime.Write,
		Retries: runtime.Retries{Attempts: Attempts, Wait: time.Minute},
		Run:     func(ctx context.Context, s *runtime.Step, _ *struct{}) (runtime.Result, error) { return do(ctx, s) }}}}
	p, err := rt.Load(path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.runs++
	b.clock.Set(b.clock.Now().Add(time.Hour))
	out, err := runtime.Exec(b.t.Context(), runtime.Config{Program: p, Ledger: b.l, Clock: b.clock, World: b.w,
		Header: ledger.Run{ID: fmt.Sprintf("r%d", b.runs), Host: "h"}})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// paper is an artifact that lies in the spool, and is recorded.
func (b *bench) paper(item string) ledger.Artifact {
	b.t.Helper()
	var a ledger.Artifact
	out := b.run(func(_ context.Context, s *runtime.Step) (runtime.Result, error) {
		text := "what is in " + item + ".\n"
		a = ledger.Artifact{ID: s.ArtifactID(), Kind: "files", Asset: "papers", Item: item, Run: s.Run, Step: s.ID, Created: s.Now(),
			Files: []ledger.File{{Name: "files.tar.zst", Size: int64(len(text))}}, Bytes: int64(len(text)),
			Origin: ledger.Origin{Spool: s.ArtifactID()}}
		dir := filepath.Join(b.w.Env.Spool, a.ID)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return runtime.Result{}, err
		}
		return runtime.Result{Facts: ledger.Facts{Artifacts: []ledger.Artifact{a}}},
			os.WriteFile(filepath.Join(dir, a.Files[0].Name), []byte(text), 0o600)
	})
	if out.Err != nil {
		b.t.Fatal(out.Err)
	}
	return a
}

func (b *bench) copy(a ledger.Artifact, to ...string) *runtime.Outcome {
	b.t.Helper()
	return b.run(func(ctx context.Context, s *runtime.Step) (runtime.Result, error) { return Copy(ctx, s, a, to) })
}

// have lists targets with a recorded copy of an artifact.
func (b *bench) have(a ledger.Artifact) (names []string) {
	b.t.Helper()
	list, err := ledger.Catalog{Store: b.l}.Copies(b.t.Context(), ledger.Query{Ref: a.ID})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range list {
		names = append(names, c.Target)
	}
	slices.Sort(names)
	return names
}

func (b *bench) damage(a ledger.Artifact, name string) {
	b.t.Helper()
	b.run(func(context.Context, *runtime.Step) (runtime.Result, error) {
		return runtime.Result{Facts: ledger.Facts{Damaged: []string{ledger.CopyID(a.ID, name)}}}, nil
	})
}

func TestATargetThatTakesNoCopyCostsNoOther(t *testing.T) {
	t.Parallel()
	away := func(b *bench) { b.put("/media/usb", ledger.Device{ID: "disk:system"}) }
	for _, c := range []struct {
		name   string
		before func(*bench)
		to     []string
		have   []string
		finds  string // code and target; "": none
		words  string
	}{
		{"all take it", func(*bench) {}, nil, []string{"one", "two", "usb"}, "", ""},
		{"some are named", func(*bench) {}, []string{"two"}, []string{"two"}, "", ""},
		{"a medium is away, as it may be", away, nil, []string{"one", "two"}, "", ""},
		{"a medium that is named is away", away, []string{"one", "usb"}, []string{"one"}, target.CodeMediaAbsent.Name + " usb", ""},
		{"two folders are on one disk", func(b *bench) { b.put("/srv/two", ledger.Device{ID: "disk:1"}) }, nil, []string{"one", "usb"},
			target.CodeSameDevice.Name + " two", "same device as one (disk:1)"},
		{"the one that is named first has the disk", func(b *bench) {
			b.put("/srv/two", ledger.Device{ID: "disk:1"})
		}, []string{"two", "one"}, []string{"two"}, target.CodeSameDevice.Name + " one", "same device as two"},
		{"a disk is not mounted any more", func(b *bench) {
			b.copy(b.paper("before"))
			b.put("/srv/two", ledger.Device{ID: "disk:system"})
		}, nil, []string{"one", "usb"}, target.CodeWrongMedium.Name + " two", "its last copy was written to disk:2"},
		{"nobody knows the target", func(*bench) {}, []string{"one", "nowhere"}, []string{"one"}, " nowhere", "nowhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c.before(b)
			a := b.paper("letter")
			out := b.copy(a, c.to...)
			if out.Err != nil || !slices.Equal(b.have(a), c.have) {
				t.Fatalf("got %v, copies on %v, want %v", out.Err, b.have(a), c.have)
			}
			if c.finds == "" {
				if len(out.Findings) != 0 {
					t.Errorf("found %+v", out.Findings)
				}
				return
			}
			code, name, _ := strings.Cut(c.finds, " ")
			if len(out.Findings) != 1 {
				t.Fatalf("found %+v", out.Findings)
			}
			f := out.Findings[0]
			if f.Target != name || f.Item != "letter" || f.Severity != ledger.Failed || !strings.Contains(f.Text, code) ||
				!strings.Contains(f.Text, c.words) || strings.Contains(f.Text, "hint:") {
				t.Errorf("found %+v", f)
			}
		})
	}
}

func TestACallWithoutAnyCopyFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.copy(b.paper("before"), "one", "two")
	b.put("/srv/one", ledger.Device{ID: "disk:system"})
	b.put("/srv/two", ledger.Device{ID: "disk:system"})
	a := b.paper("letter")
	out := b.copy(a, "one", "two")
	if failure.CodeOf(out.Err) != target.CodeWrongMedium || len(b.have(a)) != 0 {
		t.Fatalf("got %v, copies on %v", out.Err, b.have(a))
	}
	if len(out.Findings) != 1 || out.Findings[0].Target != "two" { // the first is what the call ends with
		t.Errorf("found %+v", out.Findings)
	}
	a.Asset = "unheard of"
	if out = b.copy(a); out.Err == nil || !strings.Contains(out.Err.Error(), `no copies of the asset "unheard of"`+"\nhint: add on = ") {
		t.Errorf("got %v", out.Err)
	}
}

// What lies there has the right name and size: only what the ledger says of it makes it
// be copied again, and only while the source is there.
func TestADamagedCopyIsMadeAgainOnlyFromASourceThatCanBeRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		damaged, gone bool
		after         string
	}{
		{"sound, and nothing is done", false, false, "spoilt"},
		{"damaged", true, false, "whole"},
		{"damaged, and the source is gone", true, true, "spoilt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			a := b.paper("letter")
			b.copy(a, "one", "two")
			cp, _, err := ledger.Catalog{Store: b.l}.Copy(t.Context(), ledger.CopyID(a.ID, "one"))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(b.w.Env.Root, "/srv/one", cp.Ref, cp.Files[0].Name)
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			spoilt := strings.Repeat("x", len(whole))
			if err := os.Chmod(file, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(spoilt), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.damaged {
				b.damage(a, "one")
			}
			if c.gone {
				if err := os.RemoveAll(filepath.Join(b.w.Env.Spool, a.ID)); err != nil {
					t.Fatal(err)
				}
			}
			out := b.copy(a, "one")
			if (out.Err != nil) != c.gone {
				t.Errorf("got %v", out.Err)
			}
			is, err := os.ReadFile(file)
			if want := map[string]string{"whole": string(whole), "spoilt": spoilt}[c.after]; err != nil || string(is) != want {
				t.Errorf("got %q, %v, want %q", is, err, want)
			}
		})
	}
}

func TestCopiesStandWhereAllThatIsWantedIsThereAndSound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		copied  []string
		to      []string
		damaged string
		forged  bool // a copy that the ledger does not know is claimed, too
		want    bool
	}{
		{"all that was named", []string{"one", "two"}, []string{"one", "two"}, "", false, true},
		{"all that is demanded", []string{"one", "two", "usb"}, nil, "", false, true},
		{"more was made than is wanted", []string{"one", "two"}, []string{"two"}, "", false, true},
		{"one is missing", []string{"one"}, []string{"one", "two"}, "", false, false},
		{"one that is demanded is missing", []string{"one", "two"}, nil, "", false, false},
		{"one was found damaged", []string{"one", "two"}, []string{"one", "two"}, "two", false, false},
		{"the ledger does not know one", []string{"one"}, []string{"one"}, "", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			a := b.paper("letter")
			if out := b.copy(a, c.copied...); out.Err != nil {
				t.Fatal(out.Err)
			}
			if c.damaged != "" {
				b.damage(a, c.damaged)
			}
			made, err := ledger.Catalog{Store: b.l}.Copies(t.Context(), ledger.Query{Ref: a.ID})
			if err != nil || len(made) != len(c.copied) {
				t.Fatal(made, err)
			}
			if c.forged {
				made = append(made, ledger.Copy{ID: ledger.CopyID("other", "one"), Target: "one"})
			}
			b.run(func(ctx context.Context, s *runtime.Step) (runtime.Result, error) {
				if got, err := Stands(ctx, s, a, c.to, made); err != nil || got != c.want {
					t.Errorf("got %t, %v, want %t", got, err, c.want)
				}
				return runtime.Result{}, nil
			})
		})
	}
}
