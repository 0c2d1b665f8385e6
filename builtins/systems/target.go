package systems

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/client/disk"
	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/builtins/internal/decoded"
	"github.com/neosofia/runner/builtins/internal/engine"
	"github.com/neosofia/runner/builtins/internal/format/sheet"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// TargetCodes are those that every primitive that uses targets can raise.
func TargetCodes() []failure.Code {
	return []failure.Code{
		target.CodeMediaAbsent,
		target.CodeMediaOverdue,
		target.CodeWrongMedium,
		target.CodeSameDevice,
		target.CodeFull,
		target.CodeReadOnly,
		target.CodeDown,
		target.CodeDenied,
		target.CodeFailed,
		target.CodeNoSFTP,
		ssh.CodeHostKey,
		target.CodeDamaged,
		target.CodeNoIdentity,
		target.CodeNotFound,
		target.CodeBadManifest,
		target.CodeBadTarget,
		target.CodeWindow,
		target.CodeBusy,
		engine.CodeEngine,
		keyring.CodeSecret,
		disk.CodeFailing,
		disk.CodeCloned,
	}
}

// OpenTarget opens a target of the site: its identity is checked. Given are
// the artifacts that a pve:// target counts in place.
func (w *Systems) OpenTarget(ctx context.Context, s *runtime.Step, name string, placed ...ledger.Artifact) (*target.Target, error) {
	spec, err := w.Site.Target(name)
	if err != nil {
		return nil, err
	}
	env := w.targetEnv(s, placed)
	env.Binary = w.program(name)
	switch {
	case spec.MirrorOf != "":
		env.Decoder, env.Scratch = Decoder(""), w.scratch()
		env.Mirrored = func(ctx context.Context) (*target.Target, error) { return w.OpenTarget(ctx, s, spec.MirrorOf) }
	case spec.Layout == target.LayoutChunks:
		env.Decoder = Decoder(filepath.Join("/", w.Env.Root, spec.Place.Folder()))
	}
	t, err := target.Open(ctx, w.spec(spec), env)
	return t, err
}

// outOfOrder is how much of an archive may be out of order, in bytes of disks: what a guest wrote while it
// was backed up. It lies in the target's folder meanwhile.
const outOfOrder = 16 << 30

// scratch is where pieces of a mirrored repository lie while a copy comes back from it: in the state folder.
func (w *Systems) scratch() string {
	if w.Env.Spool == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(w.Env.Spool), "mirror")
}

// Decoder keeps archives as what is in them, and makes them again. Folder is where it may
// put what is out of order; "" is the system's own.
func Decoder(folder string) target.Decoder { return decoded.Decoder{Dir: folder, Limit: outOfOrder} }

func (w *Systems) spec(t *site.Target) target.Spec {
	spec := target.Spec{Name: t.Name, URL: t.URL, Medium: t.Medium, Location: t.Location, Offline: t.Offline, Offsite: t.Offsite,
		Immutable: t.Probed != "",
		SealedTo:  t.SealedTo, UUID: t.UUID, Serial: t.Serial, PartSize: t.PartSize, Bandwidth: t.Bandwidth, Window: t.Window, HostKey: t.HostKey}
	if t.Key.Name != "" {
		spec.Key = func(ctx context.Context) ([]byte, error) { return w.Secret(ctx, t.Key) }
	}
	spec.Layout, spec.MirrorOf = t.Layout, t.MirrorOf
	if from, err := w.Site.Target(t.MirrorOf); t.MirrorOf != "" && err == nil {
		spec.Password = func(ctx context.Context) ([]byte, error) { return w.Secret(ctx, from.Password) }
	}
	if t.Password.Name != "" {
		spec.Password = func(ctx context.Context) ([]byte, error) { return w.Secret(ctx, t.Password) }
	}
	if t.Login.Name != "" {
		spec.Login = func(ctx context.Context) ([]byte, error) { return w.Secret(ctx, t.Login) }
		spec.Keep = func(login []byte) error { return w.Env.Keyring.Set(t.Login.Name, login) }
	}
	return spec
}

func (w *Systems) targetEnv(s *runtime.Step, placed []ledger.Artifact) target.Env {
	find := func(volume string) ledger.Artifact {
		for _, a := range placed {
			if a.Origin.Volume == volume {
				return a
			}
		}
		return ledger.Artifact{Origin: ledger.Origin{Volume: volume}}
	}
	return target.Env{
		Root: w.Env.Root, Dial: w.Env.Dial, Roots: w.Env.Roots, Now: s.Now, Repositories: &w.chunks,
		Device: func(path string) (ledger.Device, error) {
			return w.Env.Device(strings.TrimPrefix(path, w.Env.Root))
		},
		InPlace: func(ctx context.Context, volume string, offset int64) (io.ReadCloser, error) {
			return w.OpenArchive(ctx, find(volume).Origin, offset)
		},
		Remove: func(ctx context.Context, volume string) (bool, error) {
			a := find(volume)
			return w.RemoveArchive(ctx, s, a.Origin, a.Token())
		},
		Progress: func(target, file string, done, total int64) { s.Progress(target+" "+file, done, total) },
	}
}

// RemoveArchive removes an archive of a Proxmox storage that runner itself made:
// its notes carry the step's token, and nobody protected it. Was says that it was there.
func (w *Systems) RemoveArchive(ctx context.Context, s *runtime.Step, origin ledger.Origin, token string) (was bool, err error) {
	c, sys, err := w.Proxmox(ctx, origin.System)
	if err != nil {
		return false, proxmox.Explain(origin.System, "connect", err)
	}
	v, err := c.Archive(ctx, origin.Node, origin.Volume)
	if proxmox.Gone(err) {
		return false, nil
	}
	if err != nil {
		return false, proxmox.Explain(sys.Name, "look at "+origin.Volume, err)
	}
	refuse := func(why string) (bool, error) {
		return true, &failure.Error{Code: failure.Refused, System: "proxmox " + sys.Name, Doing: "remove " + origin.Volume, Said: why}
	}
	if !proxmox.Carries(v.Notes, token) {
		return refuse("its notes do not carry the token of the step that made it: another tool's archive is never removed")
	}
	if v.Protected != 0 {
		return refuse("somebody protected it")
	}
	upid, err := c.RemoveArchive(ctx, origin.Node, origin.Volume)
	if err != nil || upid == "" {
		return true, proxmox.Explain(sys.Name, "remove "+origin.Volume, err)
	}
	var last string
	st, err := c.Follow(ctx, upid, s.Sleep, func(line string) { last = line })
	if err != nil {
		return true, proxmox.Explain(sys.Name, "remove "+origin.Volume, err)
	}
	if st.Exit != "OK" {
		return true, &failure.Error{Code: proxmox.CodeRefused, System: "proxmox " + sys.Name, Doing: "remove " + origin.Volume,
			Said: st.Exit + "; " + last}
	}
	return true, nil
}

// Identities are those that the site gives this host to open sealed copies with.
func (w *Systems) Identities(ctx context.Context) ([]age.Identity, error) {
	var out []age.Identity
	for _, i := range w.Site.Identities {
		raw, err := w.Secret(ctx, i.Secret)
		if err != nil {
			return nil, err
		}
		keys, err := sheet.Read("secret "+i.Secret.Name, bytes.NewReader(raw))
		clear(raw)
		if err == nil && len(keys.Identities) == 0 {
			err = errors.New("it holds shares of custodians, and no identity")
		}
		if err != nil {
			return nil, &failure.Error{Code: keyring.CodeSecret, Doing: "read the identity in secret " + i.Secret.Name, Said: err.Error()}
		}
		out = append(out, keys.Identities...)
	}
	return out, nil
}

// Placed is the artifact of a copy that is counted in place, if it is.
func Placed(ctx context.Context, s *runtime.Step, c ledger.Copy) ([]ledger.Artifact, error) {
	if !c.InPlace {
		return nil, nil
	}
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	art, found, err := catalog.Artifact(ctx, c.Artifact)
	if err != nil || !found {
		return nil, err
	}
	return []ledger.Artifact{art}, nil
}

// Close lets go of everything that was opened.
func (w *Systems) Close() error { return nil }

// Target opens a target outside a run: to look, and to leave a checkpoint. A repository of
// chunks is only read: a run that writes there meanwhile is not kept from it.
func (w *Systems) Target(ctx context.Context, name string) (*target.Target, error) {
	declared, err := w.Site.Target(name)
	if err != nil {
		return nil, err
	}
	spec := w.spec(declared)
	spec.Read = true
	return target.Open(ctx, spec, target.Env{Root: w.Env.Root, Dial: w.Env.Dial, Roots: w.Env.Roots, Now: runtime.RealClock{}.Now,
		Decoder: Decoder(filepath.Join("/", w.Env.Root, declared.Place.Folder())),
		Device:  func(path string) (ledger.Device, error) { return w.Env.Device(strings.TrimPrefix(path, w.Env.Root)) }})
}

// EachTarget opens every target that holds files of runner's own, and calls fn with it
// or with the error; targets are asked at once. What fn returns is called after it,
// one at a time: it takes what was found.
func (w *Systems) EachTarget(ctx context.Context, only []string,
	fn func(ctx context.Context, name string, t *target.Target, err error) (take func())) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, spec := range w.Site.Targets {
		if spec.Place.InPlace || len(only) > 0 && !slices.Contains(only, spec.Name) {
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			ctx, cancel := runtime.RealClock{}.Within(ctx, time.Minute, errors.New("it did not answer within a minute"))
			defer cancel()
			t, err := w.Target(ctx, spec.Name)
			if err == nil {
				defer t.Close()
			}
			take := fn(ctx, spec.Name, t, err)
			mu.Lock()
			defer mu.Unlock()
			take()
		}()
	}
	wg.Wait()
}
