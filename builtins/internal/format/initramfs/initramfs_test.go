package initramfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// cpio makes a newc archive of names and contents; a content that begins with
// "->" is a link.
func cpio(pairs ...string) []byte {
	var b bytes.Buffer
	put := func(name, content string, mode int) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1,
			0)
		b.WriteString(name + "\x00" + strings.Repeat("\x00", int(pad(int64(headerSize+len(name)+1)))))
		b.WriteString(content + strings.Repeat("\x00", int(pad(int64(len(content))))))
	}
	for i := 0; i < len(pairs); i += 2 {
		switch to, link := strings.CutPrefix(pairs[i+1], "->"); {
		case link:
			put(pairs[i], to, 0o120777)
		case strings.HasSuffix(pairs[i], "/"):
			put(strings.TrimSuffix(pairs[i], "/"), "", 0o040755)
		default:
			put(pairs[i], pairs[i+1], 0o100644)
		}
	}
	put("TRAILER!!!", "", 0)
	return b.Bytes()
}

func zipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data)
	z.Close()
	return b.Bytes()
}

func zstded(data []byte) []byte {
	e, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return e.EncodeAll(data, nil)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func walk(data []byte) (string, error) {
	var out []string
	err := Walk(context.Background(), bytes.NewReader(data), func(e Entry, r io.Reader) error {
		content, err := io.ReadAll(r)
		out = append(out, fmt.Sprintf("%s=%s%s", e.Name, content, e.Link))
		return err
	})
	return strings.Join(out, " "), err
}

func TestEveryMemberIsRead(t *testing.T) {
	one, two := cpio("./a", "1", "lib/", "", "lib/x", "->../a"), cpio("b", "22")
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"a plain archive", one, "a=1 lib= lib/x=../a"},
		{"a gzip member", zipped(one), "a=1 lib= lib/x=../a"},
		{"a zstd member", zstded(one), "a=1 lib= lib/x=../a"},
		{"microcode first, then gzip", join(two, make([]byte, 700), zipped(one)), "b=22 a=1 lib= lib/x=../a"},
		{"two gzip members", join(zipped(one), make([]byte, 3), zipped(two)), "a=1 lib= lib/x=../a b=22"},
		{"two archives in one member", zipped(join(one, make([]byte, 512), two, make([]byte, 9))), "a=1 lib= lib/x=../a b=22"},
		{"a name that climbs", cpio("../../etc/x", "1"), "etc/x=1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := walk(c.data)
			if err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestDamageIsSaid(t *testing.T) {
	one := cpio("a", "12345")
	flipped := zipped(one)
	flipped[len(flipped)-5] ^= 1 // its checksum
	huge := bytes.Clone(one)
	copy(huge[94:], "ffffffff")
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "no archive"},
		{"only zeros", make([]byte, 4096), "no archive"},
		{"text", []byte("this is not an image"), "neither a newc archive"},
		{"cut in the content", one[:116], "unexpected EOF"},
		{"cut before the trailer", one[:120], "unexpected EOF"},
		{"cut gzip", zipped(one)[:40], "unexpected EOF"},
		{"a wrong checksum", flipped, "invalid checksum"},
		{"bytes behind the trailer", join(one, []byte("trailing rubbish")), "neither a newc archive"},
		{"a name without end", huge, "4294967295 bytes long"},
		{"a header that is not a number", bytes.Replace(one, []byte("070701"), []byte("070701zz"), 1), "not hexadecimal"},
		{"lz4", []byte("\x02\x21\x4c\x18aaaaaa"), "lz4"},
		{"xz", []byte("\xfd7zXZ\x00aaaa"), "xz"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := walk(c.data)
			if fault := new(Error); !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestOtherErrorsStayThemselves(t *testing.T) {
	data, mine := zipped(cpio("a", "12345", "b", "1")), errors.New("mine")
	if err := Walk(t.Context(), bytes.NewReader(data), func(Entry, io.Reader) error { return mine }); err != mine {
		t.Errorf("got %v, want that of the function", err)
	}
	broken := io.MultiReader(bytes.NewReader(data[:20]), errReader{mine})
	if err := Walk(t.Context(), broken, func(_ Entry, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }); err != mine {
		t.Errorf("got %v, want that of the source", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := Walk(ctx, bytes.NewReader(data), func(Entry, io.Reader) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestModesAreTranslated(t *testing.T) {
	for mode, want := range map[int64]fs.FileMode{
		0o100755: 0o755, 0o040700: fs.ModeDir | 0o700, 0o120777: fs.ModeSymlink | 0o777, 0o020600: fs.ModeDevice | fs.ModeCharDevice | 0o600,
		0o060600: fs.ModeDevice | 0o600, 0o104755: fs.ModeSetuid | 0o755, 0o010600: fs.ModeNamedPipe | 0o600,
	} {
		if got := modeOf(mode); got != want {
			t.Errorf("%o: got %v, want %v", mode, got, want)
		}
	}
}

func FuzzWalk(f *testing.F) {
	one := cpio("a", "12345", "b", "->a", "c/", "")
	for _, seed := range [][]byte{one, zipped(one), zstded(one), join(one, zipped(one)), one[:50]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = Walk(context.Background(), io.LimitReader(bytes.NewReader(data), 1<<20), func(e Entry, r io.Reader) error {
			n, err := io.Copy(io.Discard, io.LimitReader(r, 1<<20))
			if err == nil && n > e.Size {
				t.Errorf("%s gave %d bytes, and has %d", e.Name, n, e.Size)
			}
			if strings.HasPrefix(e.Name, "/") || strings.HasPrefix(e.Name, "../") {
				t.Errorf("bad name %q", e.Name)
			}
			return err
		})
	})
}
