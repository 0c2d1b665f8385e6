package rear

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// mediumFlags: the kernel refuses O_EXCL on a block device that is in use (a
// mounted partition, a member of a group), whatever was looked at before.
const mediumFlags = syscall.O_EXCL

// mediumOf finds the disk of a serial below /sys/block, and refuses one of which
// anything is mounted or in use. The system's own disk always is.
func mediumOf(root, serial string) (dev string, size int64, err error) {
	doing := "find the medium with serial " + serial
	disks, err := os.ReadDir(filepath.Join(root, "/sys/block"))
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", doing, err)
	}
	var found []string
	for _, d := range disks {
		if have := serialOf(root, d.Name()); have != "" && have == serial {
			found = append(found, d.Name())
		}
	}
	switch len(found) {
	case 0:
		return "", 0, fmt.Errorf("%s: no disk has it; lsblk -o NAME,SERIAL shows those that are there", doing)
	case 1:
	default:
		return "", 0, fmt.Errorf("%s: %s all have it", doing, strings.Join(found, ", "))
	}
	name := found[0]
	if err := idle(root, name); err != nil {
		return "", 0, fmt.Errorf("%s: %w", doing, err)
	}
	raw, err := os.ReadFile(filepath.Join(root, "/sys/block", name, "size"))
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", doing, err)
	}
	sectors, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil || sectors <= 0 || sectors > 1<<50 {
		return "", 0, fmt.Errorf("%s: /dev/%s is empty: no medium is in it", doing, name)
	}
	return "/dev/" + name, sectors * 512, nil
}

// serialOf reads a disk's serial where the kernel or udev have it.
func serialOf(root, name string) string {
	for _, file := range []string{"device/serial", "serial", "device/vpd_pg80"} {
		raw, err := os.ReadFile(filepath.Join(root, "/sys/block", name, file))
		if err == nil && file == "device/vpd_pg80" && len(raw) > 4 {
			raw = raw[4:]
		}
		if s := strings.Trim(string(raw), " \n\x00"); err == nil && s != "" {
			return s
		}
	}
	number, err := os.ReadFile(filepath.Join(root, "/sys/block", name, "dev"))
	if err != nil {
		return ""
	}
	raw, err := os.ReadFile(filepath.Join(root, "/run/udev/data/b"+strings.TrimSpace(string(number))))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(raw)) {
		if s, ok := strings.CutPrefix(strings.TrimSpace(line), "E:ID_SERIAL_SHORT="); ok {
			return s
		}
	}
	return ""
}

// idle demands that nothing of a disk is mounted, is swap, or carries another
// device.
func idle(root, name string) error {
	used := map[string]bool{}
	for file, column := range map[string]int{"/proc/self/mounts": 0, "/proc/swaps": 0} {
		raw, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(raw)) {
			if w := strings.Fields(line); len(w) > column {
				used[w[column]] = true
			}
		}
	}
	parts, err := filepath.Glob(filepath.Join(root, "/sys/block", name, name+"*"))
	if err != nil {
		return err
	}
	for _, dir := range append(parts, filepath.Join(root, "/sys/block", name)) {
		part := filepath.Base(dir)
		if used["/dev/"+part] {
			return fmt.Errorf("/dev/%s is in use: it is mounted", part)
		}
		holders, err := os.ReadDir(filepath.Join(dir, "holders"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if len(holders) > 0 {
			return fmt.Errorf("/dev/%s is in use: %s lies on it", part, holders[0].Name())
		}
	}
	return nil
}
