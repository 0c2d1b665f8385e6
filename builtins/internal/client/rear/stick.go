package rear

import (
	"context"
	"path"

	"github.com/neosofia/runner/runtime/failure"
)

// Find looks for the stick among a host's disks: by the serial of the disk and the
// UUID of the file system on it. The label says nothing: ReaR labels every stick
// REAR-000.
func (s *Stick) Find(f *Facts) error {
	doing := "find the USB stick " + s.Serial
	var disk, part chain
	each(f.Devices, nil, func(c chain) {
		d := c.last()
		if len(c) == 1 && s.Serial != "" && d.Serial == s.Serial {
			disk = c
		}
		if s.UUID != "" && d.UUID == s.UUID {
			part = c
		}
	})
	switch {
	case disk == nil && part != nil:
		return &failure.Error{Code: CodeStickWrong, Doing: doing, Said: "a file system with its UUID lies on another disk (" + part[0].Path +
			", serial " + part[0].Serial + "): a copy of it, or a wrong serial in the policy"}
	case disk == nil:
		return &failure.Error{Code: CodeStickAbsent, Doing: doing, Said: "no disk has that serial",
			Hint: "plug it in; lsblk -o NAME,SERIAL on the host shows what is there"}
	case part == nil || part[0].Path != disk[0].Path:
		return &failure.Error{Code: CodeStickWrong, Doing: doing,
			Said: "the disk is there (" + disk[0].Path + "), and no file system on it has UUID " + s.UUID,
			Hint: "if it was formatted anew, put the new UUID into the policy; a new stick is made with: rear -v format -- " + disk[0].Path}
	case (&weigh{f: f, p: &Plan{}, mounts: f.mounts()}).carries(disk):
		return &failure.Error{Code: CodeStickWrong, Doing: doing, Said: disk[0].Path + " is the disk of the system itself"}
	case firstMount(part.last()) != "":
		return &failure.Error{Code: CodeStickWrong, Doing: doing, Said: part.last().Path + " is mounted on " + firstMount(part.last()),
			Hint: "unmount it: rear mounts it itself"}
	}
	s.Disk, s.Device = disk[0].Path, part.last().Path
	return nil
}

// carries reports whether the system lies on a disk.
func (w *weigh) carries(disk chain) bool {
	w.system()
	return w.systems(disk)
}

// free looks once more before the stick is written to: it may have been changed
// for another since.
func (s *Stick) free(ctx context.Context, m Machine) error {
	out, err := command(ctx, m, "list the host's disks", "lsblk", "-J", "-b", "-o", Columns)
	if err != nil {
		return err
	}
	devices, err := ParseDevices(out)
	if err != nil {
		return err
	}
	again := Stick{Serial: s.Serial, UUID: s.UUID}
	if err := again.Find(&Facts{Devices: devices}); err != nil {
		return err
	}
	if again.Device != s.Device {
		return &failure.Error{Code: CodeStickWrong, Doing: "find the USB stick " + s.Serial,
			Said: "it was " + s.Device + ", and is " + again.Device + " now", Temporary: true}
	}
	return nil
}

// blame says what a failure of ReaR has to do with the stick.
func (s *Stick) blame(ctx context.Context, m Machine, err error) error {
	own, ok := err.(*failure.Error)
	if !ok {
		return err
	}
	switch gone := s.free(ctx, m); {
	case failure.Is(gone, CodeStickAbsent):
		return &failure.Error{Code: CodeStickPulled, Doing: own.Doing, Said: "the stick " + s.Serial + " was pulled out meanwhile: " + own.Said,
			Hint: "plug it in again; what it held before may be damaged, so check it: fsck " + s.Device}
	case failure.Is(err, CodeSpace):
		return &failure.Error{Code: CodeStickFull, Doing: own.Doing, Said: "the stick " + s.Serial + " is full: " + own.Said,
			Hint: "remove old images below rear/ on it, or take a larger one"}
	}
	return err
}

// fetch copies what ReaR wrote to the stick from the stick, mounted anew, so that
// what is proven and copied further is what lies there.
func (s *Stick) fetch(ctx context.Context, m Machine, host string, o Options) error {
	at := o.ConfDir() + ".mnt"
	if err := m.MkdirAll(ctx, at, 0o700); err != nil {
		return err
	}
	if _, err := command(ctx, m, "mount the stick to read it back", "mount", "-o", "ro", "--", s.Device, at); err != nil {
		return s.blame(ctx, m, err)
	}
	from := path.Join(at, "rear", host, "runner-"+o.Artifact)
	_, err := command(ctx, m, "read the image back from the stick", "cp", "--", path.Join(from, "kernel"), path.Join(from, "initrd.cgz"),
		path.Join(from, "backup.tar.gz"), o.Folder())
	if err == nil {
		err = s.menu(ctx, m, at, from, o)
	}
	if _, uerr := command(ctx, m, "unmount the stick", "umount", "--", at); err == nil {
		err = uerr
	}
	if err == nil {
		err = m.Remove(ctx, at)
	}
	return err
}

// menu fetches the boot menu, and demands the loader that reads it.
func (s *Stick) menu(ctx context.Context, m Machine, at, from string, o Options) error {
	for _, dir := range []string{from, path.Join(at, "boot", "syslinux"), path.Join(at, "boot", "grub")} {
		for _, file := range []string{"syslinux.cfg", "extlinux.conf", "grub.cfg"} {
			if _, err := m.Stat(ctx, path.Join(dir, file)); err != nil {
				continue
			}
			if _, err := command(ctx, m, "read the menu back from the stick", "cp", "--", path.Join(dir, file), o.Folder()); err != nil {
				return err
			}
		}
	}
	for _, loader := range []string{"boot/syslinux/ldlinux.sys", "boot/grub/grub.cfg", "boot/grub2/grub.cfg"} {
		if _, err := m.Stat(ctx, path.Join(at, loader)); err == nil {
			return nil
		}
	}
	return &failure.Error{Code: CodeImage, Doing: "look for the stick's boot loader",
		Said: "there is neither syslinux nor GRUB on it: no firmware starts it"}
}
