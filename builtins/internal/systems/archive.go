package systems

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
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
func (w *Systems) OpenArchive(ctx context.Context, origin map[string]string, offset int64) (io.ReadCloser, error) {
	sys, err := w.Site.System(origin["system"])
	if err != nil {
		return nil, err
	}
	node, path := origin["node"], origin["path"]
	fail := func(code failure.Code, err error, hint string) error {
		return &failure.Error{Code: code, System: "proxmox " + sys.Name, Doing: "read " + path + " on " + node, Said: err.Error(), Hint: hint, Cause: err, Temporary: code.Name == proxmox.CodeDown.Name}
	}
	tell := func(err error) error {
		code, hint := fileCode(err)
		return fail(code, err, hint)
	}
	if w.OnNode(sys.Name, node) {
		f, err := os.Open(filepath.Join(w.Env.Root, path))
		if err != nil {
			return nil, tell(err)
		}
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			f.Close()
			return nil, tell(err)
		}
		return &localFile{toldFile{f, tell}, f}, nil
	}
	addr, ok := sys.SSH[node]
	if !ok {
		return nil, fail(proxmox.CodeSSH, errNoWay, noWayHint(sys.Name, node))
	}
	session, err := ssh.Open(ctx, ssh.Config{Address: addr, HostKey: sys.HostKeys[node], Dial: w.Env.Dial,
		Key: func(ctx context.Context) ([]byte, error) { return w.Secret(ctx, sys.SSHKey) }})
	if err != nil {
		code, hint := sshCode(err)
		if own := new(failure.Error); errors.As(err, &own) {
			return nil, own
		}
		return nil, fail(code, err, hint)
	}
	r, err := session.Reader(ctx, path, offset)
	if err != nil {
		session.Close()
		return nil, tell(err)
	}
	return &toldFile{r, tell}, nil
}

// ReachArchives tries the way by which archives in a folder of a node are read.
func (w *Systems) ReachArchives(ctx context.Context, system, node, folder string) error {
	if w.OnNode(system, node) {
		f, err := os.Open(filepath.Join(w.Env.Root, folder))
		if err != nil {
			return err
		}
		return f.Close()
	}
	sys, err := w.Site.System(system)
	if err != nil {
		return err
	}
	fail := func(code failure.Code, err error, hint string) error {
		return &failure.Error{Code: code, System: "proxmox " + sys.Name, Doing: "read " + folder + " on " + node, Said: err.Error(), Hint: hint, Cause: err, Temporary: code.Name == proxmox.CodeDown.Name}
	}
	addr, ok := sys.SSH[node]
	if !ok {
		return fail(proxmox.CodeSSH, errNoWay, noWayHint(sys.Name, node))
	}
	session, err := ssh.Open(ctx, ssh.Config{Address: addr, HostKey: sys.HostKeys[node], Dial: w.Env.Dial,
		Key: func(ctx context.Context) ([]byte, error) { return w.Secret(ctx, sys.SSHKey) }})
	if err != nil {
		code, hint := sshCode(err)
		if own := new(failure.Error); errors.As(err, &own) {
			return own
		}
		return fail(code, err, hint)
	}
	defer session.Close()
	if _, err := session.Lstat(folder); err != nil {
		err = session.Why(err)
		code, hint := fileCode(err)
		return fail(code, err, hint)
	}
	return nil
}

var errNoWay = errors.New("runner is not on that node, and the site names no ssh access to it")

func noWayHint(system, node string) string {
	return fmt.Sprintf("add ssh = {%q: \"root@host:22\"}, host_keys and ssh_key to proxmox(name = %q), or run runner on the node", node, system)
}

// toldFile words what breaks while a file is read: opening it well is no promise.
type toldFile struct {
	io.ReadCloser
	tell func(error) error
}

func (f *toldFile) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = f.tell(err)
	}
	return n, err
}

// localFile keeps its descriptor: readers ask the kernel to read ahead.
type localFile struct {
	toldFile
	f *os.File
}

func (f *localFile) Fd() uintptr  { return f.f.Fd() }
func (f *localFile) Name() string { return f.f.Name() }

func fileCode(err error) (code failure.Code, hint string) {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return target.CodeArchiveMissing, "somebody removed it, or another tool's retention did: runner retry makes it anew"
	case errors.Is(err, os.ErrPermission):
		return target.CodeArchiveRead, "the account that runner uses there may not read it: ls -l it on the node; vzdump writes archives for root"
	case errors.As(err, new(*ssh.NoiseError)):
		return proxmox.CodeSSH, HintOf(err)
	case ssh.Broken(err):
		return proxmox.CodeDown, cmp.Or(HintOf(err), "is the host up, and does its sshd listen there?")
	}
	return target.CodeArchiveRead, "look at that disk on the node: dmesg, smartctl -a"
}

func sshCode(err error) (code failure.Code, hint string) {
	switch {
	case errors.As(err, new(*ssh.HostKeyError)):
		return ssh.CodeHostKey, "if the host was installed anew, compare the key on its console and put it into site.star; if not, somebody is in between"
	case errors.As(err, new(*ssh.AuthError)):
		return proxmox.CodeSSH, "put the public key into that account's authorized_keys, or set the right private key: runner secret set NAME"
	case noSFTP(err):
		return proxmox.CodeSSH, HintOf(err)
	}
	return proxmox.CodeDown, cmp.Or(HintOf(err), "is the host up, and does its sshd listen there?")
}
