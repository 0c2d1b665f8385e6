package ssh

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Session is one connection with SFTP on it, and a watch over both: every request
// has exactly one answer, so the packets of both directions are counted, and a
// server that owes answers and sends none for the time of silence is given up. So
// is one from which no byte comes while a keepalive waits; a command may be as
// quiet as it likes as long as those are answered.
type Session struct {
	*sftp.Client
	raw  *wire
	conn *ssh.Client
	sent frames
	got  frames

	once  sync.Once
	ended chan struct{}
	cause atomic.Pointer[error]
}

// newSession starts SFTP. The login's time limit is on raw until it has.
func newSession(raw *wire, conn *ssh.Client) (*Session, error) {
	s := &Session{raw: raw, conn: conn, ended: make(chan struct{})}
	sess, err := conn.NewSession()
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
	stderr, err := sess.StderrPipe()
	if err != nil {
		return nil, err
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }() // unread, it would use the channel's window up
	if err := sess.RequestSubsystem("sftp"); err != nil {
		if raw.failed.Load() == nil && !errors.Is(err, io.EOF) {
			err = &NoSFTPError{err.Error()}
		}
		return nil, err
	}
	from := &answers{bufio.NewReader(out), s}
	s.Client, err = sftp.NewClientPipe(from, &asked{in, &s.sent},
		sftp.MaxPacketUnchecked(Packet), sftp.MaxConcurrentRequestsPerFile(Requests), sftp.UseFstat(true))
	if err != nil && s.got.bytes.Load() == 0 && raw.failed.Load() == nil {
		// The program ended before it was asked, or before it answered: its last words.
		if _, rerr := from.Read(make([]byte, 1)); errors.Is(rerr, io.EOF) {
			s.lost(&LostError{&noWordError{}})
		}
	}
	return s, s.Why(err)
}

// Cut ends the connection at once: whoever waits for an answer gets an error.
func (s *Session) Cut(why error) {
	s.lost(why)
	s.once.Do(func() {
		close(s.ended)
		s.raw.Close()
		s.conn.Close()
	})
}

// lost notes why SFTP has ended. A command that runs beside it goes on. The end of
// the connection is never io.EOF, which a reader takes for the end of a file.
func (s *Session) lost(why error) {
	switch {
	case why == nil || errors.Is(why, io.EOF):
		why = &LostError{errEnded}
	case !Broken(why) && !errors.As(why, new(*NoiseError)):
		why = &LostError{why}
	}
	s.cause.CompareAndSwap(nil, &why)
}

// Broken reports that SFTP or the whole connection has ended.
func (s *Session) Broken() bool { return s.cause.Load() != nil }

// Why is what ended the session, if something has, instead of an error that is
// only what came of it.
func (s *Session) Why(err error) error {
	if e := s.cause.Load(); e != nil && err != nil {
		return *e
	}
	return err
}

// expect counts a question of SSH itself, whose answer the watch waits for too.
func (s *Session) expect(ask func() error) error {
	s.sent.n.Add(1)
	defer s.got.n.Add(1)
	return ask()
}

// watch ticks a few times within the time of silence, and keeps firewalls from
// forgetting a connection on which nothing happens.
func (s *Session) watch(silence time.Duration) {
	go func() { s.lost(s.Wait()) }()
	clock := time.NewTicker(silence / ticks)
	defer clock.Stop()
	var link, files quiet
	var alive atomic.Bool // asked, and not answered yet
	for {
		select {
		case <-s.ended:
			return
		case <-clock.C:
		}
		owed := s.sent.n.Load() > s.got.n.Load() && !s.Broken()
		if link.tick(alive.Load(), s.raw.n.Load()) || files.tick(owed, s.got.bytes.Load()+s.got.n.Load()) {
			s.Cut(&SilentError{silence})
			return
		}
		if alive.CompareAndSwap(false, true) {
			go func() {
				// Any answer will do; OpenSSH's is a refusal.
				if _, _, err := s.conn.SendRequest("keepalive@openssh.com", true, nil); err != nil {
					s.Cut(err)
				}
				alive.Store(false)
			}()
		}
	}
}

const ticks = 4

// quiet counts ticks in which something was expected and nothing came.
type quiet struct {
	seen int64
	n    int
}

func (q *quiet) tick(expected bool, seen int64) bool {
	if !expected || seen != q.seen {
		*q = quiet{seen: seen}
		return false
	}
	q.n++
	return q.n >= ticks
}

// frames counts packets in a stream: each begins with its length in four bytes.
type frames struct {
	n     atomic.Int64
	bytes atomic.Int64
	head  [4]byte
	have  int
	left  int64
}

func (f *frames) pass(p []byte) {
	f.bytes.Add(int64(len(p)))
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

// answers reads what the server's SFTP says. A packet whose length does not begin
// with a zero has 16 MiB or more, which none has: it is text. pkg/sftp reads each
// packet's head by itself, so a packet begins only where a read does.
type answers struct {
	*bufio.Reader
	s *Session
}

func (r *answers) Read(p []byte) (int, error) {
	f := &r.s.got
	begins := f.left == 0 && f.have == 0
	n, err := r.Reader.Read(p)
	if begins && n > 0 && p[0] != 0 {
		rest, _ := r.Peek(r.Buffered()) // what is there needs no reading
		err := &NoiseError{Text: printable(append(append([]byte(nil), p[:n]...), rest...)), Late: f.n.Load() > 0}
		r.s.lost(err)
		return 0, err
	}
	f.pass(p[:n])
	return n, err
}

type asked struct {
	io.WriteCloser
	f *frames
}

func (w *asked) Write(p []byte) (int, error) {
	w.f.pass(p) // before it is sent: a write that is stuck counts as a question
	return w.WriteCloser.Write(p)
}

// wire counts the bytes that come, and keeps the error that ended them: what is
// above it makes EOF of any.
type wire struct {
	net.Conn
	n      atomic.Int64
	failed atomic.Pointer[error]
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.n.Add(int64(n))
	if err != nil {
		w.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Close ends session and connection. The connection goes first: a server that
// answers nothing more would hold the end of the session up for good.
func (s *Session) Close() error {
	s.Cut(errClosed)
	_ = s.Client.Close() // has nobody to talk to any more
	return nil
}

var (
	errClosed = errors.New("it was closed")
	errEnded  = errors.New("the server ended the connection")
)

// Reader reads a remote file from an offset, in order, with requests in flight,
// until its context ends. Closing it closes the session.
func (s *Session) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	stop := context.AfterFunc(ctx, func() { s.Cut(context.Cause(ctx)) })
	f, err := s.Open(path)
	if err != nil {
		stop()
		return nil, s.Why(err)
	}
	pr, pw := io.Pipe()
	go func() {
		_, err := CopyInOrder(ctx, pw, f, offset)
		pw.CloseWithError(s.Why(err))
	}()
	return &reader{pr, s, stop}, nil
}

type reader struct {
	*io.PipeReader
	session *Session
	stop    func() bool
}

func (r *reader) Close() error {
	r.stop()
	r.PipeReader.Close()
	return r.session.Close()
}
