package ledger

import (
	"slices"
	"strings"
)

// Device identifies the medium behind a directory, as looked up when a copy
// was written: never as declared, so that two folders on one disk are one
// device.
type Device struct {
	ID        string `json:"id"`                  // stable identity: "serial:…", else "uuid:…", else "host:…"
	Serial    string `json:"serial,omitempty"`    // of the disk, as udev or sysfs gives it
	UUID      string `json:"uuid,omitempty"`      // of the file system
	Label     string `json:"label,omitempty"`     // of the file system; never identity
	FS        string `json:"fs,omitempty"`        // type of the file system
	Mount     string `json:"mount,omitempty"`     // where it is mounted
	Removable bool   `json:"removable,omitempty"` // USB or other hot-plug bus
}

// OwnDisk is what a copy lacks that lies on a disk of its source, as the site accepts it.
func OwnDisk(target string) string { return ownDisk + target }

const ownDisk = "disk of its own for "

// Shares reports whether one of several devices, by their identities, has a disk in
// common with d.
func (d Device) Shares(ids []string) bool {
	mine := disksOf(d.ID)
	return slices.ContainsFunc(ids, func(id string) bool {
		return slices.ContainsFunc(disksOf(id), func(disk string) bool { return slices.Contains(mine, disk) })
	})
}

// disksOf are the disks that an identity is made of; of one without serials, itself.
func disksOf(id string) []string {
	serials, ok := strings.CutPrefix(id, "serial:")
	switch {
	case id == "":
		return nil
	case !ok:
		return []string{id}
	}
	return strings.Split(serials, "+")
}
