package systems

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/runtime"
)

// ArchiveCodes are those that reading an artifact from where it was made can raise.
func ArchiveCodes() []runtime.Code {
	return []runtime.Code{
		{Name: "E_ARCHIVE_MISSING", Doc: "an archive is not there any more"},
		{Name: "E_ARCHIVE_READ", Doc: "an archive is there and cannot be read: rights, or the disk"},
		{Name: "E_PVE_DOWN", Doc: "the node that holds an archive cannot be reached, or the connection broke off"},
		{Name: "E_PVE_SSH", Doc: "the node that holds an archive refuses our key, or the site names no way to it"},
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
	fail := func(code string, err error, hint string) error {
		return &runtime.Error{Code: code, System: "proxmox " + sys.Name, Doing: "read " + path + " on " + node, Said: err.Error(), Hint: hint, Cause: err, Temporary: code == "E_PVE_DOWN"}
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
		return nil, fail("E_PVE_SSH", errNoWay, noWayHint(sys.Name, node))
	}
	session, err := ssh.Open(ctx, ssh.Config{Address: addr, HostKey: sys.HostKeys[node], Dial: w.Env.Dial,
		Key: func(ctx context.Context) ([]byte, error) { return w.Secret(ctx, sys.SSHKey) }})
	if err != nil {
		code, hint := sshCode(err)
		if own := new(runtime.Error); errors.As(err, &own) {
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
	fail := func(code string, err error, hint string) error {
		return &runtime.Error{Code: code, System: "proxmox " + sys.Name, Doing: "read " + folder + " on " + node, Said: err.Error(), Hint: hint, Cause: err, Temporary: code == "E_PVE_DOWN"}
	}
	addr, ok := sys.SSH[node]
	if !ok {
		return fail("E_PVE_SSH", errNoWay, noWayHint(sys.Name, node))
	}
	session, err := ssh.Open(ctx, ssh.Config{Address: addr, HostKey: sys.HostKeys[node], Dial: w.Env.Dial,
		Key: func(ctx context.Context) ([]byte, error) { return w.Secret(ctx, sys.SSHKey) }})
	if err != nil {
		code, hint := sshCode(err)
		if own := new(runtime.Error); errors.As(err, &own) {
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

func fileCode(err error) (code, hint string) {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "E_ARCHIVE_MISSING", "somebody removed it, or another tool's retention did: runner retry makes it anew"
	case errors.Is(err, os.ErrPermission):
		return "E_ARCHIVE_READ", "the account that runner uses there may not read it: ls -l it on the node; vzdump writes archives for root"
	case errors.As(err, new(*ssh.NoiseError)):
		return "E_PVE_SSH", HintOf(err)
	case broken(err):
		return "E_PVE_DOWN", cmp.Or(HintOf(err), "is the host up, and does its sshd listen there?")
	}
	return "E_ARCHIVE_READ", "look at that disk on the node: dmesg, smartctl -a"
}

func sshCode(err error) (code, hint string) {
	switch {
	case errors.As(err, new(*ssh.HostKeyError)):
		return "E_HOST_KEY", "if the host was installed anew, compare the key on its console and put it into site.star; if not, somebody is in between"
	case errors.As(err, new(*ssh.AuthError)):
		return "E_PVE_SSH", "put the public key into that account's authorized_keys, or set the right private key: runner secret set NAME"
	case noSFTP(err):
		return "E_PVE_SSH", HintOf(err)
	}
	return "E_PVE_DOWN", cmp.Or(HintOf(err), "is the host up, and does its sshd listen there?")
}
