package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/neosofia/runner/builtins/lab/fault"
	"github.com/neosofia/runner/runtime/ledger"
)

// Disk is what a machine sees of a medium's disk.
type Disk struct {
	Path    string `json:"path,omitempty"` // "/dev/sdb"; "" is no disk of its own
	Model   string `json:"model,omitempty"`
	Size    int64  `json:"size,omitempty"`
	Plugged bool   `json:"plugged,omitempty"` // in the machine, mounted or not
	Off     bool   `json:"off,omitempty"`     // switched off, and not unplugged yet
	LUKS    string `json:"luks,omitempty"`    // UUID of its container; "" is none
	Secret  string `json:"secret,omitempty"`  // digest of the passphrase that opens it
	Open    string `json:"open,omitempty"`    // name in /dev/mapper while it is open
	Token   string `json:"token,omitempty"`   // in its header, for everybody to read
	Damaged bool   `json:"damaged,omitempty"` // its header does not open
}

// noProgram is the exit status of a shell that finds none.
const noProgram = 127

// call is one program of the machine on which runner runs.
type call struct {
	w              *World
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	list           []Medium
}

// Program plays a program of the machine on which runner runs; 127: it is not installed.
// The fault "here PROGRAM" is asked for.
func (w *World) Program(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &call{w, args, stdin, stdout, stderr, nil}
	play, known := map[string]func(*call) int{"lsblk": (*call).lsblk, "smartctl": (*call).smartctl, "sync": func(*call) int { return 0 },
		"umount": (*call).umount, "mount": (*call).mount, "cryptsetup": (*call).cryptsetup, "tee": (*call).tee, "wipefs": (*call).wipefs,
		"mkfs.ext4": (*call).mkfs, "blkid": (*call).blkid}[args[0]]
	if !known {
		return noProgram
	}
	deeds, err := w.faults.Due("here "+args[0], "exit", "missing")
	if err == nil {
		c.list, err = w.Media()
	}
	if err != nil {
		return c.fail(1, "%v", err)
	}
	if len(deeds) > 0 { // the first counts
		d := deeds[0]
		if d.Name == "missing" {
			return noProgram
		}
		code, text, _ := strings.Cut(d.Args, " ")
		exit, err := strconv.Atoi(code)
		if err != nil {
			return c.fail(2, "fault: exit %q is no number", code)
		}
		fmt.Fprintln(stderr, text)
		return exit
	}
	if ctx.Err() != nil {
		return 1
	}
	return play(c)
}

func (c *call) fail(exit int, format string, args ...any) int {
	fmt.Fprintf(c.stderr, c.args[0]+": "+format+"\n", args...)
	return exit
}

// due asks what goes wrong with a disk: the fault "disk NAME".
func (c *call) due(m *Medium, names ...string) []fault.Deed {
	deeds, err := c.w.faults.Due("disk "+m.Name, names...)
	if err != nil {
		return nil
	}
	return deeds
}

// block is a line of lsblk.
type block struct {
	Name        string   `json:"name"`
	Path        string   `json:"path"`
	Type        string   `json:"type"`
	Size        int64    `json:"size"`
	Model       *string  `json:"model"`
	Serial      *string  `json:"serial"`
	Tran        *string  `json:"tran"`
	RO          bool     `json:"ro"`
	FSType      *string  `json:"fstype"`
	UUID        *string  `json:"uuid"`
	Label       *string  `json:"label"`
	Mountpoints []string `json:"mountpoints"`
	Children    []block  `json:"children,omitempty"`
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (c *call) lsblk() int {
	if len(c.args) < 5 || c.args[1] != "-J" || c.args[2] != "-b" || c.args[3] != "-o" {
		return c.fail(1, "the lab prints JSON in bytes only: lsblk -J -b -o COLUMNS")
	}
	out := []block{}
	for i := range c.list {
		m := &c.list[i]
		if !m.Disk.Plugged {
			continue
		}
		d := block{Name: filepath.Base(m.Disk.Path), Path: m.Disk.Path, Type: "disk", Size: m.Disk.Size, Model: text(m.Disk.Model),
			Serial: text(m.Device.Serial), Tran: text("usb"), RO: len(c.due(m, "read-only")) > 0}
		at := []string{}
		if m.Attached {
			at = append(at, m.Mount)
		}
		switch {
		case m.Disk.LUKS == "":
			d.FSType, d.UUID, d.Label, d.Mountpoints = text(m.Device.FS), text(m.Device.UUID), text(m.Device.Label), at
		default:
			d.FSType, d.UUID, d.Mountpoints = text("crypto_LUKS"), text(m.Disk.LUKS), []string{}
			if m.Disk.Open != "" {
				d.Children = []block{{Name: m.Disk.Open, Path: "/dev/mapper/" + m.Disk.Open, Type: "crypt", Size: m.Disk.Size - 16<<20, RO: d.RO,
					FSType: text(m.Device.FS), UUID: text(m.Device.UUID), Label: text(m.Device.Label), Mountpoints: at}}
			}
		}
		out = append(out, d)
	}
	e := json.NewEncoder(c.stdout)
	e.SetIndent("", "   ")
	if err := e.Encode(map[string]any{"blockdevices": out}); err != nil {
		return c.fail(1, "%v", err)
	}
	return 0
}

// smartctl says what a disk says of itself; a USB bridge that asks nothing has no answer.
func (c *call) smartctl() int {
	m := c.disk(c.args[len(c.args)-1])
	if m == nil {
		return c.fail(2, "unable to open device")
	}
	answer := map[string]any{"device": map[string]any{"name": m.Disk.Path, "protocol": "ATA"}, "smart_status": map[string]any{"passed": true}}
	exit := 0
	if len(c.due(m, "failing")) > 0 {
		answer["smart_status"] = map[string]any{"passed": false}
		answer["ata_smart_attributes"] = map[string]any{"table": []any{map[string]any{"id": 5, "name": "Reallocated_Sector_Ct",
			"when_failed": "now"}}}
		exit = 8
	}
	if err := json.NewEncoder(c.stdout).Encode(answer); err != nil {
		return c.fail(1, "%v", err)
	}
	return exit
}

// disk is the one with that path; nil: it is not plugged in.
func (c *call) disk(path string) *Medium {
	for i := range c.list {
		if m := &c.list[i]; m.Disk.Plugged && m.Disk.Path == path {
			return m
		}
	}
	return nil
}

func (c *call) umount() int {
	at := c.args[len(c.args)-1]
	for i := range c.list {
		m := &c.list[i]
		if m.Mount != at || !m.Attached {
			continue
		}
		if len(c.due(m, "busy")) > 0 {
			return c.fail(32, "%s: target is busy.", at)
		}
		if err := c.w.unmount(m.Name); err != nil {
			return c.fail(32, "%v", err)
		}
		return 0
	}
	return c.fail(32, "%s: not mounted.", at)
}

// tee takes "1" into the switch of a disk: it is off, and still plugged in.
func (c *call) tee() int {
	name, ok := strings.CutPrefix(c.args[len(c.args)-1], "/sys/block/")
	m := c.disk("/dev/" + strings.TrimSuffix(name, "/device/delete"))
	if !ok || m == nil {
		return c.fail(1, "%s: Permission denied", c.args[len(c.args)-1])
	}
	err := c.w.editMedium(m.Name, func(m *Medium) error { m.Disk.Plugged, m.Disk.Off = false, true; return nil })
	if err == nil {
		err = c.w.switches(m.Disk, false)
	}
	if err != nil {
		return c.fail(1, "%v", err)
	}
	return 0
}

// switches makes or removes the files by which a disk is switched off.
func (w *World) switches(d Disk, there bool) error {
	if d.Path == "" {
		return nil
	}
	file := filepath.Join(w.Root(), "sys/block", filepath.Base(d.Path), "device/delete")
	if !there {
		return os.RemoveAll(filepath.Dir(filepath.Dir(file)))
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, nil, 0o200)
}

// Clone plugs in a disk that was copied from another one, block by block: its file
// system and its container are the same, its serial is not.
func (w *World) Clone(name string) error {
	list, err := w.Media()
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.Name != name || m.Disk.Path == "" {
			continue
		}
		c := Medium{Name: name + "-clone", Device: m.Device, Disk: m.Disk}
		c.Device.Serial += "-CLONE"
		c.Device.ID = "serial:" + c.Device.Serial
		c.Disk.Path, c.Disk.Plugged, c.Device.Mount = w.nextPath(list), true, ""
		if err := writeJSON(w.devicesPath(), append(list, c)); err != nil {
			return err
		}
		return w.switches(c.Disk, true)
	}
	return fmt.Errorf("clone %q: there is no such disk", name)
}

// PlugBlank plugs in a new disk on which nothing is.
func (w *World) PlugBlank(name, serial string, size int64) (path string, err error) {
	list, err := w.Media()
	if err != nil {
		return "", err
	}
	if slices.ContainsFunc(list, func(m Medium) bool { return m.Name == name }) {
		return "", fmt.Errorf("plug a blank disk in: %q is there already", name)
	}
	if err := os.MkdirAll(filepath.Join(w.Root(), "media", name), 0o755); err != nil {
		return "", err
	}
	m := Medium{Name: name, Mount: "/media/" + name, Device: ledger.Device{ID: "serial:" + serial, Serial: serial, Removable: true},
		Disk: Disk{Path: w.nextPath(list), Model: "Portable SSD", Size: size, Plugged: true}}
	if err := writeJSON(w.devicesPath(), append(list, m)); err != nil {
		return "", err
	}
	return m.Disk.Path, w.switches(m.Disk, true)
}

func (w *World) nextPath(list []Medium) string {
	last := "/dev/sda"
	for _, m := range list {
		last = max(last, m.Disk.Path)
	}
	return last[:len(last)-1] + string(last[len(last)-1]+1)
}
