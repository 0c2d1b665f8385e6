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

// LUKS is how lsblk calls a container.
const LUKS = "crypto_LUKS"

// OfSerial finds the one disk with a serial.
func OfSerial(list []Disk, serial string) (Disk, error) {
	var found []Disk
	for _, d := range list {
		if d.Serial == serial && serial != "" {
			found = append(found, d)
		}
	}
	doing := "find the disk with serial " + serial
	switch len(found) {
	case 0:
		return Disk{}, &failure.Error{Code: CodeUnfit, Doing: doing, Said: "no disk here has it", Hint: "plug it in; those that are here: " +
			Serials(list)}
	case 1:
		return found[0], nil
	}
	return Disk{}, &failure.Error{Code: CodeCloned, Doing: doing, Said: fmt.Sprintf("%s and %s both say that they have it", found[0].Path,
		found[1].Path), Hint: "unplug one of them"}
}

// Serials names the disks of a machine.
func Serials(list []Disk) string {
	var out []string
	for _, d := range list {
		if d.Type == "disk" && d.Serial != "" {
			out = append(out, d.Path+" "+d.Serial)
		}
	}
	if len(out) == 0 {
		return "none with a serial"
	}
	return strings.Join(out, ", ")
}

// Unlock opens a container and mounts what is in it. What it opened it closes again when
// the mount fails.
func Unlock(ctx context.Context, h host.Host, d Disk, key []byte, name, mount string) error {
	if len(d.Children) == 0 {
		if err := openContainer(ctx, h, d.Path, key, name); err != nil {
			return err
		}
	} else {
		name = d.Children[0].Name
	}
	if err := Mount(ctx, h, "/dev/mapper/"+name, mount); err != nil {
		_, cerr := command(ctx, h, "close "+name, nil, "cryptsetup", "close", name)
		return errors.Join(err, cerr)
	}
	return nil
}

// openContainer tells a wrong passphrase from a header that is damaged: with the one
// nothing is lost.
func openContainer(ctx context.Context, h host.Host, path string, key []byte, name string) error {
	doing := "open the container on " + path
	_, err := command(ctx, h, doing, key, "cryptsetup", "open", "--type=luks", "--key-file=-", path, name)
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	switch exit.Exit {
	case 2:
		return &failure.Error{Code: CodeLocked, Doing: doing, Said: "the passphrase in the keyring does not open it",
			Hint: "is it the right disk? the right one: runner secret set NAME, as the sealed secrets have it: runner recover --item keyring"}
	case 1, 4:
		return &failure.Error{Code: CodeLocked, Doing: doing, Said: exit.Said + " (its header is damaged, or it never had one)",
			Hint: "what is on it is lost unless a backup of the header is there; prepare it anew: runner media prepare " + path}
	}
	return err
}

// Mount mounts a device, so that nothing on it is run or believed as another user.
func Mount(ctx context.Context, h host.Host, device, at string) error {
	if err := h.MkdirAll(ctx, at, 0o700); err != nil {
		return &failure.Error{Code: CodeProgram, Doing: "mount " + device, Said: err.Error(), Cause: err}
	}
	_, err := command(ctx, h, "mount "+device+" at "+at, nil, "mount", "-o", "rw,noatime,nosuid,nodev,noexec", device, at)
	return err
}

// Forget lets go of what a disk that was pulled has left behind: a container of that name
// whose disk is gone, and the mount on it. While the disk that is here holds the
// container, nothing is done.
func Forget(ctx context.Context, h host.Host, d Disk, name, mount string) error {
	for _, c := range d.Children {
		if c.Name == name {
			return nil
		}
	}
	if _, err := h.Stat(ctx, "/dev/mapper/"+name); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return &failure.Error{Code: CodeProgram, Doing: "look at /dev/mapper/" + name, Said: err.Error(), Cause: err}
	}
	r, err := h.Run(ctx, host.Command{Args: []string{"mountpoint", "--quiet", mount}})
	if err == nil && r.Exit == 0 {
		if _, err := command(ctx, h, "let go of "+mount+", whose disk was pulled", nil, "umount", "--lazy", mount); err != nil {
			return err
		}
	}
	_, err = command(ctx, h, "close "+name+", whose disk was pulled", nil, "cryptsetup", "close", name)
	return busy(err, "who uses it: fuser -vm "+mount+"; or start the machine anew")
}
