package target

import (
	"context"
	"net"
	"path"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

const patience = 30 * time.Second // for connecting

// openSFTP opens an sftp:// target.
func openSFTP(ctx context.Context, t *Target) error {
	u := t.place.URL
	if _, err := ssh.HostKeys(t.spec.HostKey); err != nil {
		return &failure.Error{Code: ssh.CodeHostKey, System: system(t.spec.Name), Doing: "open " + u.Redacted(), Said: err.Error(),
			Hint: "put the server's key into the site: ssh-keyscan " + u.Hostname() + ", compared with the server's own console"}
	}
	if t.spec.Key == nil {
		return badTarget(t.spec.Name, "there is no private key for %s", u.Redacted())
	}
	port := u.Port()
	if port == "" {
		port = "22"
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	d := &dialer{t.spec.Name, ssh.Config{Address: u.User.Username() + "@" + addr, HostKey: t.spec.HostKey, Key: t.spec.Key,
		Dial: t.env.Dial, Silence: t.env.Silence}}
	if d.config.Dial == nil {
		d.config.Dial = (&net.Dialer{Timeout: patience}).DialContext
	}
	base := path.Clean(u.Path)
	if rest, ok := strings.CutPrefix(base, "/~"); ok && (rest == "" || rest[0] == '/') {
		base = path.Clean("./" + rest)
	}
	store := &sftpStore{target: t.spec.Name, base: base, dialer: d}
	t.store, t.account = store, u.User.Username()+"@"+u.Hostname()
	t.device = ledger.Device{ID: "host:" + addr}
	t.caps = Capabilities{Rename: true, Append: true, Space: store.Space, Program: store.Program, Close: store.Close}
	info, err := store.Stat(ctx, ".")
	if err == nil && !info.Dir {
		err = &failure.Error{Code: CodeNotFound, System: system(t.spec.Name), Doing: "open " + base, Said: "it is not a folder"}
	}
	if e, ok := errorAs[*failure.Error](err); ok && e.Code == CodeNotFound {
		e.Hint = "make the folder on the server"
	}
	if err != nil {
		store.Close()
	}
	return err
}

// dialer makes connections to one server.
type dialer struct {
	target string
	config ssh.Config
}

func (d *dialer) dial(ctx context.Context) (*ssh.Session, error) {
	cfg := d.config
	cfg.Key = func(ctx context.Context) ([]byte, error) {
		pem, err := d.config.Key(ctx)
		if err != nil {
			err = &failure.Error{Code: CodeDenied, System: system(d.target), Doing: "get the key for " + cfg.Address, Said: err.Error(), Cause: err}
		}
		return pem, err
	}
	s, err := ssh.Open(ctx, cfg)
	if err != nil {
		return nil, d.down(ctx, err)
	}
	return s, nil
}

// hinted is an error that knows what can be done about it.
type hinted interface {
	error
	Hint() string
}

// down classifies an error before there is a session.
func (d *dialer) down(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err, ok := settled(d.target, err); ok {
		return err
	}
	doing := "log in to " + d.config.Address
	e := &failure.Error{Code: CodeDown, System: system(d.target), Doing: doing, Said: err.Error(), Temporary: true, Cause: err}
	if h, ok := errorAs[hinted](err); ok {
		e.Hint = h.Hint()
	}
	switch {
	case isA[*ssh.HostKeyError](err):
		other, _ := errorAs[*ssh.HostKeyError](err)
		e.Code, e.Temporary = ssh.CodeHostKey, false
		e.Said = "the server presents " + other.Seen + ", which is not the one in the site"
		e.Hint = "find out on the server's console whether its key was changed; if not, somebody else answers"
	case isA[*ssh.AuthError](err):
		e.Code, e.Temporary, e.Said, e.Hint = CodeDenied, false, "the server refuses the key", lookAtLogin
	case isA[*ssh.KeyError](err):
		e.Code, e.Temporary = CodeDenied, false
	case isA[*ssh.NoiseError](err), isA[*ssh.NoSFTPError](err):
		return d.noSFTP(doing, err)
	case e.Hint == "":
		e.Hint = "is the server up, and does its sshd listen there? If so, " + lookAtLogin
	}
	return e
}

// lookAtLogin is where the reason for a login that did not succeed is found.
const lookAtLogin = "look at sshd's log on the server (journalctl -u ssh), " +
	"at authorized_keys of the account, and at the target's key in the site"

// noSFTP is the error for a login that works and leads to something else.
func (d *dialer) noSFTP(doing string, err error) *failure.Error {
	e := &failure.Error{Code: CodeNoSFTP, System: system(d.target), Doing: doing, Said: err.Error(), Cause: err}
	if h, ok := errorAs[hinted](err); ok {
		e.Hint = h.Hint()
	}
	return e
}

func isA[T error](err error) bool {
	_, ok := errorAs[T](err)
	return ok
}
