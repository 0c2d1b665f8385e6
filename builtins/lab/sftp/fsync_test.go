package sftp

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
)

// wire is a channel with fixed input.
type wire struct {
	io.Reader
	out bytes.Buffer
}

func (w *wire) Write(b []byte) (int, error) { return w.out.Write(b) }
func (*wire) Close() error                  { return nil }

func packet(kind byte, body string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+1))) + string([]byte{kind}) + body
}

func fsyncPacket(id string) string {
	return packet(typeExtended, id+"\x00\x00\x00\x11"+fsyncName+"\x00\x00\x00\x01h")
}

func TestFsyncWaitsForWhatIsBefore(t *testing.T) {
	w := &wire{Reader: bytes.NewReader([]byte(packet(typeInit, "\x00\x00\x00\x03") + packet(6, "id01data") + fsyncPacket("id02") + packet(4,
		"id03h")))}
	synced := make(chan bool, 1)
	s := newSyncer(w, func() error { synced <- true; return nil })
	head := len(packet(typeInit, "\x00\x00\x00\x03")) + len(packet(6, "id01data"))
	if _, err := io.ReadFull(s, make([]byte, head)); err != nil {
		t.Fatal(err)
	}
	rest := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(s)
		rest <- string(b)
	}()
	select {
	case <-synced:
		t.Fatal("synced before the write was answered")
	default:
	}
	for _, p := range []string{packet(typeVersion, "\x00\x00\x00\x03"), packet(typeStatus, "id01ok")} {
		if _, err := s.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := <-rest, packet(4, "id03h"); got != want {
		t.Errorf("the server reads %q after it, want %q", got, want)
	}
	<-synced
	out := w.out.String()
	if !bytes.Contains([]byte(out), []byte(fsyncName)) ||
		!bytes.HasSuffix([]byte(out), []byte("id02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")) {
		t.Errorf("to the client went %q, want the extension and the status of id02", out)
	}
}

func FuzzSyncer(f *testing.F) {
	f.Add([]byte(fsyncPacket("id02") + packet(4, "id03h")))
	f.Add([]byte{0, 0, 0, 0, typeExtended})
	f.Add([]byte{255, 255, 255, 255, 6, 1, 2})
	f.Fuzz(func(t *testing.T, in []byte) {
		w := &wire{Reader: bytes.NewReader(in)}
		s := newSyncer(w, func() error { return nil })
		buf := make([]byte, 16)
		for {
			n, err := s.Read(buf)
			if err != nil {
				return
			}
			if n == 0 {
				t.Fatal("a read of nothing without an error")
			}
			s.mu.Lock()
			s.open = 0 // everything is answered
			s.mu.Unlock()
		}
	})
}
