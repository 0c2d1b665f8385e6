package systems

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/neosofia/runner/builtins/internal/client/disk"
	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// Program plays a program of this machine to its end; an exit of 127 says that there is
// none of that name.
type Program func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (exit int)

// Machine is this machine: its programs and its files.
func (w *Systems) Machine() host.Host {
	if w.Env.Program == nil {
		return host.LocalAt(w.Env.Host, w.Env.Root)
	}
	return host.Played(host.LocalAt(w.Env.Host, w.Env.Root), func(ctx context.Context, args []string, stdin io.Reader, stdout,
		stderr io.Writer) (int, error) {
		exit := w.Env.Program(ctx, args, stdin, stdout, stderr)
		if exit == 127 {
			return 0, host.ErrNoProgram
		}
		return exit, nil
	})
}

// Sound looks at the disk of an offline medium that is attached, once in a run: one that
// fails by its own word, that cannot be written, or of which there is a clone, is
// refused. What cannot be found out is in the notes.
func (w *Systems) Sound(ctx context.Context, name string) (notes []string, err error) {
	type found struct {
		notes []string
		err   error
	}
	v, err := w.Once("sound "+name, func() (any, error) {
		notes, err := w.sound(ctx, name)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return found{notes, err}, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(found).notes, v.(found).err
}

func (w *Systems) sound(ctx context.Context, name string) ([]string, error) {
	spec, err := w.Site.Target(name)
	if err != nil || !spec.Offline || !spec.Place.Local {
		return nil, err
	}
	list, err := disk.List(ctx, w.Machine())
	if err != nil {
		return []string{"its disk was not looked at: " + failure.OneLine(err)}, nil
	}
	return SoundIn(ctx, w.Machine(), list, name, spec.UUID, spec.Serial)
}

// SoundIn judges the disk that a target names among those of a machine.
func SoundIn(ctx context.Context, h host.Host, list []disk.Disk, name, uuid, serial string) (notes []string, err error) {
	on := disk.Carrying(list, uuid)
	refuse := func(code failure.Code, said, hint string) error {
		return &failure.Error{Code: code, System: "target " + name, Doing: "look at its disk", Said: said, Hint: hint}
	}
	switch len(on) {
	case 0:
		return []string{"lsblk does not show a disk with its file system: it was not looked at"}, nil
	case 1:
	default:
		return nil, refuse(disk.CodeCloned, fmt.Sprintf("%s (serial %s) and %s (serial %s) carry the same file system, uuid %s",
			on[0].Path, on[0].Serial, on[1].Path, on[1].Serial, uuid),
			fmt.Sprintf("unplug the one whose serial is not %s; make the clone a medium of its own: runner media prepare DEV", serial))
	}
	if on[0].RO {
		return nil, refuse(target.CodeReadOnly, fmt.Sprintf("%s (serial %s) can only be read: its write protection is on, or it protects itself "+
			"because it fails", on[0].Path, on[0].Serial), "look for a switch on it; dmesg, smartctl -a "+on[0].Path)
	}
	note, err := disk.Healthy(ctx, h, on[0].Path)
	if note != "" {
		notes = append(notes, note)
	}
	if own := (*failure.Error)(nil); errors.As(err, &own) {
		return notes, refuse(own.Code, own.Said, own.Hint)
	}
	return notes, err
}
