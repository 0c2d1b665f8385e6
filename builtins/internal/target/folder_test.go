package target_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/neosofia/runner/builtins/internal/target"
	. "github.com/neosofia/runner/builtins/internal/target/targettest"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

func TestIdentityOfTheMedium(t *testing.T) {
	demand := func(uuid, serial string) func(*target.Spec, *target.Env) {
		return func(s *target.Spec, _ *target.Env) { s.UUID, s.Serial = uuid, serial }
	}
	stick := Stick().Device()
	other, system := stick, stick
	other.ID, other.Serial, other.UUID = "serial:STICK-2", "STICK-2", "other"
	system.ID, system.Serial, system.UUID, system.Mount = "serial:SSD", "SSD", "system", "/"
	for name, c := range map[string]struct {
		device ledger.Device
		change func(*target.Spec, *target.Env)
		want   failure.Code
	}{
		"nothing is demanded":              {other, nil, failure.Code{}},
		"the demanded medium":              {stick, demand(stick.UUID, stick.Serial), failure.Code{}},
		"a UUID in capitals":               {stick, demand("1B4E28BA-2FA1-11D2-883F-0016D3CCA427", ""), failure.Code{}},
		"another file system":              {other, demand(stick.UUID, ""), target.CodeWrongMedium},
		"another disk":                     {other, demand("", stick.Serial), target.CodeWrongMedium},
		"the same file system, a new disk": {stick, demand(stick.UUID, "STICK-9"), target.CodeWrongMedium},
		"an empty mount point":             {system, demand(stick.UUID, ""), target.CodeMediaAbsent},
	} {
		t.Run(name, func(t *testing.T) {
			medium := Stick()
			medium.Exchange(c.device)
			_, err := folder(t, newFolder(t), medium, c.change)
			Refused(t, err, c.want)
		})
	}
	missing := filepath.Join(t.TempDir(), "backups")
	_, err := folder(t, missing, Stick(), nil)
	Refused(t, err, target.CodeMediaAbsent)
	_, err = folder(t, missing, Stick(), func(s *target.Spec, _ *target.Env) { s.Offline = false })
	Refused(t, err, target.CodeNotFound)
}

func TestMediumThatIsExchanged(t *testing.T) {
	medium := Stick()
	tgt, err := folder(t, newFolder(t), medium, nil)
	if err != nil {
		t.Fatal(err)
	}
	src := Source(File{Name: "a.raw", Data: Bytes(1, 1000)})
	first := One(t, src, tgt)
	if first.Device.ID != "serial:STICK-1" || first.Copy.Device.Serial != "STICK-1" {
		t.Errorf("got device %+v, want the stick", first.Device)
	}
	// The exchange is seen by the writing that comes next, in the middle of a copy.
	src.Artifact.ID = ledger.ArtifactID("run", "/1")
	open := src.Open
	src.Open = func(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
		medium.Exchange(ledger.Device{ID: "serial:STICK-2"})
		return open(ctx, name, offset)
	}
	o := target.Copy(context.Background(), src, []*target.Target{tgt})[0]
	Refused(t, o.Err, target.CodeWrongMedium)
	Refused(t, tgt.PutCheckpoint(context.Background(), "h", "x"), target.CodeWrongMedium)
	_, err = tgt.Remove(context.Background(), first.Copy)
	Refused(t, err, target.CodeWrongMedium)
}

func TestFolderThatIsExchanged(t *testing.T) {
	dir := newFolder(t)
	tgt := openFolder(t, dir, nil)
	if err := errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	Refused(t, tgt.PutCheckpoint(context.Background(), "h", "x"), target.CodeMediaAbsent)
}

func TestLinksOnTheMediumLeadNowhere(t *testing.T) {
	outside := t.TempDir()
	for name, link := range map[string]string{
		"the kind":            "vm",
		"the folder of parts": ".runner-parts",
		"the README":          "README.txt",
	} {
		t.Run(name, func(t *testing.T) {
			dir := newFolder(t)
			if err := os.Symlink(outside, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
			tgt := openFolder(t, dir, nil)
			o := target.Copy(context.Background(), Source(File{Name: "disk.raw", Data: Bytes(3, 1000)}), []*target.Target{tgt})[0]
			if o.Err == nil && link != "README.txt" { // that one is replaced
				t.Errorf("got a copy, want the link refused")
			}
			if left, _ := os.ReadDir(outside); len(left) > 0 {
				t.Errorf("got %v outside of the target, want nothing", left)
			}
		})
	}
}

func TestPipeInPlaceOfAManifestIsNotWaitedFor(t *testing.T) {
	dir := newFolder(t)
	tgt := openFolder(t, dir, nil)
	o := One(t, Source(File{Name: "disk.raw", Data: Bytes(4, 1000)}), tgt)
	for _, name := range []string{"manifest.json", "disk.raw"} {
		file := filepath.Join(dir, o.Copy.Ref, name)
		if err := errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600)); err != nil {
			t.Fatal(err)
		}
		_, err := tgt.Verify(context.Background(), o.Copy, ledger.Read, nil, nil)
		Refused(t, err, target.CodeDamaged)
	}
}

// disk mounts a file system of its own; only root can.
func disk(t *testing.T, size string) string {
	t.Helper()
	dir := newFolder(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a full disk needs root, to mount a small one: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	for name, unknown := range map[string]bool{"seen before the first byte": false, "seen on the way": true} {
		t.Run(name, func(t *testing.T) {
			small, large := openFolder(t, disk(t, "8m"), nil), openFolder(t, newFolder(t), func(s *target.Spec, _ *target.Env) {
				s.Name, s.URL = "usb-b", "file:///backups/"
			})
			src := Source(File{Name: "disk.raw", Data: Bytes(5, 12<<20)})
			if unknown {
				src.Artifact.Files[0].Size = -1
			}
			out := target.Copy(context.Background(), src, []*target.Target{small, large})
			Refused(t, out[0].Err, target.CodeFull)
			if out[1].Err != nil {
				t.Errorf("got %v from the other target, want a copy", out[1].Err)
			}
			if all, _, err := small.List(context.Background()); err != nil || len(all) > 0 {
				t.Errorf("got %d copies, error %v, want none", len(all), err)
			}
		})
	}
}

func TestSpaceIsReserved(t *testing.T) {
	dir := disk(t, "16m")
	tgt := openFolder(t, dir, nil)
	src := Source(File{Name: "disk.raw", Data: Bytes(6, 8<<20)})
	// When 4 MiB are read the file has its 8, so somebody else cannot take them.
	broken := BreakAt(src, 7<<20, func() {
		err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 15<<20), 0o600)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v from the filler, want a full disk", err)
		}
		if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
			t.Error(err)
		}
	})
	target.Copy(context.Background(), broken, []*target.Target{tgt})
	free, _, err := tgt.Space(context.Background())
	if err != nil || free < 8<<20 {
		t.Errorf("got %d bytes free after the transfer broke, error %v, want what was not written", free, err)
	}
	One(t, src, tgt)
}

func TestReadOnlyDisk(t *testing.T) {
	dir := disk(t, "8m")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	tgt := openFolder(t, dir, nil)
	o := target.Copy(context.Background(), Source(File{Name: "disk.raw", Data: Bytes(7, 1000)}), []*target.Target{tgt})[0]
	Refused(t, o.Err, target.CodeReadOnly)
}

func TestOnePassFeedsAll(t *testing.T) {
	s, offsite := serve(t)
	_ = s
	id, recipient := Keys(t, true)
	plain := openFolder(t, newFolder(t), nil)
	sealed := openFolder(t, newFolder(t), func(s *target.Spec, _ *target.Env) {
		s.Name, s.URL, s.SealedTo, s.PartSize = "usb-b", "file:///backups/", []string{recipient}, 1<<20
	})
	data := Bytes(8, 9<<20+5)
	src := Source(File{Name: "disk.raw", Data: data})
	opens, checks := 0, 0
	open := src.Open
	src.Open = func(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
		opens++
		return open(ctx, name, offset)
	}
	src.Check = target.EachFile(func(_ context.Context, _ string, r io.Reader) error {
		checks++
		b, err := io.ReadAll(r)
		if err == nil && !bytes.Equal(b, data) {
			t.Errorf("the check saw other bytes than the source has")
		}
		return err
	}).Each
	targets := []*target.Target{plain, sealed, offsite}
	for i, o := range target.Copy(context.Background(), src, targets) {
		if o.Err != nil {
			t.Fatalf("got %v from %s", o.Err, o.Target)
		}
		if _, err := targets[i].Verify(context.Background(), o.Copy, ledger.Read, nil, nil); err != nil {
			t.Error(err)
		}
		if got := ReadAll(t, targets[i], o.Copy, "disk.raw", id); !bytes.Equal(got, data) {
			t.Errorf("got other bytes from %s", o.Target)
		}
	}
	if opens != 1 || checks != 1 {
		t.Errorf("got the source opened %d times and checked %d times, want once", opens, checks)
	}
}

func TestSamePlaceTwiceIsRefused(t *testing.T) {
	dir := newFolder(t)
	a, b := openFolder(t, dir, nil), openFolder(t, dir, func(s *target.Spec, _ *target.Env) { s.Name = "usb-b" })
	out := target.Copy(context.Background(), Source(File{Name: "x", Data: []byte("x")}), []*target.Target{a, b})
	if out[0].Err != nil {
		t.Error(out[0].Err)
	}
	Refused(t, out[1].Err, target.CodeBadTarget)
}

func TestBareMediumCanBeOpened(t *testing.T) {
	dir := newFolder(t)
	o := One(t, Source(File{Name: "disk.raw", Data: Bytes(9, 1000)}), openFolder(t, dir, nil))
	env := Env(Stick())
	tgt, err := target.OpenPath(context.Background(), dir, env, target.Access{})
	if err != nil {
		t.Fatal(err)
	}
	defer tgt.Close()
	all, bad, err := tgt.List(context.Background())
	if err != nil || len(bad) > 0 || len(all) != 1 {
		t.Fatalf("got %d manifests, errors %v and %v", len(all), bad, err)
	}
	if got := ReadAll(t, tgt, all[0].Copy, "disk.raw"); !bytes.Equal(got, Bytes(9, 1000)) || all[0].Copy.ID != o.Copy.ID {
		t.Errorf("got other bytes than were copied")
	}
	if _, err := tgt.Verify(context.Background(), all[0].Copy, ledger.Read, nil, nil); err != nil {
		t.Error(err)
	}
}

func TestArtifactThatLiesInTheStorage(t *testing.T) {
	data := Bytes(10, 100_000)
	removed := ""
	env := Env(Stick())
	env.InPlace = func(_ context.Context, volume string, offset int64) (io.ReadCloser, error) {
		if volume != "local:backup/x.vma.zst" {
			return nil, errors.New("not found")
		}
		return io.NopCloser(bytes.NewReader(data[offset:])), nil
	}
	env.Remove = func(_ context.Context, volume string) (bool, error) {
		removed = volume
		return true, nil
	}
	ctx := context.Background()
	tgt, err := target.Open(ctx, target.Spec{Name: "pve", URL: "pve://local", Medium: "disk"}, env)
	if err != nil {
		t.Fatal(err)
	}
	src := Source(File{Name: "x.vma.zst", Data: data})
	o := target.Copy(ctx, src, []*target.Target{tgt})[0]
	Refused(t, o.Err, target.CodeNotFound)
	src.Artifact.Origin = ledger.Origin{Volume: "local:backup/x.vma.zst"}
	o = One(t, src, tgt)
	if !o.Copy.InPlace || o.Copy.Ref != "local:backup/x.vma.zst" || o.Copy.Files[0].SHA256 != o.Clear["x.vma.zst"] {
		t.Errorf("got %+v, want the archive counted in place", o.Copy)
	}
	accept := func(_ context.Context, _ string, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }
	if v, err := tgt.Verify(ctx, o.Copy, ledger.Opened, nil, target.EachFile(accept).Each); err != nil || v.Level != ledger.Opened {
		t.Errorf("got level %d, error %v, want it opened", v.Level, err)
	}
	data[5]++
	_, err = tgt.Verify(ctx, o.Copy, ledger.Read, nil, nil)
	Refused(t, err, target.CodeDamaged)
	if was, err := tgt.Remove(ctx, o.Copy); err != nil || !was || removed != "local:backup/x.vma.zst" {
		t.Errorf("got %q removed, error %v", removed, err)
	}
}
