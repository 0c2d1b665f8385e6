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
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
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
			return nil, nil, &failure.Error{Code: host.CodeDown, System: "host " + h.Name, Doing: "run commands on this machine",
				Said: "the lab has no programs of this machine; its host is reached over SSH"}
		}
		return host.Local(h.Name), h, nil
	}
	r, err := host.Remote(ctx, h.Name, ssh.Config{Address: h.SSH, HostKey: h.HostKey, Dial: w.Env.Dial,
		Key: func(ctx context.Context) ([]byte, error) { return w.Secret(ctx, h.Key) }})
	if err != nil {
		return nil, nil, host.Explain(h.Name, "connect to "+h.SSH, err)
	}
	return r, h, nil
}

// OpenFile reads a file of an artifact from where it lies: a Proxmox storage, a
// host's folder, or the spool.
func (w *Systems) OpenFile(ctx context.Context, origin ledger.Origin, file string, offset int64) (io.ReadCloser, error) {
	switch {
	case origin.Spool != "":
		return w.Spool().Open(origin.Spool, file, offset)
	case origin.Host != "":
		return w.openOnHost(ctx, origin, file, offset)
	}
	return w.OpenArchive(ctx, origin, offset)
}

func (w *Systems) openOnHost(ctx context.Context, origin ledger.Origin, file string, offset int64) (io.ReadCloser, error) {
	h, _, err := w.Host(ctx, origin.Host)
	if err != nil {
		return nil, err
	}
	name := path.Join(origin.Dir, path.Base(file))
	r, err := h.Open(ctx, name, offset)
	if err != nil {
		h.Close()
		if errors.Is(err, os.ErrNotExist) {
			return nil, &failure.Error{Code: target.CodeArchiveMissing, System: "host " + origin.Host, Doing: "read " + name,
				Said: "it is not there any more", Hint: "a new run makes it again"}
		}
		return nil, host.Explain(origin.Host, "read "+name, err)
	}
	explain := func(err error) error { return host.Explain(origin.Host, "read "+name, err) }
	return &hostFile{explainedFile{r, explain}, h}, nil
}

type hostFile struct {
	explainedFile
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
