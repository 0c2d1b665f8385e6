package ssh

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand"
	"testing"
	"testing/iotest"
)

func TestBytesComeInOrderWhateverTheirNumber(t *testing.T) {
	data := make([]byte, 40*Packet+17)
	rand.New(rand.NewSource(1)).Read(data)
	for _, c := range []struct {
		name   string
		size   int
		offset int64
	}{
		{"nothing", 0, 0}, {"one byte", 1, 0}, {"one read", Packet, 0}, {"one read and one byte", Packet + 1, 0},
		{"more than are on the way", len(data), 0}, {"from the middle", len(data), 3*Packet + 5}, {"from the end", 100, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			n, err := CopyInOrder(t.Context(), &out, bytes.NewReader(data[:c.size]), c.offset)
			if err != nil || n != int64(c.size)-c.offset || !bytes.Equal(out.Bytes(), data[c.offset:c.size]) {
				t.Errorf("got %d bytes, %v; want %d", n, err, int64(c.size)-c.offset)
			}
		})
	}
}

type brokenAt struct {
	io.ReaderAt
	at int64
}

func (b brokenAt) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.at {
		n, _ := b.ReaderAt.ReadAt(p[:max(0, b.at-off)], off)
		return n, errors.New("connection lost")
	}
	return b.ReaderAt.ReadAt(p, off)
}

func TestErrorsEndTheCopyWithWhatCameBefore(t *testing.T) {
	data := make([]byte, 10*Packet)
	var out bytes.Buffer
	n, err := CopyInOrder(t.Context(), &out, brokenAt{bytes.NewReader(data), 5*Packet + 7}, 0)
	if err == nil || n != 5*Packet+7 {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := CopyInOrder(t.Context(), iotest.TruncateWriter(io.Discard, 10), bytes.NewReader(data), 0); err != nil {
		t.Errorf("a writer that takes all: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := CopyInOrder(ctx, io.Discard, bytes.NewReader(data), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}
