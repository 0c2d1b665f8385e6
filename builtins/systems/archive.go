package systems

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// ArchiveCodes are those that reading an artifact from where it was made can raise.
func ArchiveCodes() []failure.Code {
	return []failure.Code{
		target.CodeArchiveMissing,
		target.CodeArchiveRead,
		proxmox.CodeDown,
		proxmox.CodeSSH,
	}
}

// OpenArchive reads an archive of a Proxmox storage from where it lies: by its
// path on this very node, else over SFTP.
func (w *Systems) OpenArchive(ctx context.Context, origin ledger.Origin, offset int64) (io.ReadCloser, error) {
	sys, err := w.Site.System(origin.System)
	if err != nil {
		return nil, err
	}
	node, path := origin.Node, origin.Path
	explain := func(err error) error { return NodeError(sys.Name, "read "+path+" on "+node, err) }
	if w.OnNode(sys.Name, node) {
		r, err := host.LocalAt(node, w.Env.Root).Open(ctx, path, offset)
		if err != nil {
			return nil, explain(err)
		}
		return &localFile{explainedFile{r, explain}, r.(*os.File)}, nil
	}
	cfg, err := w.nodeSSH(sys, node)
	if err != nil {
		return nil, explain(err)
	}
	r, err := host.OpenRemote(ctx, cfg, path, offset)
	if err != nil {
		return nil, explain(err)
	}
	return &explainedFile{r, explain}, nil
}

// ReachArchives tries the way by which archives in a folder of a node are read.
func (w *Systems) ReachArchives(ctx context.Context, system, node, folder string) error {
	h, err := w.Node(ctx, system, node)
	if err == nil {
		defer h.Close()
		_, err = h.Stat(ctx, folder)
	}
	return NodeError(system, "read "+folder+" on "+node, err)
}

// Node reaches the files of a node of a cluster: here when runner is on it, else over
// SSH. The caller closes it.
func (w *Systems) Node(ctx context.Context, system, node string) (host.Host, error) {
	if w.OnNode(system, node) {
		return host.LocalAt(node, w.Env.Root), nil
	}
	sys, err := w.Site.System(system)
	if err != nil {
		return nil, err
	}
	cfg, err := w.nodeSSH(sys, node)
	if err != nil {
		return nil, err
	}
	return host.Remote(ctx, node, cfg)
}

func (w *Systems) nodeSSH(sys *site.Proxmox, node string) (ssh.Config, error) {
	addr, ok := sys.SSH[node]
	if !ok {
		return ssh.Config{}, &noWayError{sys.Name, node}
	}
	return ssh.Config{Address: addr, HostKey: sys.HostKeys[node], Dial: w.Env.Dial,
		Key: func(ctx context.Context) ([]byte, error) { return w.Secret(ctx, sys.SSHKey) }}, nil
}

// noWayError says that the site names no way to the files of a node.
type noWayError struct{ system, node string }

func (e *noWayError) Error() string {
	return "runner is not on that node, and the site names no ssh access to it"
}

// Hint is what can be done about it.
func (e *noWayError) Hint() string {
	return fmt.Sprintf("add ssh = {%q: \"root@host:22\"}, host_keys and ssh_key to proxmox(name = %q), or run runner on the node", e.node,
		e.system)
}

// explainedFile words what breaks while a file is read: opening it well is not a promise.
type explainedFile struct {
	io.ReadCloser
	explain func(error) error
}

func (f *explainedFile) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = f.explain(err)
	}
	return n, err
}

// localFile keeps its descriptor: readers ask the kernel to read ahead.
type localFile struct {
	explainedFile
	f *os.File
}

func (f *localFile) Fd() uintptr  { return f.f.Fd() }
func (f *localFile) Name() string { return f.f.Name() }

// NodeError words an error of reading or writing a node's files.
func NodeError(system, doing string, err error) error {
	var own *failure.Error
	if err == nil || errors.As(err, &own) || errors.Is(err, context.Canceled) {
		return err
	}
	e := &failure.Error{Code: target.CodeArchiveRead, System: "proxmox " + system, Doing: doing, Said: err.Error(), Cause: err,
		Hint: "look at that disk on the node: dmesg, smartctl -a"}
	switch {
	case errors.Is(err, os.ErrNotExist):
		e.Code, e.Hint = target.CodeArchiveMissing, "somebody removed it, or another tool's retention did: runner retry makes it anew"
	case errors.Is(err, os.ErrPermission):
		e.Hint = "the account that runner uses there may not read it: ls -l it on the node; vzdump writes archives for root"
	case errors.As(err, new(*ssh.HostKeyError)):
		e.Code, e.Hint = ssh.CodeHostKey, "if the host was installed anew, compare the key on its console and put it into site.star; if not, "+
			"somebody is in between"
	case errors.As(err, new(*ssh.AuthError)):
		e.Code, e.Hint = proxmox.CodeSSH, "put the public key into that account's authorized_keys, or set the right private key: runner "+
			"secret set NAME"
	case ssh.NoSFTP(err), errors.As(err, new(*noWayError)), errors.As(err, new(*ssh.KeyError)):
		e.Code, e.Hint = proxmox.CodeSSH, ssh.HintOf(err)
	case ssh.Broken(err):
		e.Code, e.Temporary, e.Hint = proxmox.CodeDown, true, cmp.Or(ssh.HintOf(err), "is the host up, and does its sshd listen there?")
	}
	return e
}
