// Package media is what an operator does with the media that travel: eject, open, hand
// over, take back, prepare. Each act is an entry of the ledger: who, when, where.
//
// A medium is known by the target of the site that it is: the UUID of its file system
// and the serial of its disk. Its passphrase lies in the keyring, and goes from there to
// cryptsetup's standard input alone.
package media

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/disk"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Of returns the target of the site that is a medium of this name.
func Of(s *site.Site, name string) (*site.Target, error) {
	t, err := s.Target(name)
	if err != nil {
		return nil, err
	}
	if !t.Offline || !t.Place.Local {
		var media []string
		for _, t := range s.Targets {
			if t.Offline && t.Place.Local {
				media = append(media, t.Name)
			}
		}
		return nil, fmt.Errorf("%s is no medium that travels\nhint: the site has %s", name, orNone(media))
	}
	return t, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none: target(…, offline = True, uuid = …, serial = …)"
	}
	return strings.Join(names, ", ")
}

// folder is where a medium is mounted.
func folder(t *site.Target) string { return path.Clean("/" + t.Place.URL.Path) }

// Attached reports whether a medium is there; another one in its place is an error.
func Attached(ctx context.Context, w *systems.Systems, name string) (ledger.Device, bool, error) {
	t, err := w.Target(ctx, name)
	if failure.Is(err, target.CodeMediaAbsent) {
		return ledger.Device{}, false, nil
	}
	if err != nil {
		return ledger.Device{}, false, err
	}
	return t.Device(), true, t.Close()
}

// Ejected says what was let go.
type Ejected struct {
	Device ledger.Device
	Disk   string // its path
	Note   string // why it was not switched off
}

// Eject flushes a medium, unmounts it, closes its container and switches it off.
func Eject(ctx context.Context, w *systems.Systems, name string) (Ejected, error) {
	spec, err := Of(w.Site, name)
	if err != nil {
		return Ejected{}, err
	}
	device, there, err := Attached(ctx, w, name)
	if err != nil {
		return Ejected{}, err
	}
	if !there {
		return Ejected{}, &failure.Error{Code: target.CodeMediaAbsent, System: "target " + name, Doing: "eject it",
			Said: "it is not attached", Hint: "nothing is to be done: it may be unplugged"}
	}
	mount := device.Mount
	if mount == "" || mount == "/" {
		mount = folder(spec)
	}
	d, note, err := disk.Release(ctx, w.Machine(), mount)
	return Ejected{device, d.Path, note}, err
}

// Open opens the container of a medium that is plugged in and mounts it where the site
// has it; that it is so already is no error. One that fails, is a clone, or has another
// serial is refused before it is opened.
func Open(ctx context.Context, w *systems.Systems, name string) (notes []string, err error) {
	spec, err := Of(w.Site, name)
	if err != nil {
		return nil, err
	}
	_, there, err := Attached(ctx, w, name)
	if err != nil {
		return nil, err
	}
	list, err := disk.List(ctx, w.Machine())
	if err != nil {
		return nil, err
	}
	if there {
		return systems.SoundIn(ctx, w.Machine(), list, name, spec.UUID, spec.Serial)
	}
	d, err := disk.OfSerial(list, spec.Serial)
	if err != nil {
		return nil, named(name, err)
	}
	if notes, err = systems.SoundIn(ctx, w.Machine(), list, name, d.UUID, spec.Serial); err != nil {
		return notes, err
	}
	switch {
	case spec.Passphrase.Name == "" && d.FSType != disk.LUKS:
		return notes, named(name, disk.Mount(ctx, w.Machine(), d.Path, folder(spec)))
	case spec.Passphrase.Name == "":
		return notes, &failure.Error{Code: disk.CodeLocked, System: "target " + name, Doing: "open " + d.Path,
			Said: "its container is locked, and the site names no passphrase",
			Hint: fmt.Sprintf("in site.star: target(name = %q, passphrase = secret(%q), …)", name, SecretOf(name))}
	}
	if err := disk.Forget(ctx, w.Machine(), d, "runner-"+name, folder(spec)); err != nil {
		return notes, named(name, err)
	}
	key, err := w.Secret(ctx, spec.Passphrase)
	if err != nil {
		return notes, err
	}
	defer clear(key)
	return notes, named(name, disk.Unlock(ctx, w.Machine(), d, key, "runner-"+name, folder(spec)))
}

// SecretOf is the name in the keyring of the passphrase of a medium.
func SecretOf(name string) string { return "media/" + strings.ToLower(name) }

// named says of which target an error is.
func named(name string, err error) error {
	if own, ok := err.(*failure.Error); ok && own.System == "" {
		of := *own
		of.System = "target " + name
		return &of
	}
	return err
}

// Record is the entry of an act, with what was seen of the medium by it.
func Record(ctx context.Context, l *ledger.Ledger, act ledger.Custody, state string) error {
	f := ledger.Facts{Custody: []ledger.Custody{act}}
	if state != "" {
		seen, err := ledger.Catalog{Store: l}.Observe(ctx, act.Target, state, act.Device, act.At)
		if err != nil {
			return err
		}
		f.Media = append(f.Media, seen)
	}
	e, err := ledger.NewEntry(ledger.Imported, act.At, "", "", ledger.Import{Target: act.Target, Facts: f})
	if err == nil {
		_, err = l.Record(ctx, e)
	}
	if err != nil {
		return fmt.Errorf("record that %s was %s: %w", act.Target, act.Act, err)
	}
	return nil
}

// Unread counts the copies on a medium that were not read back: they do not count there.
func Unread(ctx context.Context, c ledger.Catalog, name string) (n int, newest time.Time, err error) {
	copies, err := c.ProvenCopies(ctx, ledger.Query{Target: name})
	for _, p := range copies {
		if p.Level < ledger.Read {
			n++
		} else if p.Taken.After(newest) {
			newest = p.Taken
		}
	}
	return n, newest, err
}
