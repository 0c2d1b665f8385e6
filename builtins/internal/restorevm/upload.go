package restorevm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/kinds"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// upload makes an archive of a copy available on a Proxmox storage, after reading
// the copy back. It returns its volume id, and what removes it again when it was
// uploaded; the record holds a clean-up for the case that nobody calls it.
func upload(ctx context.Context, s *runtime.Step, c *proxmox.Client, system, storage, node string, art ledger.Artifact,
	cp ledger.Copy) (string, func() error, error) {
	w := systems.Of(s)
	t, err := w.OpenTarget(ctx, s, cp.Target, art)
	if err != nil {
		return "", nil, err
	}
	defer t.Close()
	ids, err := w.Identities(ctx)
	if err != nil {
		return "", nil, err
	}
	if len(cp.SealedTo) > 0 && len(ids) == 0 {
		return "", nil, &failure.Error{Code: target.CodeNoIdentity, System: "target " + cp.Target, Doing: "open the sealed copy",
			Said: "this host has no identity for it",
			Hint: "with the recovery identity at hand: runner recover --from … --identity FILE"}
	}
	s.Log("reading the copy on %s back before it is restored", cp.Target)
	if _, err := t.Verify(ctx, cp, ledger.Opened, ids, kinds.Checker(art.Kind)); err != nil {
		return "", nil, err
	}
	if cp.InPlace {
		return art.Origin.Volume, func() error { return nil }, nil
	}
	return send(ctx, s, c, system, storage, node, art, cp, t, ids)
}

// send puts the clear archive into the storage's dump folder, under a name that
// no archive has: the guest's VMID and this moment. Notes with the step's token
// are there before it.
func send(ctx context.Context, s *runtime.Step, c *proxmox.Client, system, storage, node string, art ledger.Artifact, cp ledger.Copy,
	t *target.Target, ids []age.Identity) (string, func() error, error) {
	folder, err := c.StorageFolder(ctx, storage)
	if err != nil {
		return "", nil, proxmox.Explain(system, "find the folder of storage "+storage, err)
	}
	file := art.Files[0].Name
	_, ext, _ := strings.Cut(file, ".")
	kind := map[string]string{"ct": "lxc"}[art.Kind]
	if kind == "" {
		kind = "qemu"
	}
	name := fmt.Sprintf("vzdump-%s-%s-%s.%s", kind, vmidOf(art), s.Now().Format("2006_01_02-15_04_05"), ext)
	full := path.Join(folder, "dump", name)
	undo, err := s.Undo(ctx, "remove_upload", map[string]any{"system": system, "node": node, "path": full, "token": s.Token()})
	if err != nil {
		return "", nil, err
	}
	done := func() error {
		ctx, cancel := s.Within(context.WithoutCancel(ctx), time.Minute, context.DeadlineExceeded)
		defer cancel()
		if err := RemoveUpload(ctx, s, system, node, full, s.Token()); err != nil {
			return err
		}
		return undo.Keep(ctx)
	}
	r, err := t.OpenFile(ctx, cp, art.Files[0], ids)
	if err != nil {
		return "", nil, err
	}
	defer r.Close()
	s.Log("uploading %s to %s on %s", file, full, node)
	if err := put(ctx, s, system, node, full, r); err != nil {
		return "", nil, errors.Join(err, done())
	}
	return storage + ":backup/" + name, done, nil
}

func vmidOf(a ledger.Artifact) string {
	_, id, ok := strings.Cut(a.Source, "/")
	if !ok {
		return "100"
	}
	return id
}

// put writes an archive with its notes on a node.
func put(ctx context.Context, s *runtime.Step, system, node, full string, r io.Reader) error {
	fail := func(err error) error {
		if err != nil && context.Cause(ctx) != nil {
			return context.Cause(ctx)
		}
		return writeError(system, "write "+full+" on "+node, err)
	}
	h, err := systems.Of(s).Node(ctx, system, node)
	if err != nil {
		return fail(err)
	}
	defer h.Close()
	// Notes that we left beside somebody else's archive would make it ours to remove.
	if _, err := h.Stat(ctx, full); err == nil {
		return fail(fmt.Errorf("%s is there already: %w", full, fs.ErrExist))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	if err := h.Create(ctx, full+notesExt, 0o600, strings.NewReader(s.Token())); err != nil {
		return fail(err)
	}
	return fail(h.Create(ctx, full, 0o600, r))
}

// writeError words an error of writing into a storage's dump folder.
func writeError(system, doing string, err error) error {
	worded := systems.NodeError(system, doing, err)
	var e *failure.Error
	switch {
	case !errors.As(worded, &e) || errors.As(err, new(*failure.Error)): // of the copy that is read, not of the node
	case ssh.Full(err):
		e.Code, e.Hint = proxmox.CodeStorageFull, "free space on the storage, or name another one that copies are uploaded to"
	case failure.Is(worded, target.CodeArchiveMissing, target.CodeArchiveRead):
		e.Code, e.Hint = proxmox.CodeStorage, "runner's account there cannot write the storage's dump folder: ls -ld and df show it on the node"
	}
	return worded
}

const notesExt = ".notes"

var dumpName = regexp.MustCompile(`^/.+/dump/vzdump-(qemu|lxc)-[0-9]+-[0-9_-]+\.(vma|tar)(\.[a-z0-9]+)?$`)

// RemoveUpload removes an archive that a restore uploaded to a node: its notes carry
// the token. One that is not there is fine.
func RemoveUpload(ctx context.Context, s *runtime.Step, system, node, full, token string) error {
	fail := func(code failure.Code, format string, args ...any) error {
		return &failure.Error{Code: code, System: "proxmox " + system, Doing: "remove " + full + " on " + node,
			Said: fmt.Sprintf(format, args...),
			Hint: "look at it, and remove it by hand if a restore uploaded it"}
	}
	if path.Clean(full) != full || !dumpName.MatchString(full) {
		return fail(proxmox.CodeNotOurs, "that is not an archive in a storage's dump folder")
	}
	broken := func(err error) error { return systems.NodeError(system, "remove "+full+" on "+node, err) }
	h, err := systems.Of(s).Node(ctx, system, node)
	if err != nil {
		return broken(err)
	}
	defer h.Close()
	notes, err := host.ReadFile(ctx, h, full+notesExt, 64<<10)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		switch _, err := h.Stat(ctx, full); {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return broken(err)
		}
		return fail(proxmox.CodeNotOurs, "it has no notes: another tool's archive is never removed")
	case err != nil:
		return broken(err)
	case !proxmox.Carries(string(notes), token):
		return fail(proxmox.CodeNotOurs, "its notes do not carry %s: another tool's archive is never removed", token)
	}
	for _, name := range []string{full, full + notesExt} { // the notes last: they say whose it is
		if err := h.Remove(ctx, name); err != nil {
			return broken(err)
		}
	}
	return nil
}

// removeUploads removes every archive that earlier attempts of this step uploaded to
// nodes: their clean-ups are still on record.
func removeUploads(ctx context.Context, s *runtime.Step) error {
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return err
	}
	undos, err := ledger.All[ledger.Undo](ctx, catalog, ledger.Query{Kind: ledger.RowUndo, Run: s.Run, Ref: s.ID})
	for _, u := range undos {
		var a struct{ System, Node, Path, Token string }
		if u.Primitive != "remove_upload" {
			continue
		}
		if uerr := json.Unmarshal(u.Args, &a); uerr != nil {
			err = errors.Join(err, uerr)
			continue
		}
		err = errors.Join(err, RemoveUpload(ctx, s, a.System, a.Node, a.Path, a.Token))
	}
	return err
}
