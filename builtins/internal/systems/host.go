package systems

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/builtins/internal/site"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// HostCodes are those that every primitive that works on a host can raise.
func HostCodes() []failure.Code {
	return []failure.Code{
		host.CodeDown,
		host.CodeAuth,
		ssh.CodeHostKey,
		host.CodeNoSFTP,
		host.CodeProgram,
		host.CodeFailed,
		keyring.CodeSecret,
	}
}

// Host opens a host of the site; "" is the only one. The caller closes it.
func (w *Systems) Host(ctx context.Context, name string) (host.Host, *site.Host, error) {
	h, err := w.Site.Host(name)
	if err != nil {
		return nil, nil, err
	}
	if h.Local {
		if w.Env.Root != "" {
			return nil, nil, &failure.Error{Code: host.CodeDown, System: "host " + h.Name, Doing: "run commands on this machine", Said: "the lab has no programs of this machine; its host is reached over SSH"}
		}
		return host.Local(h.Name), h, nil
	}
	r, err := host.Remote(ctx, h.Name, ssh.Config{Address: h.SSH, HostKey: h.HostKey, Dial: w.Env.Dial,
		Key: func(ctx context.Context) ([]byte, error) { return w.Secret(ctx, h.Key) }})
	if err != nil {
		return nil, nil, HostError(h.Name, "connect to "+h.SSH, err)
	}
	return r, h, nil
}

// HostError words an error of a host for the operator.
func HostError(name, doing string, err error) error {
	if err == nil {
		return nil
	}
	var own *failure.Error
	if errors.As(err, &own) || errors.Is(err, context.Canceled) {
		return err
	}
	e := &failure.Error{Code: host.CodeFailed, System: "host " + name, Doing: doing, Said: err.Error(), Cause: err}
	var exit *host.ExitError
	switch {
	case errors.As(err, new(*ssh.HostKeyError)):
		e.Code, e.Hint = ssh.CodeHostKey, "if the host was installed anew, compare the key on its console and put it into site.star; if not, somebody is in between"
	case errors.As(err, new(*ssh.AuthError)):
		e.Code, e.Hint = host.CodeAuth, "put the public key into that account's authorized_keys, or set the right private key: runner secret set NAME"
	case noSFTP(err):
		e.Code = host.CodeNoSFTP
	case errors.Is(err, host.ErrNoProgram):
		e.Code, e.Hint = host.CodeProgram, "install it on the host"
	case errors.As(err, &exit), errors.Is(err, host.ErrTooMuch), errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission), errors.As(err, new(*host.KilledError)):
	case ssh.Broken(err):
		e.Code, e.Temporary, e.Hint = host.CodeDown, true, "is the host up, and does its sshd listen there?"
	}
	if hint := HintOf(err); hint != "" {
		e.Hint = hint
	}
	return e
}

// noSFTP reports that a login worked and led to something else.
func noSFTP(err error) bool {
	return errors.As(err, new(*ssh.NoiseError)) || errors.As(err, new(*ssh.NoSFTPError))
}

// HintOf is what an error itself knows to advise.
func HintOf(err error) string {
	var e interface{ Hint() string }
	if errors.As(err, &e) {
		return e.Hint()
	}
	return ""
}

// OpenFile reads a file of an artifact from where it lies: a Proxmox storage, a
// host's folder, or the spool.
func (w *Systems) OpenFile(ctx context.Context, origin map[string]string, file string, offset int64) (io.ReadCloser, error) {
	switch {
	case origin["spool"] != "":
		return w.Spool().Open(origin["spool"], file, offset)
	case origin["host"] != "":
		return w.openOnHost(ctx, origin, file, offset)
	}
	return w.OpenArchive(ctx, origin, offset)
}

func (w *Systems) openOnHost(ctx context.Context, origin map[string]string, file string, offset int64) (io.ReadCloser, error) {
	h, _, err := w.Host(ctx, origin["host"])
	if err != nil {
		return nil, err
	}
	name := path.Join(origin["dir"], path.Base(file))
	r, err := h.Open(ctx, name, offset)
	if err != nil {
		h.Close()
		if errors.Is(err, os.ErrNotExist) {
			return nil, &failure.Error{Code: target.CodeArchiveMissing, System: "host " + origin["host"], Doing: "read " + name, Said: "it is not there any more", Hint: "a new run makes it again"}
		}
		return nil, HostError(origin["host"], "read "+name, err)
	}
	tell := func(err error) error { return HostError(origin["host"], "read "+name, err) }
	return &hostFile{toldFile{r, tell}, h}, nil
}

type hostFile struct {
	toldFile
	h host.Host
}

func (f *hostFile) Close() error {
	err := f.ReadCloser.Close()
	if cerr := f.h.Close(); err == nil {
		err = cerr
	}
	return err
}

// Asset is the row of the SOP's table that an artifact belongs to: the one that
// the policy names, or the usual one of its kind.
func (w *Systems) Asset(name, usual string) (string, error) {
	if name == "" {
		name = usual
	}
	if _, ok := w.Site.Demands.Asset(name); !ok {
		return "", &failure.Error{Code: site.CodeNoAsset, Doing: "find the asset " + name, Said: "the site does not declare it",
			Hint: fmt.Sprintf("add asset(name = %q, …) to site.star, or name another one with asset = …", name)}
	}
	return name, nil
}
