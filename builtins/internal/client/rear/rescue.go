package rear

import (
	"context"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/initramfs"
	"github.com/neosofia/runner/builtins/internal/format/layout"
)

// Rescue is what the initial RAM disk of an image holds.
type Rescue struct {
	Layout     layout.Layout
	Bootloader string // what the recovery will install: "GRUB2"

	tools   map[string]bool
	modules map[string]int // kernel version -> number of its modules
	init    bool
	laidOut bool
	conf    string
}

const (
	identity  = "AGE-SECRET-KEY-" // begins every identity of age
	maxLooked = 256 << 10         // files up to here are looked into for identities
	maxTools  = 50_000
	maxConfs  = 1 << 20 // bytes of /etc/rear
	kernels   = 16      // whose modules an image may hold
)

func (i *Inspector) initrd(ctx context.Context, r io.Reader) error {
	res := &i.Rescue
	res.tools, res.modules = map[string]bool{}, map[string]int{}
	err := initramfs.Walk(ctx, r, func(e initramfs.Entry, content io.Reader) error {
		if s := i.secret(e.Name); s != "" {
			return bad("the image holds %s, which is secret", s)
		}
		return res.take(e, content)
	})
	if fault := new(initramfs.Error); errors.As(err, &fault) {
		return bad("%v", fault)
	}
	return err
}

// secret reports that a name lies below one of those that no image may hold.
func (i *Inspector) secret(name string) string {
	name = path.Clean("/" + name)
	for _, s := range i.Plan.Secrets {
		if s = path.Clean("/" + s); name == s || strings.HasPrefix(name, s+"/") {
			return name
		}
	}
	return ""
}

func (res *Rescue) take(e initramfs.Entry, content io.Reader) error {
	dir, base := path.Split(e.Name)
	switch {
	case e.Name == "init":
		res.init = true
	case e.Mode.IsDir():
		return nil
	case dir == "bin/" || dir == "sbin/" || dir == "usr/bin/" || dir == "usr/sbin/":
		if len(base) > 64 || len(res.tools) == maxTools {
			return nil
		}
		res.tools[base] = true
		return nil
	case strings.Contains(base, ".ko"):
		if rest, ok := strings.CutPrefix(strings.TrimPrefix(e.Name, "usr/"), "lib/modules/"); ok {
			version, _, _ := strings.Cut(rest, "/")
			if len(res.modules) == kernels && res.modules[version] == 0 {
				return bad("it holds the modules of more than %d kernels", kernels)
			}
			res.modules[version]++
		}
		return nil
	}
	if !e.Mode.IsRegular() || e.Size > maxLooked && !strings.HasPrefix(e.Name, "var/lib/rear/") {
		return nil
	}
	text, err := small(content)
	if err != nil {
		return err
	}
	if strings.Contains(text, identity) {
		return bad("%s inside the image holds an identity of age", e.Name)
	}
	switch e.Name {
	case "var/lib/rear/layout/disklayout.conf":
		res.Layout, err = layout.Parse(strings.NewReader(text))
		res.laidOut = err == nil
	case "var/lib/rear/recovery/bootloader":
		res.Bootloader = strings.TrimSpace(text)
	}
	if strings.HasPrefix(e.Name, "etc/rear/") {
		if len(res.conf)+len(text) > maxConfs {
			return bad("its configuration of rear has more than %d bytes", maxConfs)
		}
		res.conf += text
	}
	return blame(err)
}

// check demands what a recovery of that layout needs.
func (res *Rescue) check(p *Plan, kernel string) error {
	n := 0
	for _, count := range res.modules {
		n += count
	}
	switch {
	case !res.init:
		return bad("the initial RAM disk has no /init")
	case n == 0:
		return bad("the image has no kernel modules: it finds no disk and no network")
	case res.modules[kernel] == 0:
		return bad("the image has modules, but none of its kernel %s", kernel)
	case !res.tools["udevadm"]:
		return bad("the image has no udev: it finds no disk and no network (install udev on the host)")
	case !res.laidOut || len(res.Layout.Whole()) == 0:
		return bad("the image's layout names no disk to recover")
	case !res.Layout.Makes("/"):
		return bad("the image's layout makes no file system for /: a recovery would leave nothing to start")
	case res.Bootloader == "":
		return bad("the image does not know which boot loader to install")
	case !strings.Contains(res.conf, "runner_before_recovery"):
		return bad("the image asks nothing before a recovery: it was not made with runner's configuration")
	}
	for _, d := range res.Layout.Whole() {
		if d.Size == 0 && (d.Kind == "disk" || d.Kind == "multipath") {
			return bad("the layout gives %s no size", d.Device)
		}
	}
	return res.needs(p)
}

// needs demands the tools of the layout.
func (res *Rescue) needs(p *Plan) error {
	want := map[string]string{"bash": "everything", "mount": "everything", "tar": "the archive", "gzip": "the archive",
		"dd": "the question before a recovery"}
	for _, c := range res.Layout.Components {
		if !c.Active {
			continue
		}
		switch c.Kind {
		case "part":
			want["parted"] = c.Device
		case "lvmgrp":
			want["lvm"] = c.Device
		case "crypt":
			want["cryptsetup"] = c.Device
		case "raidarray":
			want["mdadm"] = c.Device
		case "multipath":
			want["multipath"] = c.Device
		case "drbd":
			want["drbdadm"] = c.Device
		case "dasdfmt":
			want["dasdfmt"] = c.Device
		case "btrfsnormalsubvol", "btrfsmountedsubvol":
			want["btrfs"] = c.Device
		case "swap":
			want["mkswap"] = c.Device
		case "fs":
			want["mkfs."+c.Type] = c.Mount
		}
	}
	if p.Encrypted {
		want["openssl"] = "the archive"
	}
	for tool, of := range want {
		if !res.tools[tool] && !(tool == "parted" && res.tools["sfdisk"]) {
			return bad("the image has no %s, which recovering %s needs", tool, of)
		}
	}
	return nil
}
