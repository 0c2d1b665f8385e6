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
	Attached bool          `json:"attached"`
	Device   ledger.Device `json:"device"`
}

func (w *World) devicesPath() string { return filepath.Join(w.dir, "devices.json") }

func (w *World) createDevices() error {
	usb := func(name, serial, uuid string) Medium {
		mount := "/media/" + name
		return Medium{name, mount, true, ledger.Device{
			ID: "serial:" + serial, Serial: serial, UUID: uuid, Label: name, FS: "ext4", Mount: mount, Removable: true,
		}}
	}
	return writeJSON(w.devicesPath(), []Medium{
		{"root", "/", true, ledger.Device{ID: "serial:LABNVME0001", Serial: "LABNVME0001", UUID: "6f1d4c0a-0001-4a00-8000-000000000001",
			FS: "ext4", Mount: "/"}},
		usb("offline-a", "LABUSB000A", "6f1d4c0a-000a-4a00-8000-00000000000a"),
		usb("offline-b", "LABUSB000B", "6f1d4c0a-000b-4a00-8000-00000000000b"),
		{"copies", "/srv/copies", true, ledger.Device{
			ID: "serial:LABHDD0002", Serial: "LABHDD0002", UUID: "6f1d4c0a-0002-4a00-8000-000000000002", Label: "copies", FS: "xfs",
			Mount: "/srv/copies",
		}},
	})
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

// Detach takes a medium away: its mount point is an empty folder until Attach.
func (w *World) Detach(name string) error {
	return w.editMedium(name, func(m *Medium) error {
		if !m.Attached || m.Mount == "/" {
			return fmt.Errorf("detach %q: it is not attached, or the root", name)
		}
		m.Attached = false
		return w.swap(filepath.Join(w.Root(), m.Mount), w.store("medium", name), w.store("below", name))
	})
}

// Attach brings a medium back. What was written to the empty mount point
// meanwhile is hidden under it and appears again with the next Detach.
func (w *World) Attach(name string) error {
	return w.editMedium(name, func(m *Medium) error {
		if m.Attached {
			return fmt.Errorf("attach %q: it is attached", name)
		}
		m.Attached = true
		return w.swap(filepath.Join(w.Root(), m.Mount), w.store("below", name), w.store("medium", name))
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
