package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/internal/format/vma"
)

const (
	pveQemu = "vzdump-qemu-100-2026_11_23-07_11_16.vma.zst"
	pveLXC  = "vzdump-lxc-101-2026_11_23-06_49_42.tar.zst"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func check(name string, b []byte) (Report, error) {
	return Check(context.Background(), name, bytes.NewReader(b))
}

func packZstd(t testing.TB, b []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithEncoderConcurrency(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return e.EncodeAll(b, nil)
}

func packGzip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// refused holds that the archive is refused as damaged, with the words given.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	var fault *Error
	if !errors.As(err, &fault) || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want a damaged archive with %q", err, want)
	}
}

func TestNamesSayWhatFilesAre(t *testing.T) {
	for name, want := range map[string]string{
		pveQemu:                              "vma.zst",
		"/dump/" + pveLXC:                    "tar.zst",
		"a.vma":                              "vma",
		"a.vma.gz":                           "vma.gz",
		"vzdump-qemu-1-2020.vma.lzo":         "vma.lzo",
		"a.tar.bz2":                          "tar.bz2",
		"a.tar":                              "tar",
		"a.tgz":                              "tar.gz",
		"a.tar.gz":                           "tar.gz",
		"disk.raw.zst":                       "zst",
		"log.gz":                             "gz",
		"vzdump-qemu-100-2026.log":           "",
		"vzdump-lxc-1.tar.zst.notes":         "",
		".zst":                               "",
		"zst":                                "",
		"a.tar.xz":                           "",
		"":                                   "",
		"folder.tar/vzdump-qemu-100.vma.dat": "",
	} {
		f, err := formatOf(name)
		if got := f.String(); Known(name) != (want != "") || err == nil && got != want {
			t.Errorf("%q: got %q and known %v, want %q", name, got, Known(name), want)
		}
	}
	if _, err := check("a.iso", nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v for an unknown name", err)
	}
	_, err := check("a.vma.lzo", nil)
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "lzo") {
		t.Errorf("got %v for lzo", err)
	}
}

func TestProxmoxVMArchive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	disk, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	report, err := ExtractDisks(context.Background(), pveQemu, bytes.NewReader(sample(t, pveQemu)), func(d vma.Device) (io.WriterAt, error) {
		return disk, disk.Truncate(d.Size)
	})
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, disk); err != nil {
		t.Fatal(err)
	}
	got := []string{report.Format, report.Devices[0].Name, hex.EncodeToString(h.Sum(nil))}
	for _, c := range report.Configs {
		sum := sha256.Sum256(c.Data)
		got = append(got, c.Name, hex.EncodeToString(sum[:]))
	}
	want := []string{
		"vma.zst",
		"drive-scsi0", "97b0666cb40a62c6319dc642cb7a7c619db73e52affc94cd201aec21a3a06832",
		"qemu-server.conf", "8a4d24f494ec9095db8231148960a8a78194e1ef0f5af386201f53702d9d9b49",
		"qemu-server.fw", "e1d29d8235b7ea72376be22927f8eb34cbd14de9d5e88cedf6f4741b2322e4f0",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if again, err := check(pveQemu, sample(t, pveQemu)); err != nil || fmt.Sprint(again) != fmt.Sprint(report) {
		t.Errorf("Check gives %v and error %v, want %v", again, err, report)
	}
}

func TestProxmoxContainerArchive(t *testing.T) {
	report, err := check(pveLXC, sample(t, pveLXC))
	if err != nil {
		t.Fatal(err)
	}
	// 2447360 is what vzdump's log says, 74 what tar lists.
	if report.Format != "tar.zst" || report.Entries != 74 || report.Bytes != 2447360 || len(report.Configs) != 2 {
		t.Errorf("got %s, %d entries, %d bytes, %d configs", report.Format, report.Entries, report.Bytes, len(report.Configs))
	}
	for i, want := range []struct {
		name string
		size int
		text string
	}{{"pct.conf", 225, "hostname: ct101"}, {"pct.fw", 281, "[OPTIONS]"}} {
		c := report.Configs[i]
		if c.Name != want.name || len(c.Data) != want.size || !strings.Contains(string(c.Data), want.text) {
			t.Errorf("got config %s %q, want %s with %q", c.Name, c.Data, want.name, want.text)
		}
	}
}

func TestArchiveOfVzdumpWithoutConfigIsRefused(t *testing.T) {
	tarball := tarOf(t, file("a", "x"))
	_, err := check("vzdump-lxc-1-2026.tar.gz", packGzip(t, tarball))
	refused(t, err, "pct.conf) is not inside")
	_, err = check("vzdump-lxc-1-2026.tar", tarOf(t, file("./etc/vzdump/pct.conf", "")))
	refused(t, err, "pct.conf) is not inside")
	if _, err := check("other.tar.gz", packGzip(t, tarball)); err != nil {
		t.Errorf("got %v for a tar of another kind", err)
	}
	var b bytes.Buffer
	w, err := vma.NewWriter(&b, vma.Header{Configs: []vma.Config{{Name: "other.conf"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = check("vzdump-qemu-1-2026.vma", b.Bytes())
	refused(t, err, "qemu-server.conf) is not inside")
	if _, err := check("other.vma", b.Bytes()); err != nil {
		t.Error(err)
	}
}

func TestConfigsAreThoseOfVzdumpNotOfTheGuest(t *testing.T) {
	own := []tarEntry{dir("./"), file("./etc/vzdump/pct.conf", "old"), file("./etc/vzdump/pct.fw", "old rules")}
	for _, c := range []struct {
		name, want string
		front      []tarEntry
	}{
		{"both in front", "pct.conf=new pct.fw=rules ", []tarEntry{file("./etc/vzdump/pct.conf", "new"), file("etc/vzdump/pct.fw", "rules")}},
		{"no firewall in front", "pct.conf=new ", []tarEntry{file("./etc/vzdump/pct.conf", "new")}},
		{"none in front, as by a foreign packer", "pct.conf=old ", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, err := check("vzdump-lxc-1-2026.tar", tarOf(t, append(c.front, own...)...))
			got := ""
			for _, f := range report.Configs {
				got += f.Name + "=" + string(f.Data) + " "
			}
			if err != nil || got != c.want {
				t.Errorf("got %q and error %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestWrongKindIsRefused(t *testing.T) {
	if _, err := ExtractTree(context.Background(), "a.vma", nil, t.TempDir(), Options{}); err == nil ||
		!strings.Contains(err.Error(), "holds no tree") {
		t.Errorf("got %v", err)
	}
	if _, err := ExtractDisks(context.Background(), "a.tar", nil, nil); err == nil || !strings.Contains(err.Error(), "holds no disks") {
		t.Errorf("got %v", err)
	}
	_, err := check("a.vma.zst", sample(t, pveLXC))
	refused(t, err, "not a vma archive")
	_, err = check("a.tar.zst", sample(t, pveQemu))
	refused(t, err, "tar entry behind byte 0")
	_, err = check("a.tar.gz", sample(t, pveLXC))
	refused(t, err, "invalid header")
}

// brokenReader fails behind the bytes it has.
type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

func TestErrorsOfTheSourceAreNotDamage(t *testing.T) {
	medium := errors.New("input/output error")
	tarball := tarOf(t, file("a", strings.Repeat("x", 5000)))
	for name, b := range map[string][]byte{
		pveQemu:    sample(t, pveQemu),
		pveLXC:     sample(t, pveLXC),
		"a.tar":    tarball,
		"a.tar.gz": packGzip(t, tarball),
		"a.gz":     packGzip(t, tarball),
		"a.zst":    sample(t, pveQemu),
	} {
		for _, n := range []int{0, 5, len(b) / 2, len(b) - 1} {
			r := io.MultiReader(bytes.NewReader(b[:n]), brokenReader{medium})
			_, err := Check(context.Background(), name, r)
			var fault *Error
			if !errors.Is(err, medium) || errors.As(err, &fault) || !strings.Contains(err.Error(), fmt.Sprintf("at byte %d", n)) {
				t.Errorf("%s cut at %d: got %v, want the error of the source", name, n, err)
			}
		}
	}
}

// cancelling ends its context with the first read.
type cancelling struct {
	r      io.Reader
	cancel context.CancelFunc
}

func (c cancelling) Read(p []byte) (int, error) {
	c.cancel()
	return c.r.Read(p)
}

func TestCheckEndsWithItsContext(t *testing.T) {
	for name, b := range map[string][]byte{pveQemu: sample(t, pveQemu), pveLXC: sample(t, pveLXC), "a.gz": packGzip(t, make([]byte, 1<<20))} {
		ctx, cancel := context.WithCancel(context.Background())
		if _, err := Check(ctx, name, cancelling{bytes.NewReader(b), cancel}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context canceled", name, err)
		}
	}
}

// tarOf writes a tar of these entries, ended by two blocks of zeros.
func tarOf(t testing.TB, entries ...tarEntry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		e.Size = int64(len(e.data))
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type tarEntry struct {
	tar.Header
	data string
}

func file(name, data string) tarEntry {
	return tarEntry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, data}
}

func dir(name string) tarEntry {
	return tarEntry{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""}
}

func link(kind byte, name, target string) tarEntry {
	return tarEntry{tar.Header{Name: name, Linkname: target, Typeflag: kind, Mode: 0o777}, ""}
}
