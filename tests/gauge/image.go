package gauge

import (
	"bufio"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

// block is how long a run of one kind is.
const block = 256 << 10

// Image writes what a virtual machine's disk is like: of its runs a quarter are
// zeros, a quarter text, a quarter structs, 15 % random and 10 % half zero. The
// same size gives the same bytes.
func Image(t testing.TB, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := io.Copy(w, io.LimitReader(&disk{r: rand.New(rand.NewPCG(1, 2)), c: rand.NewChaCha8([32]byte{1})}, size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

type disk struct {
	r    *rand.Rand
	c    *rand.ChaCha8
	buf  [block]byte
	left []byte
}

func (d *disk) Read(p []byte) (int, error) {
	if len(d.left) == 0 {
		d.fill(d.buf[:])
		d.left = d.buf[:]
	}
	n := copy(p, d.left)
	d.left = d.left[n:]
	return n, nil
}

func (d *disk) fill(b []byte) {
	switch n := d.r.IntN(100); {
	case n < 25:
		clear(b)
	case n < 50:
		d.text(b)
	case n < 75:
		d.structs(b)
	case n < 90:
		_, _ = d.c.Read(b) // it cannot fail
	default:
		clear(b[len(b)/2:])
		_, _ = d.c.Read(b[:len(b)/2]) // it cannot fail
	}
}

var words = []string{"the ", "backup ", "of ", "host ", "erp ", "is ", "INFO: ", "session ", "opened\n", "for ", "user ", "root ", "at ",
	"2026-11-23 ", "07:11:16 ", "with ", "error ", "status=0 ", "/var/log/", "GET "}

func (d *disk) text(b []byte) {
	for len(b) > 0 {
		w := words[d.r.IntN(len(words))]
		if d.r.IntN(4) == 0 {
			w = string(rune('a'+d.r.IntN(26))) + string(rune('a'+d.r.IntN(26))) + w
		}
		b = b[copy(b, w):]
	}
}

// structs are what tables and inodes look like: counters, small numbers, zeros.
func (d *disk) structs(b []byte) {
	for i := 0; i+32 <= len(b); i += 32 {
		clear(b[i : i+32])
		binary.LittleEndian.PutUint64(b[i:], uint64(i)+d.r.Uint64N(64))
		binary.LittleEndian.PutUint32(b[i+8:], d.r.Uint32N(1<<12))
		binary.LittleEndian.PutUint32(b[i+16:], 0x40000000|d.r.Uint32N(1<<16))
	}
}
