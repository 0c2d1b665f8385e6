package iso

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

// sample unpacks an image that a writer made.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".iso.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// contents reads an image into a map; a hard link's content is "=".
func contents(data []byte) (Image, map[string]string, error) {
	got := map[string]string{}
	img, err := Read(context.Background(), bytes.NewReader(data), func(f File, r io.Reader) error {
		if r == nil {
			got[f.Name] = "="
			return nil
		}
		c, err := io.ReadAll(r)
		got[f.Name] = string(c)
		return err
	})
	return img, got, err
}

// The images were made by xorriso 1.5.4 and genisoimage 1.1.11 with the options
// that ReaR gives them.
func TestImagesOfTheUsualWritersAreRead(t *testing.T) {
	for _, writer := range []string{"xor", "gen"} {
		t.Run(writer, func(t *testing.T) {
			img, got, err := contents(sample(t, writer))
			if err != nil {
				t.Fatal(err)
			}
			if img.Volume != "REAR-ISO" || len(img.Boots) != 2 || img.Boots[0].EFI || !img.Boots[1].EFI {
				t.Errorf("got volume %q, boots %+v; want REAR-ISO, a BIOS and an EFI entry", img.Volume, img.Boots)
			}
			long := "a/b/c/" + strings.Repeat("long-", 40) + "name with space"
			for name, want := range map[string]string{"isolinux/kernel": strings.Repeat("k", 3000), long: "deep", "empty": "",
				"a/b/c/file-80-with-a-name-of-some-length": "80"} {
				if got[name] != want {
					t.Errorf("%s: got %q, want %q", name, got[name], want)
				}
			}
			if one, two := got["backup/backup.tar.gz"], got["backup/same"]; one+two != "hello=" && two+one != "hello=" && one+two != "hellohello" {
				t.Errorf("hard links: got %q and %q", one, two)
			}
			links := map[string]string{}
			for _, f := range img.Files {
				if f.Mode&fs.ModeSymlink != 0 {
					links[f.Name] = f.Link
				}
			}
			if links["a/b/link"] != "../../isolinux/kernel" || links["a/abs"] != "/etc/../x//y" && links["a/abs"] != "/etc/../x/y" {
				t.Errorf("links: got %v", links)
			}
		})
	}
}

func TestImagesOfGoDiskfsAreRead(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "x.iso"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	work := filepath.Join(dir, "work")
	if err := os.MkdirAll(filepath.Join(work, "boot", "grub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"boot/grub/grub.cfg": "menu", "backup.tar.gz": strings.Repeat("b", 5000)} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w, err := iso9660.Create(file.New(f, false), 0, 0, block, work)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Finalize(iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: "REAR-ISO"}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := contents(data)
	if err != nil || got["boot/grub/grub.cfg"] != "menu" || got["backup.tar.gz"] != strings.Repeat("b", 5000) {
		t.Errorf("got %d files, %v", len(got), err)
	}
}

// rootOf is where the records of the root folder lie.
func rootOf(data []byte) int { return int(binary.LittleEndian.Uint32(data[16*block+158:])) * block }

// recordOf finds the record of an entry of the root folder by its plain name.
func recordOf(t *testing.T, data []byte, name string) []byte {
	t.Helper()
	for off := rootOf(data); data[off] != 0; off += int(data[off]) {
		if rec := data[off : off+int(data[off])]; strings.HasPrefix(string(rec[33:33+int(rec[32])]), name) {
			return rec
		}
	}
	t.Fatalf("no record %s", name)
	return nil
}

func TestDamageIsSaid(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, data []byte) []byte
		want string
	}{
		{"nothing", func(*testing.T, []byte) []byte { return nil }, "ends within the volume descriptors"},
		{"another file system", func(*testing.T, []byte) []byte { return make([]byte, 100*block) }, "not an ISO 9660 image"},
		{"cut in the folders", func(_ *testing.T, d []byte) []byte { return d[:rootOf(d)+100] }, "ends within folder /"},
		{"cut in the files", func(_ *testing.T, d []byte) []byte { return d[:len(d)/2] }, "it ends"},
		{"its padding cut away", func(_ *testing.T, d []byte) []byte { return d[:len(d)-200*block] }, "it ends"},
		{"a folder that contains itself", func(t *testing.T, d []byte) []byte {
			binary.LittleEndian.PutUint32(recordOf(t, d, "A")[2:], uint32(rootOf(d)/block))
			return d
		}, "contains itself"},
		{"a folder beyond the head", func(t *testing.T, d []byte) []byte {
			binary.LittleEndian.PutUint32(recordOf(t, d, "A")[2:], 1<<20)
			return d
		}, "behind the first 32 MiB"},
		{"a folder of 4 GiB", func(t *testing.T, d []byte) []byte {
			binary.LittleEndian.PutUint32(recordOf(t, d, "A")[10:], 0xffffffff)
			return d
		}, "behind the first 32 MiB"},
		{"a file beyond the end", func(t *testing.T, d []byte) []byte {
			rec := recordOf(t, d, "EMPTY")
			binary.LittleEndian.PutUint32(rec[2:], 1<<30)
			binary.LittleEndian.PutUint32(rec[10:], 5)
			return d
		}, "ends within"},
		{"a file over another", func(t *testing.T, d []byte) []byte {
			rec := recordOf(t, d, "EMPTY")
			binary.LittleEndian.PutUint32(rec[2:], uint32(len(d)/block/2))
			binary.LittleEndian.PutUint32(rec[10:], uint32(len(d)))
			return d
		}, "it ends within"},
		{"a record that is too short", func(t *testing.T, d []byte) []byte {
			recordOf(t, d, "A")[0] = 20
			return d
		}, "record of folder / is damaged"},
		{"a name longer than its record", func(t *testing.T, d []byte) []byte {
			recordOf(t, d, "A")[32] = 250
			return d
		}, "record of folder / is damaged"},
		{"a name that climbs", func(t *testing.T, d []byte) []byte {
			rec := recordOf(t, d, "EMPTY")
			copy(rec[bytes.Index(rec, []byte("NM")):], "XX")
			copy(rec[33:], "../x;")
			return d
		}, "invalid name"},
		{"an extent that is missing", func(t *testing.T, d []byte) []byte {
			recordOf(t, d, "EMPTY")[25] |= 0x80
			return d
		}, "extent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got, err := contents(c.do(t, sample(t, "xor")))
			if fault := new(Error); !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %d files, %v; want %q", len(got), err, c.want)
			}
		})
	}
}

func TestExtentsOfOneFileAreJoined(t *testing.T) {
	part := func(name string, lba uint32, size int64, open bool) placed {
		return placed{File{Name: name, Size: size}, extent{lba, size}, open}
	}
	for _, c := range []struct {
		name  string
		parts []placed
		want  string
	}{
		{"one", []placed{part("a", 50, 5, false)}, "a 5"},
		{"three", []placed{part("a", 50, 4096, true), part("a", 52, 2048, true), part("a", 53, 7, false)}, "a 6151"},
		{"a hole", []placed{part("a", 50, 4096, true), part("a", 53, 7, false)}, "do not follow"},
		{"another name", []placed{part("a", 50, 4096, true), part("b", 52, 7, false)}, "do not follow"},
		{"a part that fills no block", []placed{part("a", 50, 4095, true), part("a", 52, 7, false)}, "do not follow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := &tree{}
			var err error
			for _, p := range c.parts {
				err = errors.Join(err, tr.add(p, 0, 0))
			}
			got := fmt.Sprint(err)
			if err == nil {
				got = fmt.Sprintf("%s %d", tr.files[0].Name, tr.files[0].size)
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestOtherErrorsStayThemselves(t *testing.T) {
	data, mine := sample(t, "xor"), errors.New("mine")
	if _, err := Read(t.Context(), bytes.NewReader(data), func(File, io.Reader) error { return mine }); err != mine {
		t.Errorf("got %v, want that of the function", err)
	}
	broken := io.MultiReader(bytes.NewReader(data[:len(data)/3]), errReader{mine})
	if _, err := Read(t.Context(), broken, func(_ File, r io.Reader) error { return nil }); err != mine {
		t.Errorf("got %v, want that of the source", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Read(ctx, bytes.NewReader(data), func(File, io.Reader) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

// FuzzRead changes one place of a true image, and its length.
func FuzzRead(f *testing.F) {
	data := sample(f, "xor")
	root := rootOf(data)
	f.Add(root, []byte{34}, len(data))
	f.Add(root+2*block, []byte("CE"), len(data))
	f.Add(16*block+158, []byte{1, 2, 3, 4}, len(data))
	f.Add(0, []byte{}, root+10)
	f.Fuzz(func(t *testing.T, at int, change []byte, size int) {
		if at < 0 || at+len(change) > len(data) || size < 0 || size > len(data) {
			return
		}
		d := bytes.Clone(data)
		copy(d[at:], change)
		_, err := Read(context.Background(), bytes.NewReader(d[:size]), func(file File, r io.Reader) error {
			if strings.HasPrefix(file.Name, "/") || strings.Contains("/"+file.Name+"/", "/../") {
				t.Errorf("bad name %q", file.Name)
			}
			if r == nil {
				return nil
			}
			n, err := io.Copy(io.Discard, r)
			if err == nil && n != file.Size {
				t.Errorf("%s gave %d bytes, and has %d", file.Name, n, file.Size)
			}
			return err
		})
		if fault := new(Error); err != nil && !errors.As(err, &fault) {
			t.Errorf("got %v, want an *Error", err)
		}
	})
}
