package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
)

// Medium is one disk of the machine on which runner runs.
type Medium struct {
	Name     string        `json:"name"` // "root", "offline-a"
	Mount    string        `json:"mount"`
	Attached bool          `json:"attached"` // and mounted
	Device   ledger.Device `json:"device"`
	Disk     Disk          `json:"disk,omitzero"`
}

func (w *World) devicesPath() string { return filepath.Join(w.dir, "devices.json") }

func (w *World) createDevices() error {
	usb := func(name, serial, uuid, path string, attached bool) Medium {
		mount := "/media/" + name
		return Medium{name, mount, attached, ledger.Device{
			ID: "serial:" + serial, Serial: serial, UUID: uuid, Label: name, FS: "ext4", Mount: mount, Removable: true,
		}, Disk{Path: path, Model: "Portable SSD", Size: 64 << 30, Plugged: attached, LUKS: uuid[:len(uuid)-1] + "f",
			Secret: digestOf(MediumPassphrase), Open: openName(name, attached)}}
	}
	list := []Medium{
		{"root", "/", true, ledger.Device{ID: "serial:LABNVME0001", Serial: "LABNVME0001", UUID: "6f1d4c0a-0001-4a00-8000-000000000001",
			FS: "ext4", Mount: "/"}, Disk{}},
		usb("offline-a", "LABUSB000A", "6f1d4c0a-000a-4a00-8000-00000000000a", "/dev/sdb", true),
		usb("offline-b", "LABUSB000B", "6f1d4c0a-000b-4a00-8000-00000000000b", "/dev/sdc", false),
		{"copies", "/srv/copies", true, ledger.Device{
			ID: "serial:LABHDD0002", Serial: "LABHDD0002", UUID: "6f1d4c0a-0002-4a00-8000-000000000002", Label: "copies", FS: "xfs",
			Mount: "/srv/copies",
		}, Disk{}},
	}
	for _, m := range list {
		if err := w.switches(m.Disk, m.Disk.Plugged); err != nil {
			return err
		}
	}
	return writeJSON(w.devicesPath(), list)
}

// openName is the name of a container in /dev/mapper while it is open.
func openName(name string, open bool) string {
	if !open {
		return ""
	}
	return "runner-" + name
}

// Media lists the disks of the machine.
func (w *World) Media() ([]Medium, error) {
	data, err := os.ReadFile(w.devicesPath())
	if err != nil {
		return nil, err
	}
	var list []Medium
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("read %s: %w", w.devicesPath(), err)
	}
	return list, nil
}

// SetMedium changes one disk: its serial, label and so on. A changed serial
// changes the device's ID with it, unless the ID was changed too.
func (w *World) SetMedium(name string, edit func(*ledger.Device)) error {
	return w.editMedium(name, func(m *Medium) error {
		id, serial := m.Device.ID, m.Device.Serial
		edit(&m.Device)
		if m.Device.ID == id && m.Device.Serial != serial {
			m.Device.ID = "serial:" + m.Device.Serial
			if m.Device.Serial == "" {
				m.Device.ID = "uuid:" + m.Device.UUID
			}
		}
		return nil
	})
}

func (w *World) editMedium(name string, edit func(*Medium) error) error {
	list, err := w.Media()
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].Name == name {
			if err := edit(&list[i]); err != nil {
				return err
			}
			return writeJSON(w.devicesPath(), list)
		}
	}
	return fmt.Errorf("change medium: there is no %q", name)
}

// Device returns the disk behind an absolute path of the machine (without
// Root before it). A mount point without its medium is a folder of the disk
// below it.
func (w *World) Device(p string) (ledger.Device, error) {
	if !path.IsAbs(p) {
		return ledger.Device{}, fmt.Errorf("find device of %q: not an absolute path", p)
	}
	list, err := w.Media()
	if err != nil {
		return ledger.Device{}, err
	}
	p = path.Clean(p)
	best := -1
	for i, m := range list {
		under := m.Mount == "/" || p == m.Mount || strings.HasPrefix(p, m.Mount+"/")
		if m.Attached && under && (best < 0 || len(m.Mount) > len(list[best].Mount)) {
			best = i
		}
	}
	if best < 0 {
		return ledger.Device{}, fmt.Errorf("find device of %q: nothing is mounted there", p)
	}
	return list[best].Device, nil
}

// Detach takes a medium away: its mount point is an empty folder until Attach. One that
// was ejected before is unplugged.
func (w *World) Detach(name string) error {
	return w.editMedium(name, func(m *Medium) error {
		switch {
		case m.Mount == "/" || !m.Attached && !m.Disk.Plugged && !m.Disk.Off:
			return fmt.Errorf("detach %q: it is not attached, or the root", name)
		case m.Attached:
			m.Attached = false
			if err := w.swap(filepath.Join(w.Root(), m.Mount), w.store("medium", name), w.store("below", name)); err != nil {
				return err
			}
		}
		m.Disk.Plugged, m.Disk.Off, m.Disk.Open = false, false, ""
		return w.switches(m.Disk, false)
	})
}

// Attach brings a medium back and mounts it. What was written to the empty mount point
// meanwhile is hidden under it and appears again with the next Detach.
func (w *World) Attach(name string) error {
	return w.editMedium(name, func(m *Medium) error {
		if m.Attached {
			return fmt.Errorf("attach %q: it is attached", name)
		}
		if m.Disk.LUKS != "" {
			m.Disk.Open = openName(name, true)
		}
		if err := w.plugIn(m); err != nil {
			return err
		}
		return w.mountIt(m)
	})
}

// Plug brings a medium back, and mounts nothing: its container is locked.
func (w *World) Plug(name string) error {
	return w.editMedium(name, func(m *Medium) error {
		if m.Disk.Path == "" || m.Disk.Plugged {
			return fmt.Errorf("plug %q in: it is, or is no disk of its own", name)
		}
		return w.plugIn(m)
	})
}

func (w *World) plugIn(m *Medium) error {
	m.Disk.Plugged, m.Disk.Off = m.Disk.Path != "", false
	return w.switches(m.Disk, true)
}

func (w *World) mountIt(m *Medium) error {
	m.Attached = true
	return w.swap(filepath.Join(w.Root(), m.Mount), w.store("below", m.Name), w.store("medium", m.Name))
}

// unmount leaves the disk plugged in.
func (w *World) unmount(name string) error {
	return w.editMedium(name, func(m *Medium) error {
		m.Attached = false
		return w.swap(filepath.Join(w.Root(), m.Mount), w.store("medium", name), w.store("below", name))
	})
}

func (w *World) store(what, name string) string {
	return filepath.Join(w.dir, "detached", what+"-"+name)
}

// swap puts what is at the mount point away and what is stored there in; a new
// folder when nothing is stored.
func (w *World) swap(mount, away, in string) error {
	if err := os.Rename(mount, away); err != nil {
		return err
	}
	err := os.Rename(in, mount)
	if errors.Is(err, fs.ErrNotExist) {
		return os.Mkdir(mount, 0o755)
	}
	return err
}
