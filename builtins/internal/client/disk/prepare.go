package disk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/runtime/failure"
)

// Fit finds the disk that may be made a medium: a whole one with a serial, that nothing
// uses and that can be written.
func Fit(list []Disk, path string) (Disk, error) {
	doing := "look at " + path
	refuse := func(code failure.Code, hint, format string, args ...any) (Disk, error) {
		return Disk{}, &failure.Error{Code: code, Doing: doing, Said: fmt.Sprintf(format, args...), Hint: hint}
	}
	for _, d := range list {
		switch {
		case d.Path != path && within(d.Children, path):
			return refuse(CodeUnfit, "name the disk itself: "+d.Path, "it is a part of %s, and a medium is a whole disk", d.Path)
		case d.Path != path:
			continue
		case d.Type != "disk" && d.Type != "loop":
			return refuse(CodeUnfit, "", "it is a %s, and no disk", d.Type)
		case d.Serial == "":
			return refuse(CodeUnfit, "a medium is known by its serial: take another disk, or another USB bridge", "it tells no serial")
		case d.RO:
			return refuse(CodeUnfit, "look for a switch on it; dmesg", "it can only be read")
		}
		if at := d.Mounted(); len(at) > 0 {
			return refuse(CodeBusy, "if it is the right disk: umount "+at[0], "it is mounted at %s", strings.Join(at, ", "))
		}
		if used := opened(d.Children); used != "" {
			return refuse(CodeBusy, "if it is the right disk, close that first", "%s uses it", used)
		}
		return d, nil
	}
	return refuse(CodeUnfit, "those that are here: "+Serials(list), "there is no such disk")
}

func within(list []Disk, path string) bool {
	for _, d := range list {
		if d.Path == path || within(d.Children, path) {
			return true
		}
	}
	return false
}

// opened is what holds a disk: a container that is open, a volume, an array.
func opened(list []Disk) string {
	for _, d := range list {
		if d.Type != "part" {
			return d.Type + " " + d.Name
		}
		if used := opened(d.Children); used != "" {
			return used
		}
	}
	return ""
}

// Prepare erases a disk and makes a LUKS2 container with an ext4 file system on it, whose
// UUID it returns. The container is closed again. The disk is the one of that serial, or
// nothing is done.
func Prepare(ctx context.Context, h host.Host, d Disk, key []byte, label string) (uuid string, err error) {
	list, err := List(ctx, h)
	if err != nil {
		return "", err
	}
	now, err := Fit(list, d.Path)
	if err != nil {
		return "", err
	}
	if now.Serial != d.Serial {
		return "", &failure.Error{Code: CodeUnfit, Doing: "prepare " + d.Path, Said: fmt.Sprintf("its serial is %s now, and was %s", now.Serial,
			d.Serial), Hint: "disks were exchanged meanwhile: begin again"}
	}
	if _, err := command(ctx, h, "erase "+d.Path, nil, "wipefs", "--all", d.Path); err != nil {
		return "", err
	}
	if _, err := command(ctx, h, "make a container on "+d.Path, key, "cryptsetup", "luksFormat", "--batch-mode", "--type=luks2",
		"--key-file=-", "--label="+label, d.Path); err != nil {
		return "", err
	}
	name := "runner-prepare-" + d.Name
	if err := openContainer(ctx, h, d.Path, key, name); err != nil {
		return "", err
	}
	uuid, err = makeFileSystem(ctx, h, "/dev/mapper/"+name, label)
	_, cerr := command(context.WithoutCancel(ctx), h, "close "+name, nil, "cryptsetup", "close", name)
	return uuid, errors.Join(err, cerr)
}

// maxLabel is what ext4 takes.
const maxLabel = 16

func makeFileSystem(ctx context.Context, h host.Host, path, label string) (uuid string, err error) {
	if _, err := command(ctx, h, "make a file system on "+path, nil, "mkfs.ext4", "-q", "-m", "0", "-L", label[:min(len(label), maxLabel)],
		path); err != nil {
		return "", err
	}
	out, err := command(ctx, h, "read the UUID of "+path, nil, "blkid", "--probe", "--match-tag", "UUID", "--output", "value", path)
	if uuid = strings.TrimSpace(string(out)); err == nil && uuid == "" {
		err = &failure.Error{Code: CodeProgram, Doing: "read the UUID of " + path, Said: "blkid finds none"}
	}
	return uuid, err
}
