package vma

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Config is one configuration file of the machine, qemu-server.conf say. Name
// is a bare file name; Data has at most 65535 bytes.
type Config struct {
	Name string
	Data []byte
}

// Device is one disk in the archive. ID is 1 to 254, Size counts bytes, Name is
// what the archive calls it (drive-scsi0) and is safe as a file name.
type Device struct {
	ID   int
	Name string
	Size int64
}

// clusters is the number of clusters that the device has, the last one cut.
func (d Device) clusters() int64 { return (d.Size + clusterSize - 1) / clusterSize }

// Header is what stands before the first extent. Created has whole seconds.
// Devices are ordered by ID.
type Header struct {
	UUID    [16]byte
	Created time.Time
	Configs []Config
	Devices []Device
}

// Error says what is wrong with an archive and where. Offset counts the bytes
// of the uncompressed archive up to the header, extent or block at fault.
type Error struct {
	Offset int64
	What   string
	Err    error // the cause, or nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("vma offset %d: %s: %v", e.Offset, e.What, e.Err)
	}
	return fmt.Sprintf("vma offset %d: %s", e.Offset, e.What)
}

func (e *Error) Unwrap() error { return e.Err }

func faultf(offset int64, format string, args ...any) error {
	return &Error{Offset: offset, What: fmt.Sprintf(format, args...)}
}

// checkName refuses a name that is not one plain path component, or that would
// garble the terminal of whoever reads it.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("name is empty")
	case name == "." || name == "..":
		return fmt.Errorf("name %q is not a file name", name)
	case strings.ContainsAny(name, `/\`):
		return fmt.Errorf("name %q holds a path separator", name)
	case len(name) > 255:
		return fmt.Errorf("name of %d bytes is longer than 255", len(name))
	case !utf8.ValidString(name):
		return fmt.Errorf("name %q is not UTF-8", name)
	}
	for _, r := range name {
		if r < 0x20 || r == 0x7f {
			return fmt.Errorf("name %q holds a control character", name)
		}
	}
	return nil
}

// checkHeader holds what both reader and writer demand of a header: the
// identifiers, names and sizes that the format and this package allow.
func checkHeader(h Header) error {
	if len(h.Configs) > maxConfigs {
		return fmt.Errorf("%d configs, at most %d fit", len(h.Configs), maxConfigs)
	}
	names := make(map[string]bool, len(h.Configs))
	for _, c := range h.Configs {
		if err := checkName(c.Name); err != nil {
			return fmt.Errorf("config: %w", err)
		}
		if names[c.Name] {
			return fmt.Errorf("config %q is there twice", c.Name)
		}
		if len(c.Data) > maxBlob {
			return fmt.Errorf("config %q has %d bytes, at most %d fit", c.Name, len(c.Data), maxBlob)
		}
		names[c.Name] = true
	}
	return checkDevices(h.Devices)
}

func checkDevices(devices []Device) error {
	names := make(map[string]bool, len(devices))
	last, bitmaps := 0, int64(0)
	for _, d := range devices {
		if d.ID <= last || d.ID > maxDeviceID {
			return fmt.Errorf("device id %d after %d: ids ascend from 1 to %d", d.ID, last, maxDeviceID)
		}
		last = d.ID
		if err := checkName(d.Name); err != nil {
			return fmt.Errorf("device %d: %w", d.ID, err)
		}
		if names[d.Name] {
			return fmt.Errorf("device name %q is there twice", d.Name)
		}
		names[d.Name] = true
		if d.Size <= 0 || d.Size > maxDeviceSize {
			return fmt.Errorf("device %d (%s) has size %d, outside 1 to %d", d.ID, d.Name, d.Size, int64(maxDeviceSize))
		}
		if d.Name != vmstate {
			bitmaps += (d.clusters() + 7) / 8
		}
	}
	if bitmaps > maxBitmapBytes {
		return fmt.Errorf("devices need %d bytes of cluster maps, at most %d (32 TiB of disk) are allowed", bitmaps, maxBitmapBytes)
	}
	return nil
}
