// Package disk reaches the disks of a machine by the programs that every Linux has for
// them: lsblk lists them, smartctl tells what they say of their own health, wipefs,
// cryptsetup and mkfs.ext4 make them anew, umount and cryptsetup let go of them. A
// passphrase goes to cryptsetup on standard input, never in a word of a command.
//
// Nothing is believed of a name such as /dev/sdb: it is another disk after the next
// start. What is done to a disk is done to the one with the serial that was asked for.
package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unicode"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/runtime/failure"
)

// Codes of failures.
var (
	CodeProgram = failure.Code{Name: "E_DISK_PROGRAM", Doc: "a program for disks is missing, or did not do what it should"}
	CodeFailing = failure.Code{Name: "E_DISK_FAILING", Doc: "the disk says of itself that it fails (SMART)"}
	CodeCloned  = failure.Code{Name: "E_DISK_CLONED", Doc: "two disks carry the same file system: one is a clone of the other"}
	CodeBusy    = failure.Code{Name: "E_DISK_BUSY", Doc: "the disk is in use"}
	CodeUnfit   = failure.Code{Name: "E_DISK_UNFIT", Doc: "it is not a disk that may be made a medium"}
	CodeLocked  = failure.Code{Name: "E_DISK_LOCKED", Doc: "the disk's encryption does not open: wrong passphrase, or a damaged header"}
)

// Disk is a block device as lsblk shows it: a disk, a partition, or what lies in one.
type Disk struct {
	Name     string   `json:"name"`
	Path     string   `json:"path"`
	Type     string   `json:"type"` // disk, part, crypt, loop, …
	Size     int64    `json:"size"` // bytes
	Model    string   `json:"model"`
	Serial   string   `json:"serial"`
	Tran     string   `json:"tran"` // usb, sata, nvme
	RO       bool     `json:"ro"`
	FSType   string   `json:"fstype"`
	UUID     string   `json:"uuid"`
	Label    string   `json:"label"`
	Mounts   []string `json:"mountpoints"`
	Children []Disk   `json:"children"`
}

const columns = "NAME,PATH,TYPE,SIZE,MODEL,SERIAL,TRAN,RO,FSTYPE,UUID,LABEL,MOUNTPOINTS"

// List lists the disks of a machine, with what lies in each.
func List(ctx context.Context, h host.Host) ([]Disk, error) {
	out, err := command(ctx, h, "list the disks", nil, "lsblk", "-J", "-b", "-o", columns)
	if err != nil {
		return nil, err
	}
	list, err := parse(out)
	if err != nil {
		return nil, &failure.Error{Code: CodeProgram, Doing: "list the disks", Said: "lsblk: " + err.Error()}
	}
	for i := range list {
		if d := &list[i]; d.Type == "loop" && d.Serial == "" {
			d.Serial = loopSerial(ctx, h, d.Name)
		}
	}
	return list, nil
}

// maxDepth bounds how deep devices lie in each other.
const maxDepth = 32

// parse reads what lsblk -J prints. Texts come from the disks: what is not printable in
// them is no text.
func parse(out []byte) ([]Disk, error) {
	var all struct {
		Devices []Disk `json:"blockdevices"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, err
	}
	return all.Devices, tidy(all.Devices, 0)
}

func tidy(list []Disk, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("devices lie in each other more than %d deep", maxDepth)
	}
	for i := range list {
		d := &list[i]
		for _, text := range []*string{&d.Model, &d.Serial, &d.UUID, &d.Label, &d.FSType} {
			if *text = strings.TrimSpace(*text); strings.ContainsFunc(*text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				*text = ""
			}
		}
		if strings.ContainsAny(d.Name, "/\x00") || d.Name == ".." {
			return fmt.Errorf("a device is called %q", d.Name)
		}
		if err := tidy(d.Children, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// loopSerial names a loop device after its backing file, as targets know it.
func loopSerial(ctx context.Context, h host.Host, name string) string {
	file, err := host.ReadFile(ctx, h, "/sys/block/"+name+"/loop/backing_file", 4096)
	if err != nil {
		return ""
	}
	info, err := h.Stat(ctx, strings.TrimSpace(string(file)))
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("loop:%x:%d", st.Dev, st.Ino)
}

// Mounted reports whether something of the disk is mounted, and where.
func (d Disk) Mounted() (at []string) {
	for _, m := range d.Mounts {
		if m != "" {
			at = append(at, m)
		}
	}
	for _, c := range d.Children {
		at = append(at, c.Mounted()...)
	}
	return at
}

// Holds says in words what lies on a disk: "crypto_LUKS, in it ext4 backup-1"; "" is nothing.
func (d Disk) Holds() string {
	own := strings.TrimSpace(d.FSType + " " + d.Label)
	var in []string
	for _, c := range d.Children {
		if text := c.Holds(); text != "" {
			in = append(in, c.Name+": "+text)
		} else {
			in = append(in, c.Name)
		}
	}
	switch {
	case len(in) == 0:
		return own
	case own == "":
		return strings.Join(in, "; ")
	}
	return own + ", in it " + strings.Join(in, "; ")
}

// Chain is the way from a disk to the device that is mounted at a folder; nil: none is.
func Chain(list []Disk, mount string) []Disk {
	for _, d := range list {
		for _, m := range d.Mounts {
			if m == mount {
				return []Disk{d}
			}
		}
		if below := Chain(d.Children, mount); below != nil {
			return append([]Disk{d}, below...)
		}
	}
	return nil
}

// Carrying are the disks on which a file system of that UUID lies.
func Carrying(list []Disk, uuid string) (out []Disk) {
	for _, d := range list {
		if uuid != "" && carries(d, uuid) {
			out = append(out, d)
		}
	}
	return out
}

func carries(d Disk, uuid string) bool {
	if strings.EqualFold(d.UUID, uuid) {
		return true
	}
	return len(Carrying(d.Children, uuid)) > 0
}

// command runs a program; an exit status other than 0 is an error in its words.
func command(ctx context.Context, h host.Host, doing string, stdin []byte, args ...string) ([]byte, error) {
	c := host.Command{Args: args}
	if stdin != nil {
		c.Stdin = newSecret(stdin)
	}
	r, err := h.Run(ctx, c)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, host.ErrNoProgram):
		return nil, &failure.Error{Code: CodeProgram, Doing: doing, Said: args[0] + " is not installed", Hint: installs(args[0]), Cause: err}
	case err != nil:
		return nil, &failure.Error{Code: CodeProgram, Doing: doing, Said: err.Error(), Cause: err}
	case r.Exit != 0:
		e := &host.ExitError{Program: args[0], Exit: r.Exit, Said: host.Tail(r.Stderr)}
		return r.Stdout, &failure.Error{Code: CodeProgram, Doing: doing, Said: e.Error(), Cause: e}
	}
	return r.Stdout, nil
}

func installs(program string) string {
	for _, p := range []struct{ pkg, programs string }{{"cryptsetup-bin", "cryptsetup"}, {"e2fsprogs", "mkfs.ext4"},
		{"util-linux", "lsblk blkid wipefs umount mount"}, {"smartmontools", "smartctl"}} {
		if strings.Contains(" "+p.programs+" ", " "+program+" ") {
			return "apt-get install " + p.pkg
		}
	}
	return fmt.Sprintf("install the package that has %s", program)
}
