package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// text is an entry as journalctl writes it.
func text(seq int, message string) string {
	return fmt.Sprintf("__CURSOR=s=5f3a;i=%x;b=77;m=1;t=2;x=3\n__REALTIME_TIMESTAMP=%d\n_BOOT_ID=77\nMESSAGE=%s\n\n", seq,
		1_700_000_000_000_000+seq, message)
}

func field(name string, value []byte) string {
	var size [8]byte
	binary.LittleEndian.PutUint64(size[:], uint64(len(value)))
	return name + "\n" + string(size[:]) + string(value) + "\n"
}

func read(in io.Reader) (entries []Entry, out string, err error) {
	var b bytes.Buffer
	err = Read(in, &b, func(e Entry) error {
		e.Cursor, e.Boot = bytes.Clone(e.Cursor), bytes.Clone(e.Boot)
		entries = append(entries, e)
		return nil
	})
	return entries, b.String(), err
}

func TestEntriesPassAsTheyAre(t *testing.T) {
	stream := text(1, "one") + text(2, strings.Repeat("long ", 50_000)) + "__CURSOR=s=5f3a;i=3\n" + field("MESSAGE",
		[]byte("two\nlines\n\n\x00")) + "\n"
	entries, out, err := read(strings.NewReader(stream))
	if err != nil || out != stream || len(entries) != 3 {
		t.Fatalf("got %d entries, %v, equal %v", len(entries), err, out == stream)
	}
	var sum int64
	for _, e := range entries {
		sum += e.Bytes
	}
	if sum != int64(len(stream)) || string(entries[0].Boot) != "77" || entries[0].Time.UnixMicro() != 1_700_000_000_000_001 {
		t.Errorf("got %+v, %d bytes of %d", entries[0], sum, len(stream))
	}
	if id, n, ok := Sequence(entries[2].Cursor); string(id) != "5f3a" || n != 3 || !ok {
		t.Errorf("got %s %d %v", id, n, ok)
	}
}

func TestAnEntryEndsWithAnEmptyLine(t *testing.T) {
	entries, _, err := read(strings.NewReader("\n\n" + text(1, "x") + strings.TrimSuffix(text(2, "x"), "\n")))
	if !errors.Is(err, ErrCut) || len(entries) != 1 {
		t.Errorf("got %d, %v, want one entry and a cut", len(entries), err)
	}
}

func TestBrokenExportsAreRefused(t *testing.T) {
	whole := text(1, "x") + "__CURSOR=s=1;i=2\n" + field("MESSAGE", []byte("abc")) + "\n"
	for cutAt := range len(whole) {
		entries, _, err := read(strings.NewReader(whole[:cutAt]))
		if err != nil && !errors.Is(err, ErrCut) && !strings.Contains(err.Error(), "read journal") {
			t.Fatalf("cut at %d: got %v", cutAt, err)
		}
		if len(entries) > 1 {
			t.Errorf("cut at %d: got %d entries", cutAt, len(entries))
		}
	}
	for name, in := range map[string]string{
		"small letters":           "message=x\n\n",
		"no name":                 "=x\n\n",
		"a length beyond reason":  "MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xff",
		"a wrong length":          "MESSAGE\n\x01\x00\x00\x00\x00\x00\x00\x00abc\n\n",
		"a time that is none":     "__REALTIME_TIMESTAMP=yesterday\n\n",
		"an endless cursor":       "__CURSOR=" + strings.Repeat("x", 10_000) + "\n\n",
		"a name without an end":   strings.Repeat("X", 100_000),
		"a page instead of a log": "<html>\n<body>\n",
	} {
		if _, _, err := read(strings.NewReader(in)); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

// A value of a GiB passes through without being kept.
func TestAnEndlessLinePasses(t *testing.T) {
	const size = 1 << 30
	in := io.MultiReader(strings.NewReader("__CURSOR=s=1;i=1\nMESSAGE="), io.LimitReader(repeat{}, size), strings.NewReader("\n\n"))
	n := 0
	var sink count
	err := Read(in, &sink, func(Entry) error { n++; return nil })
	if err != nil || n != 1 || sink < size {
		t.Errorf("got %d entries, %d bytes, %v", n, sink, err)
	}
}

type repeat struct{}

func (repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

type count int64

func (c *count) Write(p []byte) (int, error) { *c += count(len(p)); return len(p), nil }

func FuzzRead(f *testing.F) {
	f.Add([]byte(text(1, "x") + "__CURSOR=s=1;i=2\n" + field("MESSAGE", []byte("a\nb")) + "\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		entries, out, err := read(bytes.NewReader(in))
		if err != nil {
			return
		}
		again, same, err := read(strings.NewReader(out))
		if err != nil || same != out || len(again) != len(entries) {
			t.Errorf("what was read is not read again: %v", err)
		}
	})
}

// What was shipped is left out, whole; what is behind it is written as it is.
func TestShippedEntriesAreLeftOut(t *testing.T) {
	rest := text(3, "three") + text(4, "four")
	in := "__CURSOR=s=5f3a;i=2\n" + field("MESSAGE", []byte("two\n\n__CURSOR=fake\n")) + "LONG=" + strings.Repeat("x", 600_000) + "\n\n" + rest
	for name, c := range map[string]struct{ shipped, want string }{
		"the first": {"s=5f3a;i=2", rest}, "none": {"s=5f3a;i=1", in}, "all": {"", ""},
	} {
		var b bytes.Buffer
		n := 0
		err := ReadBehind(strings.NewReader(in), &b, func(cursor []byte) bool { return c.shipped == "" || string(cursor) == c.shipped },
			func(Entry) error { n++; return nil })
		if err != nil || b.String() != c.want || n != strings.Count(c.want, "\n__REALTIME")+strings.Count(c.want, "LONG=") {
			t.Errorf("%s: got %d entries of %d bytes, want %d bytes, %v", name, n, b.Len(), len(c.want), err)
		}
	}
}
