package target

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"path"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/neosofia/runner/runtime/ledger"
)

const (
	packet   = 255_000 // bytes; OpenSSH takes 256 KiB with all headers, and never answers what is longer
	requests = 64      // on the way at once: 16 MB, 1.3 Gbit/s at 100 ms
	silence  = 60 * time.Second
	patience = 30 * time.Second // for connecting and for the handshake
)

// openSFTP opens an sftp:// target.
func (t *Target) openSFTP(ctx context.Context, u *url.URL) error {
	keys, err := parseHostKeys(t.spec.HostKey)
	if err != nil {
		return &Error{Code: CodeHostKey, Target: t.spec.Name, Doing: "open " + u.Redacted(), Said: err.Error(),
			Hint: "put the server's key into the site: ssh-keyscan " + u.Hostname() + ", compared with the server's own console"}
	}
	if t.spec.Key == nil {
		return badTarget(t.spec.Name, "there is no private key for %s", u.Redacted())
	}
	port := u.Port()
	if port == "" {
		port = "22"
	}
	d := &dialer{target: t.spec.Name, user: u.User.Username(), addr: net.JoinHostPort(u.Hostname(), port), hostKeys: keys,
		key: t.spec.Key, connect: t.env.Dial, silence: silence}
	if d.connect == nil {
		d.connect = (&net.Dialer{Timeout: patience}).DialContext
	}
	base := path.Clean(u.Path)
	if rest, ok := strings.CutPrefix(base, "/~"); ok && (rest == "" || rest[0] == '/') {
		base = path.Clean("./" + rest)
	}
	store := &sftpStore{target: t.spec.Name, base: base, dialer: d}
	t.store, t.account = store, d.user+"@"+u.Hostname()
	t.device = ledger.Device{ID: "host:" + d.addr}
	t.caps = Capabilities{Space: store.Space, Program: store.Program, Close: store.Close}
	info, err := store.Stat(ctx, ".")
	if err == nil && !info.Dir {
		err = &Error{Code: CodeNotFound, Target: t.spec.Name, Doing: "open " + base, Said: "it is not a folder"}
	}
	if e, ok := errorAs[*Error](err); ok && e.Code == CodeNotFound {
		e.Hint = "make the folder on the server"
	}
	if err != nil {
		store.Close()
	}
	return err
}

// parseHostKeys reads keys in the form of authorized_keys, one a line.
func parseHostKeys(text string) (keys []ssh.PublicKey, err error) {
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

// dialer makes connections to one server.
type dialer struct {
	target   string
	user     string
	addr     string
	hostKeys []ssh.PublicKey
	key      func(ctx context.Context) ([]byte, error)
	connect  func(ctx context.Context, network, addr string) (net.Conn, error)
	silence  time.Duration
}

func (d *dialer) dial(ctx context.Context) (*session, error) {
	signer, err := d.signer(ctx)
	if err != nil {
		return nil, err
	}
	raw, err := d.connect(ctx, "tcp", d.addr)
	if err != nil {
		return nil, d.down(ctx, "connect to "+d.addr, err)
	}
	// One timer for all of the handshake: a server may accept and say nothing.
	hctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.AfterFunc(patience, cancel)
	defer timer.Stop()
	stop := context.AfterFunc(hctx, func() { raw.Close() })
	s, err := d.handshake(raw, signer)
	if !stop() && err == nil {
		err = errors.New("it took too long")
	}
	if err != nil {
		raw.Close()
		return nil, d.down(ctx, "log in to "+d.addr+" as "+d.user, err)
	}
	return s, nil
}

func (d *dialer) signer(ctx context.Context) (ssh.Signer, error) {
	pem, err := d.key(ctx)
	defer clear(pem)
	if err == nil {
		var signer ssh.Signer
		if signer, err = ssh.ParsePrivateKey(pem); err == nil {
			return signer, nil
		}
		err = errors.New("the private key cannot be parsed, or has a passphrase")
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, &Error{Code: CodeDenied, Target: d.target, Doing: "get the key for " + d.addr, Said: err.Error(), Cause: err}
}

func (d *dialer) handshake(raw net.Conn, signer ssh.Signer) (*session, error) {
	conf := &ssh.ClientConfig{User: d.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: d.checkHostKey}
	for _, k := range d.hostKeys {
		if k.Type() == ssh.KeyAlgoRSA {
			conf.HostKeyAlgorithms = append(conf.HostKeyAlgorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			continue
		}
		conf.HostKeyAlgorithms = append(conf.HostKeyAlgorithms, k.Type())
	}
	conn, chans, reqs, err := ssh.NewClientConn(raw, d.addr, conf)
	if err != nil {
		return nil, err
	}
	return newSession(raw, ssh.NewClient(conn, chans, reqs), d.silence)
}

func (d *dialer) checkHostKey(_ string, _ net.Addr, key ssh.PublicKey) error {
	for _, k := range d.hostKeys {
		if bytes.Equal(k.Marshal(), key.Marshal()) {
			return nil
		}
	}
	return &Error{Code: CodeHostKey, Target: d.target, Doing: "log in to " + d.addr,
		Said: "the server's key is " + ssh.FingerprintSHA256(key) + ", which is not the one in the site",
		Hint: "find out on the server's console whether its key was changed; if not, somebody else answers"}
}

// down classifies an error before there is a session.
func (d *dialer) down(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e, ok := errorAs[*Error](err); ok {
		return e
	}
	e := &Error{Code: CodeDown, Target: d.target, Doing: doing, Said: err.Error(), Temporary: true, Cause: err}
	switch {
	case strings.Contains(err.Error(), "unable to authenticate"):
		e.Code, e.Temporary, e.Said, e.Hint = CodeDenied, false, "the server refuses the key", "check authorized_keys on the server"
	case strings.Contains(err.Error(), "no common algorithm for host key"):
		e.Code, e.Temporary, e.Said = CodeHostKey, false, "the server has no key of the kind that the site names"
		e.Hint = "compare the server's keys with the site's"
	}
	return e
}
