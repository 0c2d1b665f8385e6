// Package layout reads what ReaR writes down of a host's disks: disklayout.conf,
// from which `rear recover` makes the disks anew, and diskdeps.conf, which says
// what lies on what.
//
// Its rule: a line that begins with "#" and a word of the format is a thing that
// recovery leaves alone; a line without it is a thing that recovery creates, and
// what was there before is lost. The difference is the whole worth of the file,
// so both are kept apart (Component.Active) and a line that is understood by half
// is an error where it is active.
//
// Source of facts: usr/share/rear/layout/save of ReaR 2.7, and files that it
// wrote. A known blemish is read over: the line of a file system whose block size
// could not be learnt ends without a newline, so a comment follows in it.
package layout

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Bounds of what is believed of a file.
const (
	maxBytes = 4 << 20
	maxLine  = 64 << 10
	maxLines = 50_000
)

// Component is one line: a disk, partition, volume, file system.
type Component struct {
	Kind   string // "disk", "part", "lvmdev", "lvmgrp", "lvmvol", "crypt", "fs", "swap", …
	Active bool   // recovery makes it anew
	// Device is what is made: "/dev/sda", "/dev/sda1", "/dev/pve" (a volume group),
	// "/dev/pve/data", "/dev/mapper/x".
	Device string
	// On is what it lies on: the disk of a partition, the group of a volume, the
	// device of a LUKS container or of a physical volume's group.
	On string
	// Members are the devices that one is put together from: the paths of a
	// multipath disk, the devices of a RAID.
	Members []string
	Mount   string // of file systems
	Type    string // partition table, layout of a volume ("thin,pool"), file system
	Size    int64  // bytes; 0 where the format has none
	UUID    string
	Line    string // as it was written, without "#"
	Cut     bool   // the line goes on in the next one, which ReaR's recovery does not read
}

// Layout is a whole file in its order.
type Layout struct{ Components []Component }

// Error says which line is at fault.
type Error struct {
	Line int
	What string
}

func (e *Error) Error() string { return fmt.Sprintf("disklayout.conf:%d: %s", e.Line, e.What) }

// fields is the least number of words of each kind, its own among them: every word
// that ReaR 2.7 begins a line with.
var fields = map[string]int{
	"disk": 3, "part": 7, "multipath": 3, "raidarray": 2, "raiddisk": 3, "opaldisk": 2, "dasd_channel": 2, "dasdfmt": 2, "logicaldrive": 2,
	"smartarray": 2,
	"lvmdev":     3, "lvmgrp": 2, "lvmvol": 4, "crypt": 3, "drbd": 4, "fs": 4, "swap": 2,
	"btrfsmountedsubvol": 4, "btrfsnormalsubvol": 4, "btrfssnapshotsubvol": 4, "btrfsdefaultsubvol": 4, "btrfsnocopyonwrite": 2,
}

// Parse reads a disklayout.conf.
func Parse(r io.Reader) (Layout, error) {
	var l Layout
	err := lines(r, func(n int, text string) error {
		c, ok, err := l.rest(text)
		if err == nil && !ok {
			c, ok, err = component(text)
		}
		if err != nil {
			return &Error{n, err.Error()}
		}
		if ok {
			l.Components = append(l.Components, c)
		}
		return nil
	})
	return l, err
}

// rest takes the component back whose line goes on in this one. Of a LUKS2 container
// ReaR 2.7 writes a hash for each key slot and digest, with new lines between:
// "… hash=sha256", "sha256", and "sha256 uuid=…" on the line after.
func (l *Layout) rest(text string) (Component, bool, error) {
	if len(l.Components) == 0 {
		return Component{}, false, nil
	}
	last := l.Components[len(l.Components)-1]
	if last.Kind != "crypt" || value(strings.Fields(last.Line), "hash=") == "" || strings.Contains(last.Line, " uuid=") {
		return Component{}, false, nil
	}
	hash, more, _ := strings.Cut(strings.TrimSpace(text), " ")
	if more = strings.TrimSpace(more); !isHash(hash) || more != "" && !strings.HasPrefix(more, "uuid=") {
		return Component{}, false, nil
	}
	l.Components = l.Components[:len(l.Components)-1]
	line := strings.TrimSpace(last.Line + " " + more)
	if !last.Active {
		line = "#" + line
	}
	c, ok, err := component(line)
	c.Cut = true
	return c, ok, err
}

// isHash tells the name of a hash function, as cryptsetup writes it: sha256, sha3-512,
// whirlpool; no word that begins a line.
func isHash(word string) bool {
	if word == "" || fields[word] != 0 {
		return false
	}
	return strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// lines calls fn for each line, within the bounds.
func lines(r io.Reader, fn func(n int, text string) error) error {
	limited := &io.LimitedReader{R: r, N: maxBytes + 1}
	s := bufio.NewScanner(limited)
	s.Buffer(make([]byte, 4096), maxLine)
	n := 0
	for s.Scan() {
		if n++; n > maxLines {
			return &Error{n, fmt.Sprintf("more than %d lines", maxLines)}
		}
		if err := fn(n, s.Text()); err != nil {
			return err
		}
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return &Error{n + 1, fmt.Sprintf("a line of more than %d bytes", maxLine)}
	case err != nil:
		return err
	case limited.N <= 0:
		return &Error{n, fmt.Sprintf("more than %d bytes", maxBytes)}
	}
	return nil
}

// component reads one line. Comments in words are not component; those that hold
// one begin with "#" and its kind without a space.
func component(text string) (Component, bool, error) {
	text = strings.TrimSpace(text)
	body := strings.TrimPrefix(text, "#")
	active := body == text
	word := strings.Fields(body)
	if len(word) == 0 || strings.HasPrefix(body, "#") || (!active && (body[0] == ' ' || fields[word[0]] == 0)) {
		return Component{}, false, nil
	}
	least, known := fields[word[0]]
	switch {
	case !known:
		return Component{}, false, fmt.Errorf("%q is not a kind of component", word[0])
	case len(word) < least && active:
		return Component{}, false, fmt.Errorf("%s has %d words, want at least %d", word[0], len(word), least)
	case len(word) < least:
		return Component{}, false, nil
	}
	c := Component{Kind: word[0], Active: active, Device: word[1], Line: strings.Join(word, " ")}
	return c, true, c.fill(word)
}

func (c *Component) fill(word []string) (err error) {
	switch c.Kind {
	case "disk", "raiddisk":
		c.Size, err = size(word[2])
		c.Type = at(word, 3)
	case "multipath": // the label of its partitions may be missing
		c.Size, err = size(word[2])
		c.Type, c.Members = at(word, 3), list(word[len(word)-1])
	case "raidarray":
		c.Members = list(value(word, "devices="))
	case "dasdfmt":
		c.Device = word[len(word)-1]
	case "drbd":
		c.On = word[3]
	case "part":
		c.Device, c.On, c.Type = word[len(word)-1], word[1], word[4]
		c.Size, err = size(word[2])
	case "lvmdev":
		c.Device, c.On, c.UUID = word[2], word[1], at(word, 3)
	case "lvmvol":
		c.Device, c.On, c.Type = word[1]+"/"+word[2], word[1], at(word, 4)
		c.Size, err = size(strings.TrimSuffix(word[3], "b"))
	case "crypt":
		c.On, c.UUID = word[2], value(word, "uuid=")
	case "fs":
		c.Mount, c.Type, c.UUID = word[2], word[3], value(word, "uuid=")
	case "btrfsmountedsubvol":
		c.Mount, c.Type = word[2], "btrfs"
	case "swap":
		c.Device, c.UUID = strings.TrimPrefix(word[1], "swap:"), value(word, "uuid=")
	}
	if err != nil && c.Active {
		return fmt.Errorf("%s %s: %w", c.Kind, c.Device, err)
	}
	return nil
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

func size(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a size in bytes", text)
	}
	return n, nil
}

func at(word []string, i int) string {
	if i < len(word) {
		return word[i]
	}
	return ""
}

func value(word []string, key string) string {
	for _, w := range word {
		if v, ok := strings.CutPrefix(w, key); ok {
			return v
		}
	}
	return ""
}
