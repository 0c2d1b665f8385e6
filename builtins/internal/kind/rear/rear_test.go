package rear

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/kind"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// sysfs makes a machine with a system disk, a stick and a second disk.
func sysfs(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for file, text := range map[string]string{
		"sys/block/sda/device/serial": "SYS1\n", "sys/block/sda/size": "1000\n", "sys/block/sda/dev": "8:0\n", "sys/block/sda/sda1/size": "900\n",
		"sys/block/sdb/dev": "8:16\n", "sys/block/sdb/size": "64\n", "run/udev/data/b8:16": "E:ID_SERIAL=X_STICK1\nE:ID_SERIAL_SHORT=STICK1\n",
		"sys/block/sdc/serial": "GROUP1\n", "sys/block/sdc/size": "1000\n", "sys/block/sdc/sdc1/holders/dm-0": "",
		"sys/block/sdd/serial": "TWIN\n", "sys/block/sdd/size": "1000\n", "sys/block/sde/serial": "TWIN\n", "sys/block/sde/size": "1000\n",
		"sys/block/sdf/serial": "EMPTY\n", "sys/block/sdf/size": "0\n", "sys/block/loop0/size": "5\n", "sys/block/loop0/dev": "7:0\n",
		"proc/self/mounts": "/dev/sda1 / ext4 rw 0 0\n", "proc/swaps": "Filename Type Size Used Priority\n",
		"dev/sdb": strings.Repeat("x", 64*512),
	} {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// comingBack is a job for an image of these files.
func comingBack(t *testing.T, files map[string]string, o kind.Options) *kind.Job {
	t.Helper()
	j := &kind.Job{Artifact: ledger.Artifact{ID: "2222222222222222", Kind: "rear", Item: "pve1",
		Declared: map[string]string{"erases": "100 (erp)"}}, Into: t.TempDir(), Options: o,
		Open: func(_ context.Context, file string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(files[file])), nil
		}}
	for name, text := range files {
		j.Artifact.Files = append(j.Artifact.Files, ledger.File{Name: name, Size: int64(len(text))})
	}
	return j
}

func TestARescueImageIsWrittenToTheMediumThatIsNamed(t *testing.T) {
	root := sysfs(t)
	image := strings.Repeat("image of rear ", 100)
	j := comingBack(t, map[string]string{"rear-pve1.iso": image}, kind.Options{Root: root, Serial: "STICK1", Erase: true})
	if err := recoverRear(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, "dev/sdb"))
	if err != nil || !bytes.HasPrefix(got, []byte(image)) || len(got) != 64*512 {
		t.Errorf("the medium does not begin with the image: %v", err)
	}
	if !slices.Contains(j.Paths, "/dev/sdb") || !strings.Contains(strings.Join(j.Say, "\n"), "erases guests 100 (erp)") {
		t.Errorf("got %q, %q", j.Paths, j.Say)
	}
}

func TestOtherMediaAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, serial string
		erase        bool
		size         int
		want         string
	}{
		{"nobody consented", "STICK1", false, 10, "nobody consented"},
		{"no disk has the serial", "STICK9", true, 10, "no disk has it"},
		{"the system's disk", "SYS1", true, 10, "/dev/sda1 is in use"},
		{"a disk that carries a group", "GROUP1", true, 10, "dm-0 lies on it"},
		{"two disks of one serial", "TWIN", true, 10, "all have it"},
		{"a reader without a card", "EMPTY", true, 10, "no medium is in it"},
		{"a stick that is too small", "STICK1", true, 64*512 + 1, "the medium 32768"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := sysfs(t)
			j := comingBack(t, map[string]string{"rear-pve1.iso": strings.Repeat("i", c.size)},
				kind.Options{Root: root, Serial: c.serial, Erase: c.erase})
			if err := recoverRear(t.Context(), j); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if got, err := os.ReadFile(filepath.Join(root, "dev/sdb")); err != nil || strings.Trim(string(got), "x") != "" {
				t.Errorf("the stick was written to: %v", err)
			}
			if _, err := os.Stat(filepath.Join(j.Into, "rear-pve1.iso")); err != nil {
				t.Errorf("the files are not there all the same: %v", err)
			}
		})
	}
}

func TestADifferentialArchiveComesBackWithItsFullOne(t *testing.T) {
	j := comingBack(t, map[string]string{"rear-pve1.iso": "i", "2026-11-24-0100-D.tar.gz": "diff"}, kind.Options{})
	j.Artifact.Needs = []string{"1111111111111111"}
	alone := *j
	if err := recoverRear(t.Context(), &alone); err != nil || len(alone.Skipped) != 1 ||
		!strings.Contains(alone.Skipped[0], "1111111111111111") {
		t.Errorf("without the full one: got %v, %q", err, alone.Skipped)
	}
	j.Into = t.TempDir()
	j.Others = []kind.Other{{Artifact: ledger.Artifact{ID: "1111111111111111",
		Files: []ledger.File{{Name: "rear-pve1.iso"}, {Name: "2026-11-23-0100-F.tar.gz"}}},
		Open: func(context.Context, string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("full")), nil
		}, End: func(context.Context) error { return nil }}}
	if err := recoverRear(t.Context(), j); err != nil || len(j.Skipped) != 0 {
		t.Fatalf("got %v, %q", err, j.Skipped)
	}
	for file, want := range map[string]string{"2026-11-23-0100-F.tar.gz": "full", "2026-11-24-0100-D.tar.gz": "diff", "rear-pve1.iso": "i"} {
		if got, err := os.ReadFile(filepath.Join(j.Into, file)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", file, got, err)
		}
	}
}

func TestAFullArchiveThatDoesNotOpenIsNoGround(t *testing.T) {
	j := comingBack(t, map[string]string{"rear-pve1.iso": "i", "2026-11-24-0100-D.tar.gz": "diff"}, kind.Options{})
	j.Artifact.Needs = []string{"1111111111111111"}
	var read []string
	j.Others = []kind.Other{{Artifact: ledger.Artifact{ID: "1111111111111111",
		Files: []ledger.File{{Name: "rear-pve1.iso"}, {Name: "2026-11-23-0100-F.tar.gz"}}},
		Open: func(_ context.Context, file string) (io.ReadCloser, error) {
			read = append(read, file)
			return io.NopCloser(strings.NewReader("full")), nil
		}, End: func(context.Context) error { return errors.New("the tar ends early") }}}
	err := recoverRear(t.Context(), j)
	if err == nil || !strings.Contains(err.Error(), "artifact 1111111111111111): the tar ends early") {
		t.Errorf("got %v, want what is wrong with the full archive", err)
	}
	if len(read) != 2 {
		t.Errorf("got %q read, want all files, in order", read)
	}
}

func TestRescueImagesAreHeldToTheirPlan(t *testing.T) {
	check := func(files ...string) error {
		c := Kind().Open()
		for i := 0; i < len(files); i += 2 {
			if err := c.File(t.Context(), files[i], strings.NewReader(files[i+1])); err != nil {
				return err
			}
		}
		return c.End()
	}
	for _, c := range []struct {
		name  string
		files []string
		want  string
	}{
		{"nothing", nil, "without its plan"},
		{"no plan first", []string{"rear-pve1.iso", "x", "plan.json", "{}"}, "does not come first"},
		{"a plan that is none", []string{"plan.json", "x"}, "cannot be read"},
		{"a layout that is none", []string{"plan.json", "{}", "disklayout.conf", "nonsense here\n"}, "not a kind of component"},
		{"an image that is none", []string{"plan.json", "{}", "disklayout.conf", "", "rear-pve1.iso", strings.Repeat("x", 40000)},
			"not an ISO 9660 image"},
		{"no image", []string{"plan.json", "{}", "disklayout.conf", "disk /dev/sda 5 gpt\n"}, "holds no kernel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var own *failure.Error
			if err := check(c.files...); !errors.As(err, &own) || own.Code.Name != "E_DAMAGED" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
