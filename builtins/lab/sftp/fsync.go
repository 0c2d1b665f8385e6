package sftp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

// Packet types and codes of the SFTP protocol, version 3.
const (
	typeInit     = 1
	typeVersion  = 2
	typeStatus   = 101
	typeExtended = 200

	codeOK      = 0
	codeFailure = 4

	fsyncName   = "fsync@openssh.com"
	maxExtended = 64 << 10
)

// syncer stands between a client and the library's server. It adds
// fsync@openssh.com to the server's list of extensions and answers it, after
// all requests before it have been answered. Everything else passes.
type syncer struct {
	channel io.ReadWriteCloser
	in      *bufio.Reader
	sync    func() error

	ready []byte // to be read next
	left  int64  // of the packet at hand, read from the channel

	mu     sync.Mutex
	idle   *sync.Cond
	out    []byte // of a packet that the server has not written whole
	open   int    // requests without an answer
	closed bool
}

func newSyncer(channel io.ReadWriteCloser, fsync func() error) *syncer {
	s := &syncer{channel: channel, in: bufio.NewReader(channel), sync: fsync}
	s.idle = sync.NewCond(&s.mu)
	return s
}

// Read gives the server the client's packets, without the fsync ones.
func (s *syncer) Read(b []byte) (int, error) {
	for len(s.ready) == 0 && s.left == 0 {
		if err := s.nextPacket(); err != nil {
			return 0, err
		}
	}
	if len(s.ready) > 0 {
		n := copy(b, s.ready)
		s.ready = s.ready[n:]
		return n, nil
	}
	n, err := s.in.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	return n, err
}

// nextPacket reads the head of a packet; an fsync is read and answered whole.
func (s *syncer) nextPacket() error {
	head := make([]byte, 5)
	if _, err := io.ReadFull(s.in, head); err != nil {
		return err
	}
	length, kind := binary.BigEndian.Uint32(head), head[4]
	if length == 0 {
		return errors.New("read sftp packet: it has no type")
	}
	if kind == typeExtended && length >= 5 && length <= maxExtended {
		body := make([]byte, length-1)
		if _, err := io.ReadFull(s.in, body); err != nil {
			return err
		}
		if isFsync(body) {
			return s.answer(body[:4])
		}
		head = append(head, body...)
		length = 1
	}
	if kind != typeInit {
		s.mu.Lock()
		s.open++
		s.mu.Unlock()
	}
	s.ready, s.left = head, int64(length)-1
	return nil
}

// isFsync looks at an extended request: id, name, and what belongs to it.
func isFsync(body []byte) bool {
	if len(body) < 8 {
		return false
	}
	n := binary.BigEndian.Uint32(body[4:])
	return n == uint32(len(fsyncName)) && len(body) >= 8+len(fsyncName) && string(body[8:8+len(fsyncName)]) == fsyncName
}

// answer waits until the server has answered everything before, syncs, and
// sends the status.
func (s *syncer) answer(id []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.open > 0 && !s.closed {
		s.idle.Wait()
	}
	if s.closed {
		return io.EOF
	}
	code, text := uint32(codeOK), ""
	if err := s.sync(); err != nil {
		code, text = codeFailure, err.Error()
	}
	p := append([]byte{0, 0, 0, 0, typeStatus}, id...)
	p = binary.BigEndian.AppendUint32(p, code)
	for _, str := range []string{text, ""} {
		p = binary.BigEndian.AppendUint32(p, uint32(len(str)))
		p = append(p, str...)
	}
	binary.BigEndian.PutUint32(p, uint32(len(p)-4))
	_, err := s.channel.Write(p)
	return err
}

// Write takes what the server writes and sends whole packets.
func (s *syncer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, errors.New("write to a closed session")
	}
	s.out = append(s.out, b...)
	for len(s.out) >= 5 {
		size := 4 + int(binary.BigEndian.Uint32(s.out))
		if len(s.out) < size {
			break
		}
		p := append([]byte(nil), s.out[:size]...)
		s.out = append(s.out[:0], s.out[size:]...)
		if p[4] == typeVersion {
			for _, str := range []string{fsyncName, "1"} {
				p = binary.BigEndian.AppendUint32(p, uint32(len(str)))
				p = append(p, str...)
			}
			binary.BigEndian.PutUint32(p, uint32(len(p)-4))
		} else {
			s.open--
			s.idle.Broadcast()
		}
		if _, err := s.channel.Write(p); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// Close ends the session; an fsync that waits ends too.
func (s *syncer) Close() error {
	s.mu.Lock()
	s.closed = true
	s.idle.Broadcast()
	s.mu.Unlock()
	return s.channel.Close()
}
