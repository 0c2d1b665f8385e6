package target

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// openFolder opens a file:// target.
func openFolder(ctx context.Context, t *Target) error {
	f := &folder{spec: t.spec, env: t.env, path: filepath.Join("/", t.place.URL.Path)}
	if t.env.Root != "" {
		f.path = filepath.Join(t.env.Root, f.path)
	}
	if f.env.Device == nil {
		f.env.Device = SystemDevice
	}
	device, err := f.look(ctx)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(f.path)
	if err != nil {
		return localError(t.spec.Name, "open "+f.path, err)
	}
	f.device, f.root = device, root
	store := &fileStore{target: t.spec.Name, root: root, guard: f.guard}
	t.device, t.store = device, store
	t.caps = Capabilities{Rename: true, Append: true, Stages: true, Space: store.Space, Guard: f.guard, Program: store.Program,
		Close: root.Close}
	return nil
}

// folder is the place of a file:// target and the identity of what is behind it.
type folder struct {
	spec   Spec
	env    Env
	path   string
	device ledger.Device
	root   *os.Root
}

func (f *folder) doing() string { return "open " + f.path }

func (f *folder) absent(said, hint string) *failure.Error {
	return &failure.Error{Code: CodeMediaAbsent, System: system(f.spec.Name), Doing: f.doing(), Said: said, Hint: hint}
}

// demands reports that the site names the medium: then the folder alone is not a proof.
func (f *folder) demands() bool { return f.spec.UUID != "" || f.spec.Serial != "" }

// look finds the medium behind the folder and holds it against the demands.
func (f *folder) look(ctx context.Context) (ledger.Device, error) {
	if err := ctx.Err(); err != nil {
		return ledger.Device{}, err
	}
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) && (f.demands() || f.spec.Offline) {
		return ledger.Device{}, f.absent("the folder is not there", "attach the medium and mount it")
	}
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a folder")
	}
	if err != nil {
		return ledger.Device{}, localError(f.spec.Name, f.doing(), err)
	}
	device, err := f.env.Device(f.path)
	if err != nil {
		return ledger.Device{}, localError(f.spec.Name, "look up the device of "+f.path, err)
	}
	return device, f.hold(device)
}

func (f *folder) hold(d ledger.Device) error {
	uuid := f.spec.UUID == "" || strings.EqualFold(f.spec.UUID, d.UUID)
	serial := f.spec.Serial == "" || f.spec.Serial == d.Serial
	if uuid && serial {
		return nil
	}
	if f.unmounted(d) {
		return f.absent("no medium is mounted there: the folder is on the system's own disk", "attach the medium and mount it")
	}
	return &failure.Error{Code: CodeWrongMedium, System: system(f.spec.Name), Doing: f.doing(),
		Said: fmt.Sprintf("uuid %q, serial %q are there; the site demands uuid %q, serial %q", d.UUID, d.Serial, f.spec.UUID, f.spec.Serial),
		Hint: "attach the right medium, or correct the target in site.star"}
}

// unmounted reports that the folder is on the file system that holds the root:
// an empty mount point.
func (f *folder) unmounted(d ledger.Device) bool {
	if d.Mount == "/" {
		return true
	}
	root, err := f.env.Device(filepath.Join("/", f.env.Root))
	return err == nil && root.ID == d.ID && root.Mount == d.Mount
}

// guard is called before every write: the medium can have been exchanged, or
// unmounted, while the folder stays.
func (f *folder) guard(ctx context.Context) error {
	device, err := f.look(ctx)
	if err != nil {
		return err
	}
	if device.ID != f.device.ID {
		return &failure.Error{Code: CodeWrongMedium, System: system(f.spec.Name), Doing: f.doing(),
			Said: fmt.Sprintf("the medium was exchanged: it was %s and is %s now", f.device.ID, device.ID),
			Hint: "attach the medium that the run began with"}
	}
	here, err := f.root.Stat(".")
	if err != nil {
		return localError(f.spec.Name, f.doing(), err)
	}
	if now, err := os.Stat(f.path); err != nil || !os.SameFile(here, now) {
		return f.absent("the folder is not the one that was opened", "leave the medium mounted while a run writes to it")
	}
	return nil
}
