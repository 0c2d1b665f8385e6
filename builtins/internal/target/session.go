package target

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// session is one connection with a watch over it: every request has exactly one
// answer, so the packets of both directions are counted, and a server that owes
// answers and sends none for the time of silence is given up.
type session struct {
	raw    net.Conn
	ssh    *ssh.Client
	client *sftp.Client
	sent   frames
	got    frames

	once  sync.Once
	ended chan struct{}
	cause atomic.Pointer[error]
}

func newSession(raw net.Conn, client *ssh.Client, silence time.Duration) (*session, error) {
	s := &session{raw: raw, ssh: client, ended: make(chan struct{})}
	sess, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	in, err := sess.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := sess.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := sess.RequestSubsystem("sftp"); err != nil {
		return nil, fmt.Errorf("start sftp: %w", err)
	}
	s.client, err = sftp.NewClientPipe(&countedReader{out, &s.got}, &countedWriter{in, &s.sent},
		sftp.MaxPacketUnchecked(packet), sftp.MaxConcurrentRequestsPerFile(requests), sftp.UseFstat(true))
	if err != nil {
		return nil, fmt.Errorf("start sftp: %w", err)
	}
	go s.watch(silence)
	go func() { s.cut(s.client.Wait()) }()
	return s, nil
}

// cut ends the connection at once: whoever waits for an answer gets an error.
func (s *session) cut(why error) {
	s.once.Do(func() {
		if why == nil {
			why = errors.New("the server ended it")
		}
		s.cause.Store(&why)
		close(s.ended)
		s.raw.Close()
		s.ssh.Close()
	})
}

// broken reports that the connection has ended.
func (s *session) broken() bool { return s.cause.Load() != nil }

func (s *session) why(otherwise error) error {
	if e := s.cause.Load(); e != nil {
		return *e
	}
	return otherwise
}

// watch ticks a few times within the time of silence, and keeps firewalls from
// forgetting a connection on which nothing happens.
func (s *session) watch(silence time.Duration) {
	const ticks = 4
	clock := time.NewTicker(silence / ticks)
	defer clock.Stop()
	last, still := int64(-1), 0
	var asked atomic.Bool
	for {
		select {
		case <-s.ended:
			return
		case <-clock.C:
		}
		got, sent := s.got.n.Load(), s.sent.n.Load()
		if got != last || got >= sent && !asked.Load() {
			last, still = got, 0
		} else if still++; still >= ticks {
			s.cut(fmt.Errorf("the server has not answered for %s", silence))
			return
		}
		if asked.CompareAndSwap(false, true) {
			go func() {
				// Any answer will do; OpenSSH's is a refusal.
				if _, _, err := s.ssh.SendRequest("keepalive@openssh.com", true, nil); err != nil {
					s.cut(err)
				}
				asked.Store(false)
			}()
		}
	}
}

// frames counts packets in a stream: each begins with its length in four bytes.
type frames struct {
	n    atomic.Int64
	head [4]byte
	have int
	left int64
}

func (f *frames) pass(p []byte) {
	for len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, int64(len(p)))
			f.left -= n
			p = p[n:]
			continue
		}
		n := copy(f.head[f.have:], p)
		f.have += n
		p = p[n:]
		if f.have == len(f.head) {
			f.left, f.have = int64(binary.BigEndian.Uint32(f.head[:])), 0
			f.n.Add(1)
		}
	}
}

type countedReader struct {
	io.Reader
	f *frames
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.f.pass(p[:n])
	return n, err
}

type countedWriter struct {
	io.WriteCloser
	f *frames
}

func (w *countedWriter) Write(p []byte) (int, error) {
	w.f.pass(p) // before it is sent: a write that is stuck counts as a question
	return w.WriteCloser.Write(p)
}
