package layout

import (
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
)

// Of returns the active components of one kind, in their order.
func (l Layout) Of(kind string) (out []Component) {
	for _, c := range l.Components {
		if c.Active && c.Kind == kind {
			out = append(out, c)
		}
	}
	return out
}

// wholes are the kinds of devices that lie on no other of the layout.
var wholes = []string{"disk", "multipath", "raiddisk", "opaldisk", "dasdfmt", "logicaldrive"}

// Whole returns the active components that are whole devices.
func (l Layout) Whole() (out []Component) {
	for _, c := range l.Components {
		if c.Active && slices.Contains(wholes, c.Kind) {
			out = append(out, c)
		}
	}
	return out
}

// Makes reports whether recovery makes the file system that is mounted there.
func (l Layout) Makes(mount string) bool {
	return slices.ContainsFunc(l.Components, func(c Component) bool {
		return c.Active && c.Mount == mount && (c.Kind == "fs" || c.Kind == "btrfsmountedsubvol")
	})
}

// Untold returns the first active component that would be made on a device that is
// neither one of the named ones nor made by the layout itself on such; false: there is
// none. A multipath disk is named when all of its paths are, or itself.
func (l Layout) Unnamed(named []string) (Component, string, bool) {
	good := map[string]bool{}
	for _, n := range named {
		good[clean(n)] = true
	}
	all := func(devices []string) bool {
		return len(devices) > 0 && !slices.ContainsFunc(devices, func(d string) bool { return !good[clean(d)] })
	}
	for grew := true; grew; { // what is made on something good is good itself
		grew = false
		for _, c := range l.Components {
			made := clean(c.Device)
			if c.Kind == "lvmdev" {
				made = clean(c.On) // the group
			}
			if !c.Active || good[made] || c.Kind == "fs" || c.Kind == "swap" {
				continue
			}
			if len(c.Members) > 0 && all(c.Members) || c.Kind == "lvmdev" && (good[clean(c.Device)] || good[clean(wholeOf(c.Device))]) ||
				c.Kind != "lvmdev" && c.On != "" && (good[clean(c.On)] || good[clean(wholeOf(c.On))]) {
				good[made], grew = true, true
			}
		}
	}
	for _, c := range l.Components {
		on := []string{c.On}
		switch {
		case !c.Active, c.Kind == "swap", c.Kind == "lvmgrp", c.Kind == "smartarray", c.Kind == "dasd_channel",
			strings.HasPrefix(c.Kind, "btrfs"):
			continue // made on what another line tells, or asked for before it is made
		case len(c.Members) > 0:
			if good[clean(c.Device)] {
				continue
			}
			on = c.Members
		case c.Kind == "fs", c.Kind == "lvmdev", c.On == "":
			on = []string{c.Device}
		}
		for _, d := range on {
			if !good[clean(d)] && !good[clean(wholeOf(d))] {
				return c, d, true
			}
		}
	}
	return Component{}, "", false
}

// wholeOf is the device that a partition is of by its name: /dev/sda of /dev/sda1,
// /dev/nvme0n1 of /dev/nvme0n1p2.
func wholeOf(device string) string {
	whole := strings.TrimRight(device, "0123456789")
	if whole == device {
		return device
	}
	if n := len(whole); n > 1 && whole[n-1] == 'p' && whole[n-2] >= '0' && whole[n-2] <= '9' {
		return whole[:n-1]
	}
	return strings.TrimSuffix(whole, "-part")
}

// Naming returns the active components that would make the named thing anew: a
// device, a volume group ("/dev/pve"), a mount point, or whatever lies on one of
// them. A name of a volume group takes its volumes along, one of a disk its
// partitions.
func (l Layout) Naming(name string) (out []Component) {
	above := map[string][]string{} // what lies directly on a device
	for _, c := range l.Components {
		switch {
		case len(c.Members) > 0:
			for _, m := range c.Members {
				above[clean(m)] = append(above[clean(m)], clean(c.Device))
			}
		case c.On == "":
		case c.Kind == "lvmdev": // the group lies on this device, among others
			above[clean(c.Device)] = append(above[clean(c.Device)], clean(c.On))
		default:
			above[clean(c.On)] = append(above[clean(c.On)], clean(c.Device))
		}
	}
	held := map[string]bool{clean(name): true}
	for todo := []string{clean(name)}; len(todo) > 0; {
		next := above[todo[len(todo)-1]]
		todo = todo[:len(todo)-1]
		for _, d := range next {
			if !held[d] {
				held[d] = true
				todo = append(todo, d)
			}
		}
	}
	for _, c := range l.Components {
		if c.Active && (held[clean(c.Device)] || c.Mount != "" && c.Mount == name) {
			out = append(out, c)
		}
	}
	return out
}

// clean makes the two names of a logical volume one: "/dev/mapper/pve-vm--1" is
// "/dev/pve/vm-1".
func clean(device string) string {
	name, ok := strings.CutPrefix(device, "/dev/mapper/")
	if !ok {
		return device
	}
	const dash = "\x00"
	group, volume, ok := strings.Cut(strings.ReplaceAll(name, "--", dash), "-")
	if !ok {
		return device
	}
	return "/dev/" + strings.ReplaceAll(group, dash, "-") + "/" + strings.ReplaceAll(volume, dash, "-")
}

// Thin reports the thin pools of a volume group that recovery makes anew: empty.
func (l Layout) Thin() (out []Component) {
	for _, c := range l.Of("lvmvol") {
		if strings.HasPrefix(c.Type, "thin,pool") {
			out = append(out, c)
		}
	}
	return out
}

// Diff says in which active components two layouts differ, one line each, sorted;
// their order in the file does not count (that of btrfs subvolumes is random).
func Diff(was, is Layout) []string {
	count := map[string]int{}
	for _, c := range was.Components {
		if c.Active {
			count[c.Line]--
		}
	}
	for _, c := range is.Components {
		if c.Active {
			count[c.Line]++
		}
	}
	var out []string
	for line, n := range count {
		switch {
		case n < 0:
			out = append(out, "was: "+line)
		case n > 0:
			out = append(out, "is:  "+line)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if a, b := out[i][5:], out[j][5:]; a != b {
			return a < b
		}
		return out[i] > out[j]
	})
	return out
}

// Dep is one line of diskdeps.conf: Child cannot be made before Parent.
type Dep struct{ Child, Parent string }

// ParseDeps reads a diskdeps.conf. A file system is "fs:" and its mount point.
func ParseDeps(r io.Reader) ([]Dep, error) {
	var out []Dep
	err := lines(r, func(n int, text string) error {
		word := strings.Fields(text)
		switch {
		case len(word) == 0 || strings.HasPrefix(word[0], "#"):
			return nil
		case len(word) != 2:
			return &Error{n, fmt.Sprintf("a dependency has %d words, want 2", len(word))}
		}
		out = append(out, Dep{word[0], word[1]})
		return nil
	})
	return out, err
}
