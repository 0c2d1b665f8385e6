package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/runtime/failure"
)

// Release lets go of the disk behind a folder: it is flushed, unmounted, closed where it
// is encrypted, and switched off. What could not be switched off is a note: it may be
// unplugged all the same.
func Release(ctx context.Context, h host.Host, mount string) (disk Disk, note string, err error) {
	list, err := List(ctx, h)
	if err != nil {
		return Disk{}, "", err
	}
	chain := Chain(list, mount)
	if chain == nil {
		return Disk{}, "", &failure.Error{Code: CodeUnfit, Doing: "unmount " + mount, Said: "no disk is mounted there",
			Hint: "is it a folder of another disk? lsblk -o NAME,SERIAL,MOUNTPOINTS"}
	}
	disk = chain[0]
	for _, at := range disk.Mounted() {
		if at != mount {
			return disk, "", &failure.Error{Code: CodeBusy, Doing: "unmount " + mount, Said: disk.Path + " is mounted at " + at + ", too",
				Hint: "umount " + at}
		}
	}
	if _, err := command(ctx, h, "flush "+mount, nil, "sync", "-f", mount); err != nil {
		return disk, "", err
	}
	if _, err := command(ctx, h, "unmount "+mount, nil, "umount", mount); err != nil {
		return disk, "", busy(err, "who uses it: fuser -vm "+mount)
	}
	for i := len(chain) - 1; i > 0; i-- {
		if chain[i].Type != "crypt" {
			continue
		}
		if _, err := command(ctx, h, "close "+chain[i].Path, nil, "cryptsetup", "close", chain[i].Name); err != nil {
			return disk, "", busy(err, "cryptsetup close "+chain[i].Name)
		}
	}
	note, err = powerOff(ctx, h, disk)
	return disk, note, err
}

// powerOff tells the kernel to flush the disk's own cache, stop it and forget it.
func powerOff(ctx context.Context, h host.Host, d Disk) (note string, err error) {
	file := "/sys/block/" + d.Name + "/device/delete"
	if _, err := h.Stat(ctx, file); errors.Is(err, fs.ErrNotExist) {
		return d.Path + " has no switch: wait until its light is out", nil
	}
	r, err := h.Run(ctx, host.Command{Args: []string{"tee", file}, Stdin: strings.NewReader("1")})
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return fmt.Sprintf("%s was not switched off: %v", d.Path, err), nil
	case r.Exit != 0:
		return fmt.Sprintf("%s was not switched off: %s", d.Path, host.Tail(r.Stderr)), nil
	}
	return "", nil
}

// busy words an error of a program that could not let go.
func busy(err error, hint string) error {
	var e *failure.Error
	var exit *host.ExitError
	if errors.As(err, &e) && errors.As(err, &exit) && (strings.Contains(exit.Said, "busy") || strings.Contains(exit.Said, "in use")) {
		return &failure.Error{Code: CodeBusy, Doing: e.Doing, Said: exit.Said, Hint: hint, Cause: err}
	}
	return err
}
