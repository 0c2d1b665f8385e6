package rear

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
	"github.com/neosofia/runner/builtins/lab/host"
	"github.com/neosofia/runner/runtime/failure"
)

// labHost is the lab's host without a network between.
type labHost struct{ *host.Machine }

func newLabHost(t *testing.T, faults ...fault.Fault) labHost {
	t.Helper()
	set, err := fault.Open(filepath.Join(t.TempDir(), "faults.json"))
	if err == nil {
		err = set.Replace(faults)
	}
	m := &host.Machine{Name: "pve1.lab", Root: t.TempDir(), Faults: set,
		Now:   func() time.Time { return time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC) },
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	if err == nil {
		err = m.Create()
	}
	if err != nil {
		t.Fatal(err)
	}
	return labHost{m}
}

func (h labHost) on(name string) string { return filepath.Join(h.Root, path.Clean("/"+name)) }

func (h labHost) Run(ctx context.Context, args []string, stdin io.Reader) (int, string, []byte, []byte, error) {
	var out, errs bytes.Buffer
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = quote(a)
	}
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	exit := h.Exec(ctx, strings.Join(quoted, " "), stdin, &out, &errs)
	if exit == host.Signaled {
		return -1, "KILL", out.Bytes(), errs.Bytes(), nil
	}
	return exit, "", out.Bytes(), errs.Bytes(), nil
}

func (h labHost) Read(_ context.Context, name string, limit int64) ([]byte, error) {
	b, err := os.ReadFile(h.on(name))
	if int64(len(b)) > limit {
		err = errors.New("too large")
	}
	return b, err
}

func (h labHost) Stat(_ context.Context, name string) (fs.FileInfo, error) {
	return os.Stat(h.on(name))
}

func (h labHost) List(_ context.Context, dir string) (out []fs.FileInfo, err error) {
	entries, err := os.ReadDir(h.on(dir))
	for _, e := range entries {
		info, ierr := e.Info()
		if ierr != nil {
			return nil, ierr
		}
		out = append(out, info)
	}
	return out, err
}

func (h labHost) Write(_ context.Context, name string, mode fs.FileMode, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return os.WriteFile(h.on(name), b, mode)
}

func (h labHost) MkdirAll(_ context.Context, name string, mode fs.FileMode) error {
	return os.MkdirAll(h.on(name), mode)
}

func (h labHost) Remove(_ context.Context, name string) error { return os.Remove(h.on(name)) }

// imageOf makes an image of the lab's host.
func imageOf(t *testing.T, edit func(*Facts, *Options), faults ...fault.Fault) (map[string][]byte, []string) {
	t.Helper()
	h := newLabHost(t, faults...)
	f, err := Gather(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	f.Secrets = []string{"/var/lib/runner"}
	o := options
	if edit != nil {
		edit(f, &o)
	}
	p, err := Prepare(f, o)
	if err != nil {
		t.Fatal(err)
	}
	made, err := Make(t.Context(), h, f, p, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range made.Files {
		if files[name], err = os.ReadFile(h.on(path.Join(made.Dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	return files, made.Files
}

func inspect(files map[string][]byte, order []string) error {
	i := &Inspector{}
	for _, name := range order {
		if err := i.File(context.Background(), name, bytes.NewReader(files[name])); err != nil {
			return err
		}
	}
	return i.End()
}

// What stands in the plan of an artifact decides what its image may hold.
func TestImagesAreHeldToTheirPlan(t *testing.T) {
	const iso = "rear-pve1.iso"
	plan := func(edit func(*Plan)) func(map[string][]byte) {
		return func(files map[string][]byte) {
			p := &Plan{}
			if err := json.Unmarshal(files[PlanFile], p); err != nil {
				t.Fatal(err)
			}
			edit(p)
			files[PlanFile], _ = json.Marshal(p)
		}
	}
	kept := func(name, of string) func(map[string][]byte) {
		return plan(func(p *Plan) { p.Kept = append(p.Kept, Kept{Name: name, Why: "a test", Of: of}) })
	}
	files, order := imageOf(t, nil)
	if err := inspect(files, order); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		edit func(map[string][]byte)
		want string
		held string // "copies", "guests"
	}{
		{"the system's disk holds copies", kept("/dev/sda", "copies"), "a test", "copies"},
		{"the root's group holds guests", kept("/dev/pve", "guests"), "a test", "guests"},
		{"a mount of it holds copies", kept("/boot/efi", "copies"), "a test", "copies"},
		{"guests that the menu does not name", plan(func(p *Plan) { p.Shared, p.SharedIDs = []string{"100 (erp)"}, []string{"100"} }),
			"menu does not say", "guests"},
		{"another layout beside it", func(f map[string][]byte) {
			f[LayoutFile] = append(bytes.Clone(f[LayoutFile]), "disk /dev/sdz 5 gpt\n"...)
		}, "not the one beside it", ""},
		{"an image that is cut", func(f map[string][]byte) { f[iso] = f[iso][:len(f[iso])/2] }, iso, ""},
		{"a flipped bit in the archive", func(f map[string][]byte) {
			f[iso] = bytes.Clone(f[iso])
			at := bytes.LastIndex(f[iso], []byte{0x1f, 0x8b, 8})
			f[iso][at+40] ^= 4
		}, iso, ""},
		{"a kernel of another version", func(f map[string][]byte) {
			f[iso] = bytes.Replace(f[iso], []byte("6.8.12-4-pve (build"), []byte("6.8.99-9-pve (build"), 1)
		}, "none of its kernel 6.8.99-9-pve", ""},
		{"no kernel", func(f map[string][]byte) { f[iso] = bytes.Replace(f[iso], []byte("HdrS"), []byte("nope"), 1) },
			"not one that a PC can boot",
			""},
		{"a secret place in it", plan(func(p *Plan) { p.Secrets = []string{"/etc/hostname"} }), "secret", ""},
		{"an archive that should be encrypted", plan(func(p *Plan) { p.Encrypted = true }), "not encrypted", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := map[string][]byte{}
			for name, b := range files {
				changed[name] = b
			}
			c.edit(changed)
			err := inspect(changed, order)
			var held *HoldsError
			var image *ImageError
			switch {
			case err == nil || !strings.Contains(err.Error(), c.want):
				t.Errorf("got %v, want %q", err, c.want)
			case c.held != "" && (!errors.As(err, &held) || held.Copies != (c.held == "copies")):
				t.Errorf("got %#v, want that it holds %s", err, c.held)
			case c.held == "" && !errors.As(err, &image):
				t.Errorf("got %#v, want a fault of the image", err)
			}
		})
	}
}

func TestIdentitiesAreFoundInArchives(t *testing.T) {
	h := newLabHost(t)
	key := "AGE-SECRET-KEY-1" + strings.Repeat("Q", 58) + "\n"
	f, err := Gather(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.on("/etc/recovery.txt"), []byte("# created: today\n"+key), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Prepare(f, options)
	if err != nil {
		t.Fatal(err)
	}
	made, err := Make(t.Context(), h, f, p, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range made.Files {
		files[name], _ = os.ReadFile(h.on(path.Join(made.Dir, name)))
	}
	if err := inspect(files, made.Files); err == nil || !strings.Contains(err.Error(), "etc/recovery.txt") ||
		!strings.Contains(err.Error(), "identity") {
		t.Errorf("got %v, want the file with the identity", err)
	}
}

func TestMenusThatStartByThemselves(t *testing.T) {
	for text, want := range map[string]bool{
		"label rear\nappend x\nlabel boothd0\ndefault boothd0\nMENU default\n": false, "default rear-automatic\n": true,
		"label rear\nMENU default\n":                true,
		"append initrd=x auto_recover unattended\n": true, "append initrd=x auto_recover \n": false, "set default=\"chainloader\"\n": false,
		"set default=\"rear\"\n":                  true,
		"linux (loop)/kernel root=x unattended\n": true, "ontimeout rear\n": true, "": false,
	} {
		if got := startsAlone(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func FuzzInspect(f *testing.F) {
	for _, name := range []string{"kernel", "initrd.cgz", "backup.tar.gz", "isolinux.cfg", DepsFile, LayoutFile, "x.iso"} {
		f.Add(name, []byte("070701"), "{}")
	}
	f.Fuzz(func(t *testing.T, name string, data []byte, plan string) {
		i := &Inspector{}
		if i.File(context.Background(), PlanFile, strings.NewReader(plan)) != nil {
			return
		}
		if i.File(context.Background(), name, bytes.NewReader(data)) == nil && i.End() == nil {
			t.Errorf("%s alone is a whole image", name)
		}
	})
}

// The log of an earlier run says nothing of this one.
func TestAnOldLogIsNotRead(t *testing.T) {
	h := newLabHost(t, fault.Fault{On: "run pve1.lab rear", Do: "exit 1 something else", Skip: 1})
	f, err := Gather(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Prepare(f, options)
	if err == nil {
		err = os.MkdirAll(h.on("/var/log/rear"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(h.on("/var/log/rear/rear-pve1.log"), []byte("ERROR: No space left on device\nFinished running mkbackup workflow\n"),
			0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Make(t.Context(), h, f, p, options, nil); failure.CodeOf(err).Name != "E_REAR_FAILED" ||
		!strings.Contains(err.Error(), "something else") {
		t.Errorf("got %v, want E_REAR_FAILED with its own words", err)
	}
}
