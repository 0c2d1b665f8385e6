package disk

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/failure"
)

// machine is the lab's, on which runner runs.
func machine(t *testing.T) (*lab.World, host.Host) {
	t.Helper()
	w, err := lab.Open(t.Context(), filepath.Join(t.TempDir(), "world"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, host.Played(host.LocalAt("here", w.Root()), func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (int,
		error) {
		if exit := w.Program(ctx, args, stdin, stdout, stderr); exit != 127 {
			return exit, nil
		}
		return 0, host.ErrNoProgram
	})
}

func wantCode(t *testing.T, err error, code failure.Code, words ...string) {
	t.Helper()
	if !failure.Is(err, code) {
		t.Fatalf("got %v, want %s", err, code.Name)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got %q, want %q in it", err, w)
		}
	}
}

func TestWhichDisksMayBeMadeAMedium(t *testing.T) {
	usb := Disk{Name: "sdb", Path: "/dev/sdb", Type: "disk", Serial: "S1", Size: 1 << 30}
	with := func(edit func(*Disk)) []Disk {
		d := usb
		edit(&d)
		return []Disk{d}
	}
	parted := with(func(d *Disk) { d.Children = []Disk{{Name: "sdb1", Path: "/dev/sdb1", Type: "part"}} })
	for name, c := range map[string]struct {
		list  []Disk
		path  string
		code  failure.Code
		words []string
	}{
		"an empty one":              {[]Disk{usb}, "/dev/sdb", failure.Code{}, nil},
		"one with old partitions":   {parted, "/dev/sdb", failure.Code{}, nil},
		"none of that name":         {[]Disk{usb}, "/dev/sdc", CodeUnfit, []string{"no such disk", "/dev/sdb S1"}},
		"a partition":               {parted, "/dev/sdb1", CodeUnfit, []string{"/dev/sdb"}},
		"one without a serial":      {with(func(d *Disk) { d.Serial = "" }), "/dev/sdb", CodeUnfit, []string{"no serial"}},
		"one that can only be read": {with(func(d *Disk) { d.RO = true }), "/dev/sdb", CodeUnfit, []string{"only be read"}},
		"a CD":                      {with(func(d *Disk) { d.Type = "rom" }), "/dev/sdb", CodeUnfit, []string{"rom"}},
		"one that is mounted": {with(func(d *Disk) {
			d.Children = []Disk{{Name: "sdb1", Path: "/dev/sdb1", Type: "part", Mounts: []string{"", "/boot"}}}
		}), "/dev/sdb", CodeBusy, []string{"/boot"}},
		"a member of an array": {with(func(d *Disk) {
			d.Children = []Disk{{Name: "sdb1", Path: "/dev/sdb1", Type: "part", Children: []Disk{{Name: "md0", Type: "raid1"}}}}
		}), "/dev/sdb", CodeBusy, []string{"raid1 md0"}},
		"an open container": {with(func(d *Disk) { d.Children = []Disk{{Name: "secret", Type: "crypt"}} }), "/dev/sdb", CodeBusy,
			[]string{"crypt secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Fit(c.list, c.path)
			if c.code.Name == "" {
				if err != nil || d.Serial != "S1" {
					t.Fatalf("got %+v, %v", d, err)
				}
				return
			}
			wantCode(t, err, c.code, c.words...)
		})
	}
}

// A disk is erased only while it is the one that was looked at.
func TestPrepareStopsWhenTheDiskWasExchanged(t *testing.T) {
	w, h := machine(t)
	path, err := w.PlugBlank("offline-c", "FIRST", 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Prepare(t.Context(), h, Disk{Name: "sde", Path: path, Type: "disk", Serial: "SECOND"}, []byte("key"), "offline-c")
	wantCode(t, err, CodeUnfit, "FIRST", "SECOND")
	list, err := List(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := OfSerial(list, "FIRST"); err != nil || d.Holds() != "" {
		t.Errorf("got %+v, %v, want it untouched", d, err)
	}
}

// Whatever fails on the way, the container is closed again, and the words are the program's.
func TestPrepareThatFailsLeavesNothingOpen(t *testing.T) {
	for _, program := range []string{"wipefs", "cryptsetup", "mkfs.ext4", "blkid"} {
		t.Run(program, func(t *testing.T) {
			w, h := machine(t)
			path, err := w.PlugBlank("offline-c", "NEW", 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Inject(lab.Fault{On: "here " + program, Do: "exit 5 the disk does not answer", Times: 1}); err != nil {
				t.Fatal(err)
			}
			d := Disk{Name: filepath.Base(path), Path: path, Type: "disk", Serial: "NEW"}
			_, err = Prepare(t.Context(), h, d, []byte("key"), "offline-c")
			wantCode(t, err, CodeProgram, program+" ended with 5: the disk does not answer")
			list, err := List(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Fit(list, path); err != nil {
				t.Errorf("it is in use now: %v", err)
			}
			if uuid, err := Prepare(t.Context(), h, d, []byte("key"), "offline-c"); err != nil || uuid == "" {
				t.Errorf("once more: got %q, %v", uuid, err)
			}
		})
	}
}

func TestADamagedHeaderIsToldFromAWrongKey(t *testing.T) {
	w, h := machine(t)
	if err := w.Plug("offline-b"); err != nil {
		t.Fatal(err)
	}
	open := func(key string) error {
		list, err := List(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		d, err := OfSerial(list, "LABUSB000B")
		if err != nil {
			t.Fatal(err)
		}
		return Unlock(t.Context(), h, d, []byte(key), "runner-offline-b", "/media/offline-b")
	}
	wantCode(t, open("wrong"), CodeLocked, "the passphrase in the keyring does not open it")
	if err := w.DamageHeader("offline-b"); err != nil {
		t.Fatal(err)
	}
	err := open(lab.MediumPassphrase)
	wantCode(t, err, CodeLocked, "its header is damaged")
	if errors.Is(err, host.ErrNoProgram) || strings.Contains(err.Error(), lab.MediumPassphrase) {
		t.Errorf("got %v", err)
	}
}

func FuzzList(f *testing.F) {
	f.Add([]byte(`{"blockdevices":[{"name":"sdb","path":"/dev/sdb","type":"disk","size":1,"serial":"S","ro":false,"mountpoints":[null],
"children":[{"name":"x","type":"crypt","mountpoints":["/media/a"]}]}]}`))
	f.Add([]byte(`{"blockdevices":[{"name":"../x"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := parse(raw)
		if err != nil {
			return
		}
		for _, d := range list {
			if strings.ContainsAny(d.Name, "/") || strings.ContainsAny(d.Serial+d.Model+d.Label, "\n\x1b") {
				t.Errorf("got %+v", d)
			}
			_, _ = Fit(list, d.Path)
			_ = d.Holds()
		}
		_, _ = Chain(list, "/media/a"), Carrying(list, "x")
	})
}
