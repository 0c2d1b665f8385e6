package decoded_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/internal/chunks"
	"github.com/neosofia/runner/builtins/internal/decoded"
	"github.com/neosofia/runner/builtins/internal/format/archive"
	"github.com/neosofia/runner/builtins/internal/format/vma"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/tests/gauge"
)

const samples = "../format/archive/testdata/"

func repository(t *testing.T) (*chunks.Repository, string) {
	t.Helper()
	dir := t.TempDir()
	o := chunks.Options{Folder: dir, Password: "correct horse", Scratch: t.TempDir(), Target: "second-disk", Write: true, Now: time.Now}
	if err := chunks.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	r, err := chunks.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r, dir
}

func spool(t *testing.T) *vma.Spool {
	s := vma.NewSpool(t.TempDir(), 64<<20)
	t.Cleanup(func() { s.Close() })
	return s
}

// machine makes an archive of two disks, whose clusters come out of order.
func machine(t *testing.T, disks ...[]byte) []byte {
	t.Helper()
	h := vma.Header{UUID: [16]byte{1, 2, 3}, Created: time.Unix(1795000000, 0).UTC(),
		Configs: []vma.Config{{Name: "qemu-server.conf", Data: []byte("cores: 2\n")}, {Name: "qemu-server.fw", Data: []byte("[OPTIONS]\n")}}}
	var order [][2]int
	const cluster = 65536
	for i, d := range disks {
		h.Devices = append(h.Devices, vma.Device{ID: 2*i + 1, Name: "drive-scsi" + string(rune('0'+i)), Size: int64(len(d))})
		for c := range (len(d) + cluster - 1) / cluster {
			order = append(order, [2]int{i, c})
		}
	}
	pick := rand.New(rand.NewPCG(3, 3))
	for i := range order { // near where they belong, and mixed
		j := min(len(order)-1, i+pick.IntN(40))
		order[i], order[j] = order[j], order[i]
	}
	var out bytes.Buffer
	w, err := vma.NewWriter(&out, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range order {
		at := o[1] * cluster
		if err := w.WriteCluster(2*o[0]+1, uint32(o[1]), disks[o[0]][at:min(at+cluster, len(disks[o[0]]))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func packed(t *testing.T, b []byte) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return e.EncodeAll(b, nil)
}

func random(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// disksOf extracts an archive as a restore does.
func disksOf(t *testing.T, name string, r io.Reader) (archive.Report, map[string][]byte) {
	t.Helper()
	got := map[string][]byte{}
	report, err := archive.ExtractDisks(t.Context(), name, r, func(d vma.Device) (io.WriterAt, error) {
		got[d.Name] = make([]byte, d.Size)
		return memory(got[d.Name]), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return report, got
}

type memory []byte

func (m memory) WriteAt(b []byte, at int64) (int, error) { return copy(m[at:], b), nil }

// An archive goes in, its parts can be read, and an archive of the same disks comes out.
func TestAMachineComesBack(t *testing.T) {
	r, _ := repository(t)
	pve, err := os.ReadFile(samples + "vzdump-qemu-100-2026_11_23-07_11_16.vma.zst")
	if err != nil {
		t.Fatal(err)
	}
	a, b := random(1, 5<<20+512), slices.Concat(random(2, 300<<10), make([]byte, 4<<20), random(3, 1000))
	for name, raw := range map[string][]byte{
		"vzdump-qemu-100-2026_11_23-07_11_16.vma.zst": pve,
		"vzdump-qemu-104-2026_11_24-01_00_00.vma.zst": packed(t, machine(t, a, b)),
		"vzdump-qemu-105-2026_11_24-01_00_00.vma":     machine(t, b),
	} {
		t.Run(name, func(t *testing.T) {
			folder := "vm/" + name
			ix, err := decoded.Put(t.Context(), r, folder, name, bytes.NewReader(raw), spool(t))
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(ix)
			if err != nil {
				t.Fatal(err)
			}
			var again decoded.Index
			if err := json.Unmarshal(text, &again); err != nil {
				t.Fatal(err)
			}
			if n, err := decoded.Verify(t.Context(), r, folder, again); err != nil || n == 0 {
				t.Errorf("read back %d bytes: %v", n, err)
			}
			rc, err := decoded.Archive(t.Context(), r, folder, again)
			if err != nil {
				t.Fatal(err)
			}
			defer rc.Close()
			report, got := disksOf(t, ix.Plain, rc)
			wanted, want := disksOf(t, name, bytes.NewReader(raw))
			if len(got) != len(want) || len(got) == 0 {
				t.Errorf("got %d disks, want %d", len(got), len(want))
			}
			for disk, data := range want {
				if !bytes.Equal(got[disk], data) {
					t.Errorf("%s came back with %d bytes, want %d equal ones", disk, len(got[disk]), len(data))
				}
			}
			if len(report.Configs) != len(wanted.Configs) {
				t.Fatalf("got files %v, want %v", report.Configs, wanted.Configs)
			}
			for i, c := range wanted.Configs {
				if report.Configs[i].Name != c.Name || !bytes.Equal(report.Configs[i].Data, c.Data) {
					t.Errorf("%s is %q, want %q", c.Name, report.Configs[i].Data, c.Data)
				}
			}
			if !strings.HasSuffix(ix.Plain, ".vma") || !archive.Known(ix.Plain) {
				t.Errorf("the archive is called %s", ix.Plain)
			}
		})
	}
}

func TestAContainerComesBack(t *testing.T) {
	for _, name := range []string{"vzdump-lxc-101-2026_11_23-06_49_42.tar.zst", "vzdump-lxc-101-2026_11_28-05_00_43.tar.gz"} {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(samples + name)
			if err != nil {
				t.Fatal(err)
			}
			r, _ := repository(t)
			ix, err := decoded.Put(t.Context(), r, "ct/x/T1", name, bytes.NewReader(raw), spool(t))
			if err != nil {
				t.Fatal(err)
			}
			rc, err := decoded.Archive(t.Context(), r, "ct/x/T1", ix)
			if err != nil {
				t.Fatal(err)
			}
			defer rc.Close()
			got, err := archive.Check(t.Context(), ix.Plain, rc)
			if err != nil {
				t.Fatal(err)
			}
			want, err := archive.Check(t.Context(), name, bytes.NewReader(raw))
			if err != nil || got.Entries != want.Entries || got.Bytes != want.Bytes || got.Format != "tar" {
				t.Errorf("got %d entries in %d bytes of %s, want %d in %d, %v", got.Entries, got.Bytes, got.Format, want.Entries,
					want.Bytes, err)
			}
		})
	}
}

// A night costs what changed, whatever the order in which clusters came and the compressor made of it.
func TestANightCostsWhatChanged(t *testing.T) {
	r, dir := repository(t)
	disk := random(1, 24<<20)
	put := func(folder string) int64 {
		before := gauge.Size(t, dir)
		if _, err := decoded.Put(t.Context(), r, folder, "vzdump-qemu-104-2026_11_24-01_00_00.vma.zst",
			bytes.NewReader(packed(t, machine(t, disk, random(2, 2<<20)))), spool(t)); err != nil {
			t.Fatal(err)
		}
		return gauge.Size(t, dir) - before
	}
	first := put("vm/erp/T1")
	copy(disk[7<<20:], random(9, 240<<10)) // 1 %
	if second := put("vm/erp/T2"); first < 25<<20 || second > 1<<20 {
		t.Errorf("the first night takes %d bytes, the second %d", first, second)
	}
}

// What is at fault, or cannot be decoded, leaves no disk behind that could be taken for one.
func TestWhatCannotBeDecodedIsTold(t *testing.T) {
	good := machine(t, random(1, 3<<20), random(2, 1<<20))
	var fault *archive.Error
	broke := errors.New("the source broke")
	r, _ := repository(t)
	for _, c := range []struct {
		name, file string
		r          io.Reader
		spool      int64
		want       func(error) bool
	}{
		{"lzo", "vzdump-qemu-1.vma.lzo", bytes.NewReader(good), 1 << 30, func(err error) bool { return errors.Is(err, target.ErrAsItIs) }},
		{"no guest", "notes.txt", bytes.NewReader(good), 1 << 30, func(err error) bool { return errors.Is(err, target.ErrAsItIs) }},
		{"out of order", "vzdump-qemu-1.vma", bytes.NewReader(good), 128 << 10,
			func(err error) bool { return errors.Is(err, target.ErrAsItIs) }},
		{"cut", "vzdump-qemu-1.vma", bytes.NewReader(good[:len(good)-1]), 1 << 30, func(err error) bool { return errors.As(err, &fault) }},
		{"cut, packed", "vzdump-qemu-1.vma.zst", bytes.NewReader(packed(t, good)[:3<<20]), 1 << 30,
			func(err error) bool { return errors.As(err, &fault) }},
		{"no archive", "vzdump-qemu-1.vma", strings.NewReader("hello"), 1 << 30, func(err error) bool { return errors.As(err, &fault) }},
		{"the source breaks", "vzdump-qemu-1.vma", io.MultiReader(bytes.NewReader(good[:2<<20]), failing{broke}), 1 << 30,
			func(err error) bool { return errors.Is(err, broke) }},
		{"a tar that is cut", "vzdump-lxc-1.tar.zst", bytes.NewReader(packed(t, good)[:1<<20]), 1 << 30,
			func(err error) bool { return errors.As(err, &fault) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			sp := vma.NewSpool(t.TempDir(), c.spool)
			defer sp.Close()
			_, err := decoded.Put(t.Context(), r, "vm/x/T1", c.file, c.r, sp)
			if !c.want(err) {
				t.Errorf("got %v", err)
			}
			if all, err := r.List(t.Context(), "."); err != nil || len(all) > 0 {
				t.Errorf("left: %v, %v", all, err)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A part with other bytes is found when it is read, and no archive is made of it.
func TestOtherBytesAreDamage(t *testing.T) {
	r, _ := repository(t)
	for _, c := range []struct {
		name string
		data []byte
		said string
	}{
		{"other bytes", random(5, 3<<20), "its SHA-256 is"},
		{"shorter", random(1, 3<<20-1), "it was stored with"},
		{"longer", append(random(1, 3<<20), 0), "it was stored with"},
		{"missing", nil, "it is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := "vm/x/" + c.name
			ix, err := decoded.Put(t.Context(), r, folder, "vzdump-qemu-1.vma", bytes.NewReader(machine(t, random(1, 3<<20))), spool(t))
			if err != nil {
				t.Fatal(err)
			}
			disk := folder + "/disk-drive-scsi0.raw"
			if c.data == nil {
				err = r.Delete(t.Context(), disk)
			} else {
				_, err = r.Put(t.Context(), disk, 0, -1, bytes.NewReader(c.data))
			}
			if err != nil {
				t.Fatal(err)
			}
			wants := func(err error) {
				t.Helper()
				if !failure.Is(err, target.CodeDamaged) || !strings.Contains(err.Error(), c.said) || !strings.Contains(err.Error(), disk) {
					t.Errorf("got %v, want E_DAMAGED that says %q of %s", err, c.said, disk)
				}
			}
			_, err = decoded.Verify(t.Context(), r, folder, ix)
			wants(err)
			rc, err := decoded.Archive(t.Context(), r, folder, ix)
			if err == nil {
				_, err = io.Copy(io.Discard, rc)
				rc.Close()
			}
			wants(err)
		})
	}
}

// An index comes from a medium: nothing in it is believed.
func TestAHostileIndexIsRefused(t *testing.T) {
	r, _ := repository(t)
	good, err := decoded.Put(t.Context(), r, "vm/x/T1", "vzdump-qemu-1.vma", bytes.NewReader(machine(t, random(1, 1<<20))), spool(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := good.Valid(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(ix *decoded.Index){
		"a path":           func(ix *decoded.Index) { ix.Parts[0].Name = "../../etc/shadow" },
		"no name":          func(ix *decoded.Index) { ix.Parts[0].Name = "" },
		"twice":            func(ix *decoded.Index) { ix.Parts[1].Name = ix.Parts[0].Name },
		"no digest":        func(ix *decoded.Index) { ix.Parts[0].SHA256 = "00" },
		"less than none":   func(ix *decoded.Index) { ix.Parts[0].Size = -1 },
		"unknown kind":     func(ix *decoded.Index) { ix.Parts[0].Kind = "x" },
		"no id":            func(ix *decoded.Index) { ix.Parts[0].ID = 0 },
		"a large config":   func(ix *decoded.Index) { ix.Parts[1].Size = 1 << 40 },
		"nothing":          func(ix *decoded.Index) { ix.Parts = nil },
		"no uuid":          func(ix *decoded.Index) { ix.UUID = "" },
		"a tree of a disk": func(ix *decoded.Index) { ix.Parts[0].Kind = target.PartTree },
		"no plain name":    func(ix *decoded.Index) { ix.Plain = "x" },
	} {
		ix := good
		ix.Parts = slices.Clone(good.Parts)
		spoil(&ix)
		if _, err := decoded.Verify(t.Context(), r, "vm/x/T1", ix); err == nil {
			t.Errorf("%s: verified", name)
		}
		if rc, err := decoded.Archive(t.Context(), r, "vm/x/T1", ix); err == nil {
			rc.Close()
			t.Errorf("%s: made", name)
		}
	}
}

// Who closes an archive early leaves nothing running.
func TestAnArchiveCanBeClosedEarly(t *testing.T) {
	r, _ := repository(t)
	ix, err := decoded.Put(t.Context(), r, "vm/x/T1", "vzdump-qemu-1.vma", bytes.NewReader(machine(t, random(1, 9<<20))), spool(t))
	if err != nil {
		t.Fatal(err)
	}
	rc, err := decoded.Archive(t.Context(), r, "vm/x/T1", ix)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(rc, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := rc.Close(); err != nil {
		t.Error(err)
	}
}

func TestCommandsNameEveryDisk(t *testing.T) {
	ix := decoded.Index{Plain: "x.vma", Parts: []decoded.Part{{Name: "disk-drive-scsi0.raw", Kind: target.PartDisk, ID: 1},
		{Name: "disk-it's.raw", Kind: target.PartDisk, ID: 2}, {Name: "config-qemu-server.conf", Kind: target.PartConfig}}}
	got := strings.Join(decoded.Commands(ix), "\n")
	for _, want := range []string{"qm importdisk NEWID 'disk-drive-scsi0.raw' STORAGE", `qm importdisk NEWID 'disk-it'\''s.raw' STORAGE`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not among\n%s", want, got)
		}
	}
	ix = decoded.Index{Plain: "x.tar", Parts: []decoded.Part{{Name: "tree.tar", Kind: target.PartTree}}}
	if got := decoded.Commands(ix)[1]; got != "pct restore NEWID tree.tar --storage STORAGE" {
		t.Errorf("got %s", got)
	}
}
