// Package ssh opens SFTP sessions over SSH with golang.org/x/crypto/ssh and
// github.com/pkg/sftp (both kept, and the only complete ones in Go).
//
// The server must present exactly the host key that the caller names: there is
// no trust on first use, and no other way in than a key.
//
// pkg/sftp has no deadlines, and takes a login that prints text for packets that
// are too long. So all bytes pass a watch (Session), which says why nothing came,
// and what came instead.
package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Config is what a session is opened with.
type Config struct {
	Address string // user@host[:port]
	HostKey string // "ssh-ed25519 AAAA…", or several lines of such
	Key     func(ctx context.Context) ([]byte, error)
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	Silence time.Duration // for a login, and while an answer is owed; 0: a minute
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

// Sizes of what is asked for.
const (
	Packet   = 255_000 // bytes; OpenSSH takes 256 KiB with all headers, and never answers what is longer
	Requests = 64      // on the way at once for a file: 16 MB, 1.3 Gbit/s at 100 ms
)

const silence = 60 * time.Second

// Open connects, checks the host key, and starts the sftp subsystem.
func Open(ctx context.Context, cfg Config) (*Session, error) {
	user, addr, err := Split(cfg.Address)
	if err != nil {
		return nil, err
	}
	want, err := HostKeys(cfg.HostKey)
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
		return nil, &KeyError{cfg.Address}
	}
	if cfg.Silence == 0 {
		cfg.Silence = silence
	}
	conn, err := cfg.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	raw := &wire{Conn: conn}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	s, err := login(raw, addr, cfg, &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyAlgorithms: algorithms(want), HostKeyCallback: oneOf(want)})
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return nil, refusal(ctx, raw, cfg, err)
	}
	go s.watch(cfg.Silence)
	return s, nil
}

// login has one time limit for all of it: a server may accept and say nothing.
func login(raw *wire, addr string, cfg Config, conf *ssh.ClientConfig) (*Session, error) {
	if err := raw.SetDeadline(time.Now().Add(cfg.Silence)); err != nil {
		return nil, err
	}
	conn, chans, reqs, err := ssh.NewClientConn(raw, addr, conf)
	if err != nil {
		return nil, err
	}
	s, err := newSession(raw, ssh.NewClient(conn, chans, reqs))
	if err != nil {
		return nil, err
	}
	return s, raw.SetDeadline(time.Time{})
}

// refusal classifies an error of the login.
func refusal(ctx context.Context, raw *wire, cfg Config, err error) error {
	failed := raw.failed.Load()
	negotiation, kind := new(ssh.AlgorithmNegotiationError), new(HostKeyError)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &kind):
		return kind
	case failed != nil && errors.Is(*failed, os.ErrDeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return &SilentError{cfg.Silence}
	case errors.As(err, &negotiation) && strings.Contains(err.Error(), "host key"):
		return &HostKeyError{cfg.Address, "a key of another type"}
	case strings.Contains(err.Error(), "unable to authenticate"):
		return &AuthError{cfg.Address, err.Error()}
	}
	return &LostError{err}
}

// HostKeys reads keys in the form of authorized_keys, one a line.
func HostKeys(text string) (keys []ssh.PublicKey, err error) {
	rest := []byte(text)
	for len(bytes.TrimSpace(rest)) > 0 {
		var key ssh.PublicKey
		if key, _, _, rest, err = ssh.ParseAuthorizedKey(rest); err != nil {
			return nil, errors.New("the host key cannot be parsed; its form is \"ssh-ed25519 AAAA…\"")
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("no host key is given, and none is believed at first sight")
	}
	return keys, nil
}

func oneOf(want []ssh.PublicKey) ssh.HostKeyCallback {
	return func(host string, _ net.Addr, key ssh.PublicKey) error {
		for _, w := range want {
			if bytes.Equal(key.Marshal(), w.Marshal()) {
				return nil
			}
		}
		return &HostKeyError{host, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))}
	}
}

// algorithms are the signatures that keys can make; ssh-rsa itself stands for
// SHA-1, which servers refuse.
func algorithms(keys []ssh.PublicKey) (names []string) {
	for _, key := range keys {
		if key.Type() == ssh.KeyAlgoRSA {
			names = append(names, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			continue
		}
		names = append(names, key.Type())
	}
	return names
}
