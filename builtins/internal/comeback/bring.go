package comeback

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/internal/world"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

const markBrought = "brought"

// Bring makes an archive of a copy available on a Proxmox storage, after reading
// the copy back. It returns its volume id, and what removes it again when it was
// brought there.
func Bring(ctx context.Context, s *runtime.Step, c *proxmox.Client, system, storage, node string, art ledger.Artifact, cp ledger.Copy) (string, func(), error) {
	w := world.Of(s)
	t, err := w.OpenTarget(ctx, s, cp.Target, world.Origin(art))
	if err != nil {
		return "", nil, err
	}
	defer t.Close()
	ids, err := w.Identities(ctx)
	if err != nil {
		return "", nil, err
	}
	if len(cp.SealedTo) > 0 && len(ids) == 0 {
		return "", nil, &runtime.Error{Code: "E_NO_IDENTITY", System: "target " + cp.Target, Doing: "open the sealed copy", Said: "this host has no identity for it",
			Hint: "with the recovery identity at hand: runner recover --from … --identity FILE"}
	}
	s.Log("reading the copy on %s back before it is restored", cp.Target)
	if _, err := t.Verify(ctx, cp, ledger.Read, ids, world.Open); err != nil {
		return "", nil, world.TargetError(err)
	}
	if cp.InPlace {
		return art.Origin["volid"], func() {}, nil
	}
	return upload(ctx, s, c, system, storage, node, art, cp, t, ids)
}

// upload puts the clear archive into the storage's dump folder, under a name that
// no archive has: the guest's VMID and this moment.
func upload(ctx context.Context, s *runtime.Step, c *proxmox.Client, system, storage, node string, art ledger.Artifact, cp ledger.Copy, t *target.Target, ids []age.Identity) (string, func(), error) {
	folder, err := c.StorageFolder(ctx, storage)
	if err != nil {
		return "", nil, world.PVEError(system, "find the folder of storage "+storage, err)
	}
	file := art.Files[0].Name
	_, ext, _ := strings.Cut(file, ".")
	kind := map[string]string{"ct": "lxc"}[art.Kind]
	if kind == "" {
		kind = "qemu"
	}
	name := fmt.Sprintf("vzdump-%s-%s-%s.%s", kind, vmidOf(art), s.Now().Format("2006_01_02-15_04_05"), ext)
	full := path.Join(folder, "dump", name)
	if err := s.Mark(ctx, markBrought, node+" "+full); err != nil {
		return "", nil, err
	}
	r, err := t.OpenFile(ctx, cp, file, ids)
	if err != nil {
		return "", nil, world.TargetError(err)
	}
	defer r.Close()
	s.Log("bringing %s to %s on %s", file, full, node)
	if err := Put(ctx, s, system, node, full, r); err != nil {
		Unbring(context.WithoutCancel(ctx), s, system)
		return "", nil, err
	}
	return storage + ":backup/" + name, func() { Unbring(context.WithoutCancel(ctx), s, system) }, nil
}

func vmidOf(a ledger.Artifact) string {
	_, id, ok := strings.Cut(a.Source, "/")
	if !ok {
		return "100"
	}
	return id
}

// Put writes a file on a node: here when runner is on it, else over SFTP.
func Put(ctx context.Context, s *runtime.Step, system, node, full string, r io.Reader) error {
	w := world.Of(s)
	fail := func(err error) error {
		if context.Cause(ctx) != nil {
			return context.Cause(ctx)
		}
		return &runtime.Error{Code: "E_PVE_SSH", System: "proxmox " + system, Doing: "write " + full + " on " + node, Said: err.Error(), Cause: err}
	}
	f, done, err := create(ctx, w, system, node, full)
	if err != nil {
		return fail(err)
	}
	defer done()
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return fail(err)
	}
	if err := f.Close(); err != nil {
		return fail(err)
	}
	return nil
}

func create(ctx context.Context, w *world.World, system, node, full string) (io.WriteCloser, func(), error) {
	if w.OnNode(node) {
		f, err := os.OpenFile(filepath.Join(w.Env.Root, full), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		return f, func() {}, err
	}
	session, err := Session(ctx, w, system, node)
	if err != nil {
		return nil, nil, err
	}
	f, err := session.OpenFile(full, os.O_CREATE|os.O_TRUNC|os.O_WRONLY)
	if err != nil {
		session.Close()
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { session.Close() })
	return f, func() { stop(); session.Close() }, nil
}

// Session opens SFTP to a node as the site states it.
func Session(ctx context.Context, w *world.World, system, node string) (*ssh.Session, error) {
	sys, err := w.Site.System(system)
	if err != nil {
		return nil, err
	}
	addr, ok := sys.SSH[node]
	if !ok {
		return nil, fmt.Errorf("the site names no ssh access to %s", node)
	}
	return ssh.Open(ctx, ssh.Config{Address: addr, HostKey: sys.HostKeys[node], Dial: w.Env.Dial,
		Key: func(ctx context.Context) ([]byte, error) { return w.Secret(ctx, sys.SSHKey) }})
}

// Unbring removes the archive that this step brought to a node, also when an
// earlier process brought it.
func Unbring(ctx context.Context, s *runtime.Step, system string) {
	node, full, ok := strings.Cut(s.Marked(markBrought), " ")
	if !ok {
		return
	}
	ctx, cancel := s.Within(ctx, time.Minute, context.DeadlineExceeded)
	defer cancel()
	w := world.Of(s)
	err := func() error {
		if w.OnNode(node) {
			return os.Remove(filepath.Join(w.Env.Root, full))
		}
		session, err := Session(ctx, w, system, node)
		if err != nil {
			return err
		}
		defer session.Close()
		return session.Remove(full)
	}()
	if err != nil && !os.IsNotExist(err) {
		s.Log("%s on %s could not be removed, do it by hand: %v", full, node, err)
	}
}
