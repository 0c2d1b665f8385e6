package targettest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os/exec"
	"sync"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/neosofia/runner/builtins/internal/target"
)

// Faults are what a server does wrong. Zero is nothing.
type Faults struct {
	CutAfter  int64 // bytes written after which the connection breaks, once
	FullAfter int64 // bytes written after which the disk is full
	ReadOnly  bool  // the disk is mounted read-only
	Fail      bool  // every change fails, for no reason that statvfs shows
	NoStatVFS bool  // it does not tell about its disk
	Deny      bool  // every change is denied
	Keep      bool  // overwriting, renaming and deleting are denied
	Lose      int64 // the size of every file comes out smaller by this
	Mute      bool  // requests are not answered any more
}

// Server is an SFTP server in this process, serving one folder.
type Server struct {
	Dir     string
	Addr    string
	HostKey string // authorized_keys form
	Key     []byte // PEM of the key that may log in

	program string

	mu      sync.Mutex
	faults  Faults
	written int64
	conns   map[net.Conn]bool
	quiet   chan struct{}
	left    chan struct{} // has room for one: a connection ended
	conf    *ssh.ServerConfig
}

// Set changes what the server does wrong from now on.
func (s *Server) Set(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.written = f, 0
}

// WaitForNoConns waits until all connections have ended.
func (s *Server) WaitForNoConns(t testing.TB) {
	t.Helper()
	for {
		s.mu.Lock()
		n, left := len(s.conns), s.left
		s.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-left:
		case <-t.Context().Done():
			t.Fatalf("%d connections are left", n)
		}
	}
}

// Serve starts a server that ends with the test.
func Serve(t testing.TB, dir string) *Server { return ServeBy(t, dir, "") }

// ServeBy is Serve with a program that answers, OpenSSH's sftp-server. It sees
// the whole machine, so the target's URL names the folder.
func ServeBy(t testing.TB, dir, program string) *Server {
	t.Helper()
	s := &Server{Dir: dir, program: program, conns: map[net.Conn]bool{}, quiet: make(chan struct{}), left: make(chan struct{}, 1)}
	host, _ := newKey(t)
	client, block := newKey(t)
	s.HostKey, s.Key = string(ssh.MarshalAuthorizedKey(host.PublicKey())), block
	s.conf = &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(client.PublicKey().Marshal()) {
			return nil, errors.New("this key may not")
		}
		return nil, nil
	}}
	s.conf.AddHostKey(host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(s.quiet)
		s.cut()
		wg.Wait()
	})
	return s
}

func newKey(t testing.TB) (ssh.Signer, []byte) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

// cut breaks all connections.
func (s *Server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

func (s *Server) serve(raw net.Conn) {
	s.mu.Lock()
	s.conns[raw] = true
	s.mu.Unlock()
	defer func() {
		raw.Close()
		s.mu.Lock()
		delete(s.conns, raw)
		s.mu.Unlock()
		select {
		case s.left <- struct{}{}:
		default:
		}
	}()
	conn, chans, reqs, err := ssh.NewServerConn(raw, s.conf)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(reqs)
	for c := range chans {
		ch, requests, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				_ = r.Reply(r.Type == "subsystem", nil) // a client that is gone needs none
				if r.Type == "subsystem" && s.program != "" {
					go s.execute(ch)
				}
			}
		}()
		if s.program != "" {
			continue
		}
		h := &handler{s}
		server := sftp.NewRequestServer(ch, sftp.Handlers{FileGet: h, FilePut: h, FileCmd: h, FileList: h})
		go func() {
			_ = server.Serve() // it ends with the connection
			ch.Close()
		}()
	}
}

// execute joins a channel with the program.
func (s *Server) execute(ch ssh.Channel) {
	defer ch.Close()
	cmd := exec.Command(s.program)
	cmd.Stdout = ch
	in, err := cmd.StdinPipe()
	if err != nil || cmd.Start() != nil {
		return // the client sees the channel close
	}
	go func() {
		_, _ = io.Copy(in, ch) // it ends when either side does
		in.Close()
	}()
	_ = cmd.Wait() // its status is not an answer of SFTP
}

func (s *Server) folder() string {
	if s.program != "" {
		return s.Dir
	}
	return "/"
}

// Spec declares the target that the server is.
func (s *Server) Spec() target.Spec {
	return target.Spec{Name: "offsite", URL: "sftp://backup@" + s.Addr + s.folder(), Medium: "disk", Location: "elsewhere", Offsite: true,
		HostKey: s.HostKey,
		Key:     func(context.Context) ([]byte, error) { return append([]byte(nil), s.Key...), nil }}
}
