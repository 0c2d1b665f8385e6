// Package sftp is the lab's ssh server: public keys only, and of all that ssh
// can do only the sftp subsystem, in a folder of the world that the client
// sees as "/".
//
// The protocol is pkg/sftp's request server, whose handlers work through
// os.Root: no path and no link leads out of the folder. It offers
// posix-rename@openssh.com and statvfs@openssh.com; fsync@openssh.com, which
// the library's server lacks and OpenSSH's has, is added in front of it
// (fsync.go).
package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	pkgsftp "github.com/pkg/sftp"

	"github.com/neosofia/runner/builtins/lab/fault"
)

// Config is one server with one account.
type Config struct {
	Name    string // of the host, as faults name it: "offsite.lab"
	User    string // the only account
	Key     ssh.PublicKey
	Host    ssh.Signer
	NewHost ssh.Signer // shown when the fault "new-hostkey" is due
	Root    string     // folder of the machine that is "/"
	Home    string     // start folder, below Root
	Faults  *fault.Set // never nil
	Sleep   func(ctx context.Context, d time.Duration) error
	// Exec runs a line of the account's shell; nil: the account has none. An exit
	// status below 0 is an end by a signal.
	Exec func(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) int

	login  func(io.ReadWriter) error // what the account's shell does before SFTP
	noSFTP bool
}

// Serve answers connections of the listener until it is closed or ctx ends. It
// returns when all connections are done.
func Serve(ctx context.Context, l net.Listener, cfg Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept connection: %w", err)
		}
		work.Add(1)
		go func() {
			defer work.Done()
			serveConn(ctx, conn, cfg)
		}()
	}
}

// serveConn is one ssh connection. Its errors are the client's: it sees the
// connection end.
func serveConn(ctx context.Context, conn net.Conn, cfg Config) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	due, err := cfg.Faults.Due("ssh "+cfg.Name, "refuse", "hang", "new-hostkey", "say", "no-sftp")
	if err != nil {
		return
	}
	host := cfg.Host
	for _, d := range due {
		switch d.Name {
		case "refuse":
			return
		case "hang":
			if d.Args == "sftp" {
				cfg.login = func(c io.ReadWriter) error { _, err := io.Copy(io.Discard, c); return errors.Join(err, io.EOF) }
				continue
			}
			<-ctx.Done()
			return
		case "new-hostkey":
			host = cfg.NewHost
		case "say":
			cfg.login = func(c io.ReadWriter) error { _, err := io.WriteString(c, d.Args+"\n"); return err }
		case "no-sftp":
			cfg.noSFTP = true
		}
	}
	sc := &ssh.ServerConfig{ServerVersion: "SSH-2.0-OpenSSH_10.0p2 Debian-7", PublicKeyCallback: cfg.authorize}
	sc.AddHostKey(host)
	_, channels, requests, err := ssh.NewServerConn(conn, sc)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	var work sync.WaitGroup
	defer work.Wait()
	for ch := range channels {
		if ch.ChannelType() != "session" {
			_ = ch.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		channel, reqs, err := ch.Accept()
		if err != nil {
			return
		}
		work.Add(1)
		go func() {
			defer work.Done()
			serveSession(ctx, conn, channel, reqs, cfg)
		}()
	}
}

func (cfg Config) authorize(meta ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
	if meta.User() != cfg.User || string(k.Marshal()) != string(cfg.Key.Marshal()) {
		return nil, errors.New("permission denied")
	}
	return &ssh.Permissions{}, nil
}

// serveSession waits for the sftp subsystem or a command and serves it; a shell is
// refused.
func serveSession(ctx context.Context, conn net.Conn, channel ssh.Channel, reqs <-chan *ssh.Request, cfg Config) {
	defer channel.Close()
	for req := range reqs {
		if req.Type == "exec" && cfg.Exec != nil {
			serveCommand(ctx, channel, req, reqs, cfg)
			return
		}
		if cfg.noSFTP || req.Type != "subsystem" || string(req.Payload) != string(ssh.Marshal(struct{ Name string }{"sftp"})) {
			_ = req.Reply(false, nil)
			continue
		}
		if req.Reply(true, nil) != nil {
			return
		}
		go ssh.DiscardRequests(reqs)
		_ = serveFiles(ctx, conn, channel, cfg)
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
		return
	}
}

// serveCommand runs one command; a signal, and the end of the channel, end it.
func serveCommand(ctx context.Context, channel ssh.Channel, req *ssh.Request, reqs <-chan *ssh.Request, cfg Config) {
	var line struct{ Text string }
	if ssh.Unmarshal(req.Payload, &line) != nil || req.Reply(true, nil) != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for r := range reqs {
			if r.Type == "signal" {
				cancel()
			}
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
		}
		cancel()
	}()
	status := cfg.Exec(ctx, line.Text, channel, channel, channel.Stderr())
	if status < 0 {
		_, _ = channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Name    string
			Core    bool
			Message string
			Lang    string
		}{"KILL", false, "", ""}))
		return
	}
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
}

func serveFiles(ctx context.Context, conn net.Conn, channel ssh.Channel, cfg Config) error {
	if cfg.login != nil {
		if err := cfg.login(channel); err != nil {
			return err
		}
	}
	root, err := os.OpenRoot(cfg.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	h := &handlers{ctx: ctx, cfg: cfg, root: root, cut: func() { conn.Close() }, written: map[*file]bool{}}
	rw := newSyncer(channel, h.sync)
	s := pkgsftp.NewRequestServer(rw, pkgsftp.Handlers{FileGet: h, FilePut: h, FileCmd: h, FileList: h},
		pkgsftp.WithStartDirectory("/"+cfg.Home))
	defer s.Close()
	return s.Serve()
}
