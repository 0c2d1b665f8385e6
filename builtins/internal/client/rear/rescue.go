package rear

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
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
	case !res.laidOut || len(res.Layout.Of("disk"))+len(res.Layout.Of("raid")) == 0:
		return bad("the image's layout names no disk to recover")
	case res.Bootloader == "":
		return bad("the image does not know which boot loader to install")
	case !strings.Contains(res.conf, "runner_before_recovery"):
		return bad("the image asks nothing before a recovery: it was not made with runner's configuration")
	}
	for _, d := range res.Layout.Of("disk") {
		if d.Size == 0 {
			return bad("the layout gives %s no size", d.Device)
		}
	}
	return res.needs(p)
}

// needs demands the tools of the layout.
func (res *Rescue) needs(p *Plan) error {
	want := map[string]string{"bash": "everything", "mount": "everything", "tar": "the archive", "gzip": "the archive", "dd": "the question before a recovery"}
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
		case "raid", "raidarray":
			want["mdadm"] = c.Device
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

// archive reads the backup to its end: every entry, the checksum, the trailer.
func (i *Inspector) archive(ctx context.Context, name string, r io.Reader) error {
	in := bufio.NewReaderSize(&stop{ctx, r}, 256<<10)
	head, err := in.Peek(8)
	if err != nil {
		return firstOf(in, bad("it is cut"))
	}
	if string(head) == "Salted__" {
		if !i.Plan.Encrypted {
			return bad("it is encrypted, and the plan knows of no key")
		}
		n, err := io.Copy(io.Discard, in)
		if err == nil && (n < 32 || n%16 != 0) {
			return bad("it is cut: %d bytes are no whole number of cipher blocks", n)
		}
		return err
	}
	if i.Plan.Encrypted {
		return bad("it is not encrypted, though it should be")
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		return unpacked(err)
	}
	defer z.Close()
	clear := bufio.NewReaderSize(z, 256<<10)
	t := tar.NewReader(clear)
	for n := int64(0); ; n++ {
		h, err := t.Next()
		if err == io.EOF {
			if n == 0 {
				return bad("it is empty")
			}
			break
		}
		if err != nil {
			return unpacked(err)
		}
		i.Entries++
		if s := i.secret(h.Name); s != "" && !(h.FileInfo().Mode()&fs.ModeDir != 0) {
			return bad("it holds %s, which is secret", s)
		}
		if h.Typeflag == tar.TypeReg && h.Size <= maxLooked {
			text, err := io.ReadAll(t)
			if err != nil {
				return unpacked(err)
			}
			if bytes.Contains(text, []byte(identity+"1")) && looksLikeIdentity(text) {
				return bad("%s inside it holds an identity of age: keep that elsewhere, or leave it out with exclude", h.Name)
			}
		}
	}
	if _, err := io.Copy(io.Discard, clear); err != nil {
		return unpacked(err)
	}
	return nil
}

// looksLikeIdentity tells a key from a program or text that speaks of keys.
func looksLikeIdentity(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); bytes.HasPrefix(line, []byte(identity)) && len(line) >= 70 && !bytes.ContainsAny(line, " \"'`") {
			return true
		}
	}
	return false
}

// stop ends reading with ctx.
type stop struct {
	ctx context.Context
	r   io.Reader
}

func (s *stop) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}

func firstOf(in *bufio.Reader, other error) error {
	if _, err := in.ReadByte(); err != nil && err != io.EOF {
		return err
	}
	return other
}

// unpacked tells damage of an archive from an error of its source.
func unpacked(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return bad("it is cut")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, tar.ErrHeader), strings.HasPrefix(err.Error(), "flate"), strings.HasPrefix(err.Error(), "archive/tar"):
		return bad("it is damaged: %v", err)
	}
	return err
}
