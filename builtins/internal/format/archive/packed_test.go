package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/internal/format/vma"
)

// skippableFrame is one that every decoder passes over.
func skippableFrame(data string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, skippableMagic+3)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

func TestZstdFilesOfSeveralFrames(t *testing.T) {
	one, two := packZstd(t, []byte("one")), packZstd(t, []byte("two!"))
	for _, c := range []struct {
		name  string
		file  []byte
		bytes int64
	}{
		{"one frame", one, 3},
		{"two frames", join(one, two), 7},
		{"skippable frames before, between and behind", join(skippableFrame("a"), one, skippableFrame(""), two, skippableFrame("bcd")), 7},
		{"a frame without a size", packZstdStream(t, bytes.Repeat([]byte("abc"), 100000)), 300000},
	} {
		t.Run(c.name, func(t *testing.T) {
			if report, err := check("a.zst", c.file); err != nil || report.Bytes != c.bytes || report.Format != "zst" {
				t.Errorf("got %+v and error %v, want %d bytes", report, err, c.bytes)
			}
		})
	}
}

func packZstdStream(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		n := min(len(b), 1000)
		if _, err := w.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBadZstdFilesAreRefused(t *testing.T) {
	one := packZstd(t, []byte(strings.Repeat("some text ", 50)))
	with := func(at int, v byte) []byte { b := bytes.Clone(one); b[at] = v; return b }
	for _, c := range []struct {
		name, want string
		file       []byte
	}{
		{"an empty file", "holds no zstd frame", nil},
		{"a skippable frame alone", "holds no zstd frame", skippableFrame("x")},
		{"a cut skippable frame", "ends within", join(one, skippableFrame("xyz")[:10])},
		{"a skippable frame without its length", "ends within", join(one, skippableFrame("")[:4])},
		{"half a checksum", "ends within", one[:len(one)-2]},
		{"no checksum where one is due", "ends within", one[:len(one)-4]},
		{"a frame without checksum", "has no checksum", packZstd(t, []byte("text"), zstd.WithEncoderCRC(false))},
		{"a second frame without checksum", "has no checksum", join(one, packZstd(t, []byte("text"), zstd.WithEncoderCRC(false)))},
		{"one stray byte", "ends within", join(one, []byte{0})},
		{"three stray bytes of a frame", "ends within", join(one, one[:3])},
		{"a frame that only begins", "ends within", join(one, one[:4])},
		{"zeros behind", "no zstd frame begins here", join(one, make([]byte, 4))},
		{"text behind", "no zstd frame begins here", join(one, []byte("hello"))},
		{"gzip", "no zstd frame begins here", packGzip(t, []byte("text"))},
		{"a reserved bit", "reserved bit", with(4, one[4]|8)},
		{"an unused bit", "reserved bit", with(4, one[4]|16)},
		{"a wrong checksum", "", with(len(one)-1, one[len(one)-1]^1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := check("a.zst", c.file)
			refused(t, err, c.want)
		})
	}
}

func TestZstdFilesThatNeedTooMuchAreUnsupported(t *testing.T) {
	magic := binary.LittleEndian.AppendUint32(nil, frameMagic)
	for _, c := range []struct {
		name, want string
		header     []byte
	}{
		{"a window of 2 GiB", "window of 2^31", []byte{0x04, 21 << 3}},
		{"a window just above 128 MiB", "and runner takes 128 MiB: unpack it with zstd -d --long=28", []byte{0x04, 17<<3 | 1}},
		{"the largest window there is", "window of 2^42", []byte{0x04, 0xff}},
		{"a content of 2^63 in one segment", "window of 2^63", []byte{0xe4, 0, 0, 0, 0, 0, 0, 0, 0x80}},
		{"a dictionary", "dictionary", []byte{0x05, 0x50, 7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := check("a.zst", join(magic, c.header))
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want unsupported with %q", err, c.want)
			}
		})
	}
}

func TestEveryTruncationOfAPackedArchiveIsRefused(t *testing.T) {
	small := smallVM(t)
	for n := 0; n < len(small); n += 97 {
		_, err := check("a.vma.zst", small[:n])
		refused(t, err, "")
	}
	for _, name := range []string{pveQemu, pveLXC} {
		b := sample(t, name)
		for _, n := range []int{0, 1, 3, 4, 5, len(b) / 3, len(b) - 5, len(b) - 4, len(b) - 1} {
			_, err := check(name, b[:n])
			refused(t, err, "")
		}
	}
	gz := packGzip(t, tarOf(t, file("a", "text")))
	for n := range len(gz) {
		_, err := check("a.tar.gz", gz[:n])
		refused(t, err, "")
	}
}

// TestFlippedBitsAreRefused leaves byte 5 out, which holds the size of the
// window: a larger one gives the same contents.
func TestFlippedBitsAreRefused(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for name, b := range map[string][]byte{pveQemu: sample(t, pveQemu), "a.vma.zst": smallVM(t)} {
		positions := []int{0, 1, 2, 3, 4, 6, 7, 8, len(b) - 1, len(b) - 4, len(b) - 5}
		for n := 0; name != pveQemu && n < 300; n++ {
			positions = append(positions, 6+rnd.IntN(len(b)-6))
		}
		for _, at := range positions {
			bit := byte(1) << rnd.IntN(8)
			flipped := bytes.Clone(b)
			flipped[at] ^= bit
			if _, err := check(name, flipped); err == nil {
				t.Errorf("%s: got no error with bit %02x of byte %d flipped", name, bit, at)
			}
		}
	}
}

// smallVM is a packed archive of one disk, half of it text and half random.
func smallVM(t testing.TB) []byte {
	t.Helper()
	const size = 3 * 65536
	disk := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(disk[:size/2])
	copy(disk[size/2:], bytes.Repeat([]byte("some text of a disk "), size/40))
	var out bytes.Buffer
	w, err := vma.NewWriter(&out, vma.Header{Devices: []vma.Device{{ID: 1, Name: "a", Size: size}}})
	if err != nil {
		t.Fatal(err)
	}
	for c := range uint32(3) {
		if err := w.WriteCluster(1, c, disk[c*65536:][:65536]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packZstdStream(t, out.Bytes())
}

func TestGzipFiles(t *testing.T) {
	one := packGzip(t, []byte("one"))
	if report, err := check("a.gz", join(one, one)); err != nil || report.Bytes != 6 {
		t.Errorf("got %d bytes and error %v for two members", report.Bytes, err)
	}
	if report, err := check("a.gz", join(one, one, make([]byte, 5000))); err != nil || report.Bytes != 6 {
		t.Errorf("got %d bytes and error %v for two members and zeros, as gzip itself takes them", report.Bytes, err)
	}
	flipped := bytes.Clone(one)
	flipped[len(one)-6] ^= 1
	for name, b := range map[string][]byte{
		"empty": nil, "a flipped bit of the checksum": flipped, "zeros, and data behind them": join(one, make([]byte, 20), one),
		"one byte behind": join(one, []byte{31}), "text behind": join(one, []byte("hello, this is text")),
	} {
		if _, err := check("a.gz", b); err == nil {
			t.Errorf("%s: got no error", name)
		} else {
			refused(t, err, "")
		}
	}
}

func TestBombsAreStreamed(t *testing.T) {
	const size = 256 << 20
	pr, pw := io.Pipe()
	go func() {
		w, err := zstd.NewWriter(pw, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			pw.CloseWithError(err)
			return
		}
		_, err = io.CopyN(w, zeroReader{}, size)
		pw.CloseWithError(errors.Join(err, w.Close()))
	}()
	bomb, err := io.ReadAll(pr)
	if err != nil {
		t.Fatal(err)
	}
	if len(bomb) > 100<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	report, err := check("a.zst", bomb)
	runtime.ReadMemStats(&after)
	if err != nil || report.Bytes != size {
		t.Fatalf("got %d bytes and error %v", report.Bytes, err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 40<<20 {
		t.Errorf("got %d MiB allocated for %d KiB of input", n>>20, len(bomb)>>10)
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestFramesAreFollowedInPiecesOfAnySize(t *testing.T) {
	b := join(skippableFrame("abc"), packZstd(t, []byte("one")), sample(t, pveQemu))
	for name, r := range map[string]io.Reader{
		"bytes":           iotest.OneByteReader(bytes.NewReader(b)),
		"halves":          iotest.HalfReader(bytes.NewReader(b)),
		"data with error": iotest.DataErrReader(bytes.NewReader(b)),
	} {
		f := newFrames("a", r)
		got, err := io.ReadAll(f)
		if err != nil || !bytes.Equal(got, b) || f.count != 2 || !f.finished() {
			t.Errorf("%s: got %d bytes, %d frames, error %v", name, len(got), f.count, err)
		}
	}
}

// FuzzFrames holds that what the scanner says does not hang on how the file
// comes in, and that what it refuses is never accepted by Check.
func FuzzFrames(f *testing.F) {
	f.Add(join(skippableFrame("abc"), packZstd(f, []byte("one"))))
	f.Add(packZstdStream(f, bytes.Repeat([]byte("text"), 1000)))
	f.Add([]byte{})
	f.Add([]byte("0000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, whole := io.ReadAll(newFrames("a", bytes.NewReader(b)))
		c, pieces := io.ReadAll(newFrames("a", iotest.OneByteReader(bytes.NewReader(b))))
		if fmt.Sprint(whole) != fmt.Sprint(pieces) || len(a) > len(c) {
			t.Fatalf("got %d bytes and %v at once, %d and %v in pieces", len(a), whole, len(c), pieces)
		}
		if _, err := check("a.zst", b); whole != nil && err == nil {
			t.Fatalf("Check accepts what the scanner refuses: %v", whole)
		}
	})
}

// BenchmarkCheck opens a virtual machine's archive and takes its digest in the
// same pass; zstd -t on the same bytes is the yardstick.
func BenchmarkCheck(b *testing.B) {
	file := smallVM(b)
	report, err := check("a.vma.zst", file)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(report.Bytes)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Check(b.Context(), "a.vma.zst", io.TeeReader(bytes.NewReader(file), sha256.New())); err != nil {
			b.Fatal(err)
		}
	}
}
