// Package ssh opens SFTP sessions over SSH with golang.org/x/crypto/ssh and
// github.com/pkg/sftp (both kept, and the only complete ones in Go).
//
// The server must present exactly the host key that the caller names: there is
// no trust on first use, and no other way in than a key.
package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Config is what a session is opened with.
type Config struct {
	Address string // user@host[:port]
	HostKey string // "ssh-ed25519 AAAA…"
	Key     func(ctx context.Context) ([]byte, error)
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
}

// HostKeyError says that a server has another key than the site states.
type HostKeyError struct{ Host, Seen string }

func (e *HostKeyError) Error() string {
	return fmt.Sprintf("the host key of %s is not the one in the site; it presents %s", e.Host, e.Seen)
}

// AuthError says that the server refused our key.
type AuthError struct{ Address, Said string }

func (e *AuthError) Error() string {
	return fmt.Sprintf("%s refuses the key: %s", e.Address, e.Said)
}

// Session is an open SFTP session.
type Session struct {
	*sftp.Client
	conn *ssh.Client
}

// Split parses user@host[:port].
func Split(address string) (user, hostport string, err error) {
	user, host, ok := strings.Cut(address, "@")
	if !ok || user == "" || host == "" {
		return "", "", fmt.Errorf("bad address %q: want user@host:port", address)
	}
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(host, "22")
	}
	return user, host, nil
}

const handshake = 30 * time.Second

// Open connects, checks the host key, and starts the sftp subsystem.
func Open(ctx context.Context, cfg Config) (*Session, error) {
	user, addr, err := Split(cfg.Address)
	if err != nil {
		return nil, err
	}
	want, _, _, _, err := ssh.ParseAuthorizedKey([]byte(cfg.HostKey))
	if err != nil {
		return nil, fmt.Errorf("read the host key of %s in the site: %w", addr, err)
	}
	pem, err := cfg.Key(ctx)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(pem)
	clear(pem)
	if err != nil {
		return nil, fmt.Errorf("read the private key for %s: %w", cfg.Address, err)
	}
	raw, err := cfg.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := raw.SetDeadline(deadline(ctx)); err != nil {
		raw.Close()
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	var seen *HostKeyError
	conn, chans, reqs, err := ssh.NewClientConn(raw, addr, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyAlgorithms: algorithms(want),
		HostKeyCallback: func(host string, _ net.Addr, key ssh.PublicKey) error {
			if bytes.Equal(key.Marshal(), want.Marshal()) {
				return nil
			}
			seen = &HostKeyError{host, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))}
			return seen
		},
	})
	if err != nil {
		raw.Close()
		switch {
		case seen != nil:
			return nil, seen
		case strings.Contains(err.Error(), "no common algorithm for host key"):
			return nil, &HostKeyError{addr, "a key of another type"}
		case strings.Contains(err.Error(), "unable to authenticate"):
			return nil, &AuthError{cfg.Address, err.Error()}
		}
		return nil, err
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, err
	}
	client := ssh.NewClient(conn, chans, reqs)
	sub, err := sftp.NewClient(client, sftp.MaxPacketUnchecked(255_000), sftp.MaxConcurrentRequestsPerFile(16))
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("start sftp on %s: %w", cfg.Address, err)
	}
	return &Session{sub, client}, nil
}

// algorithms are the signatures that a key of that type can make; ssh-rsa itself
// stands for SHA-1, which servers refuse.
func algorithms(key ssh.PublicKey) []string {
	if key.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{key.Type()}
}

func deadline(ctx context.Context) time.Time {
	limit := time.Now().Add(handshake)
	if d, ok := ctx.Deadline(); ok && d.Before(limit) {
		return d
	}
	return limit
}

// Close ends session and connection. The connection goes first: a server that
// answers nothing more would hold the end of the session up for good.
func (s *Session) Close() error {
	err := s.conn.Close()
	_ = s.Client.Close() // has nobody to talk to any more
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Reader reads a remote file from an offset, in order, with requests in flight,
// until its context ends. Closing it closes the session.
func (s *Session) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	f, err := s.Open(path)
	if err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	stop := context.AfterFunc(ctx, func() { pw.CloseWithError(context.Cause(ctx)); s.conn.Close() })
	go func() {
		_, err := CopyInOrder(ctx, pw, f, offset)
		pw.CloseWithError(err)
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
