package ssh

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/neosofia/runner/builtins/lab"
)

func TestALoginThatLeadsElsewhereIsToldAsWhatItIs(t *testing.T) {
	w, cfg := open(t)
	for _, c := range []struct {
		fault, said, hint string
	}{
		{"say Welcome to the storage box", `the account's login prints text before the SFTP protocol: "Welcome to the storage box"`,
			"ForceCommand internal-sftp"},
		{"say hi", `before the SFTP protocol: "hi"`, "ForceCommand internal-sftp"}, // fewer bytes than a packet's length has
		{"no-sftp", "the server does not start SFTP", "Subsystem sftp internal-sftp"},
	} {
		if err := errors.Join(w.Inject(), w.Inject(lab.Fault{On: "ssh offsite.lab", Do: c.fault})); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), cfg)
		var h interface {
			error
			Hint() string
		}
		if !errors.As(err, &h) || !strings.Contains(h.Error(), c.said) || !strings.Contains(h.Hint(), c.hint) {
			t.Errorf("%s: got %v", c.fault, err)
		}
	}
}

func TestTextIsFoundWhereverAPacketBegins(t *testing.T) {
	const packet = "\x00\x00\x00\x05\x02\x00\x00\x00\x03"
	for name, c := range map[string]struct {
		in   string
		text string // "": none is found
		late bool
	}{
		"only packets":       {in: packet + packet},
		"zeros in a packet":  {in: "\x00\x00\x00\x05abcde" + packet},
		"text at once":       {in: "Last login: today\nYou have mail.\n" + packet, text: "Last login: today"},
		"text in between":    {in: packet + "logout\n" + packet, text: "logout", late: true},
		"what no screen has": {in: "\x1b[1mHi\xff\x07\n", text: "?[1mHi??"},
		"text without end":   {in: strings.Repeat("x", 4000), text: strings.Repeat("x", 120) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &answers{bufio.NewReader(strings.NewReader(c.in)), new(Session)}
			var err error
			for err == nil { // as pkg/sftp reads
				head := make([]byte, 4)
				if _, err = io.ReadFull(r, head); err == nil {
					_, err = io.CopyN(io.Discard, r, int64(head[3]))
				}
			}
			var noise *NoiseError
			switch {
			case c.text == "":
				if !errors.Is(err, io.EOF) || r.s.got.n.Load() != 2 {
					t.Errorf("got %v after %d packets", err, r.s.got.n.Load())
				}
			case !errors.As(err, &noise) || noise.Text != c.text || noise.Late != c.late:
				t.Errorf("got %v", err)
			}
		})
	}
	// However few bytes a read brings, the length is read whole.
	r := &answers{bufio.NewReader(iotest.OneByteReader(strings.NewReader(packet))), new(Session)}
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil || r.s.got.n.Load() != 1 {
		t.Errorf("got %v after %d packets", err, r.s.got.n.Load())
	}
}

const short = 400 * time.Millisecond // much more than the lab needs for any answer

func silent(t *testing.T, what string, err error) {
	t.Helper()
	var s *SilentError
	if !errors.As(err, &s) || !strings.Contains(err.Error(), "the host fell silent") {
		t.Errorf("%s: got %v, want that the host fell silent", what, err)
	}
}

func TestAHostThatFallsSilentIsGivenUp(t *testing.T) {
	w, cfg := open(t)
	cfg.Silence = short
	for _, do := range []string{"hang", "hang sftp"} {
		if err := errors.Join(w.Inject(), w.Inject(lab.Fault{On: "ssh offsite.lab", Do: do})); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), cfg)
		silent(t, do, err)
	}
	if err := w.Inject(); err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(s *Session) error{
		"stat": func(s *Session) error { _, err := s.Stat("/"); return err },
		"list": func(s *Session) error { _, err := s.ReadDir("/"); return err },
		"get":  func(s *Session) error { _, err := s.Reader(context.Background(), "/file", 0); return err },
	} {
		s, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Inject(lab.Fault{On: "sftp offsite.lab " + name, Do: "hang"}); err != nil {
			t.Fatal(err)
		}
		silent(t, name, s.Why(ask(s)))
		if !s.Broken() {
			t.Errorf("%s: the session counts as whole", name)
		}
		if err := errors.Join(w.Inject(), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

// onNode is the lab's node, which runs programs.
func onNode(t *testing.T) (*lab.World, Config) {
	w, cfg := open(t)
	cfg.Address, cfg.HostKey, cfg.Silence = "root@"+lab.NodeAddr, lab.HostKeys()["pve1.lab"], short
	cfg.Key = func(context.Context) ([]byte, error) { return lab.Secrets()["node-ssh-key"], nil }
	return w, cfg
}

func TestAQuietCommandGoesOnAsLongAsTheHostAnswers(t *testing.T) {
	w, cfg := onNode(t)
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := w.Inject(lab.Fault{On: "run pve1.lab true", Do: "hang"}); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("three times the silence")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 3*short, enough)
	defer cancel()
	if err := s.Run(ctx, "'true'", nil, io.Discard, io.Discard); !errors.Is(err, enough) {
		t.Errorf("got %v, want the command to go on", err)
	}
	if s.Broken() {
		t.Error("the session was given up")
	}
}

func TestACommandOnAHostThatDiesEnds(t *testing.T) {
	w, cfg := onNode(t)
	var link *dying
	dial := cfg.Dial
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		link = &dying{Conn: c, closed: make(chan struct{})}
		return link, err
	}
	for name, when := range map[string]func(run func()){
		"before it starts":  func(run func()) { link.dead.Store(true); run() },
		"while it is quiet": func(run func()) { time.AfterFunc(short/2, func() { link.dead.Store(true) }); run() },
	} {
		s, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Inject(lab.Fault{On: "run pve1.lab true", Do: "hang"}); err != nil {
			t.Fatal(err)
		}
		when(func() { err = s.Run(t.Context(), "'true'", nil, io.Discard, io.Discard) })
		silent(t, name, err)
		if err := errors.Join(w.Inject(), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

// dying is a connection to a host that loses its power: nothing comes any more,
// and nothing says so.
type dying struct {
	net.Conn
	dead   atomic.Bool
	once   atomic.Bool
	closed chan struct{}
}

func (d *dying) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	if d.dead.Load() {
		<-d.closed
		return 0, os.ErrClosed
	}
	return n, err
}

func (d *dying) Close() error {
	if d.once.CompareAndSwap(false, true) {
		close(d.closed)
	}
	return d.Conn.Close()
}
