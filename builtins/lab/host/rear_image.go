package host

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

// image makes the parts of a rescue medium: kernel, initial RAM disk, menu.
func (r *rearRun) image(layout string) (map[string][]byte, error) {
	files := map[string]string{
		"init": "#!/bin/bash\n", "var/lib/rear/layout/disklayout.conf": layout, "var/lib/rear/recovery/bootloader": "GRUB\n",
		"etc/rear/local.conf": r.conf.raw, "etc/hostname": r.host + "\n",
	}
	for _, tool := range []string{"bash", "mount", "tar", "gzip", "dd", "parted", "lvm", "cryptsetup", "mkswap", "mkfs.ext3", "mkfs.ext4",
		"mkfs.vfat", "openssl", "udevadm"} {
		files["bin/"+tool] = "program\n"
	}
	if r.deeds["no-modules"] == "" {
		for _, m := range []string{"ahci", "virtio_blk", "ext4"} {
			files["lib/modules/"+rearKernel+"/kernel/"+m+".ko"] = "module\n"
		}
	}
	if r.deeds["no-udev"] != "" {
		delete(files, "bin/udevadm")
	}
	if path := r.deeds["leaks"]; path != "" {
		files[strings.TrimPrefix(path[1:], "/")] = "secret\n"
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(newc(files)); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return map[string][]byte{
		"isolinux/kernel": kernelImage(), "isolinux/initrd.cgz": packed.Bytes(), "isolinux/isolinux.cfg": []byte(r.menu()),
		"isolinux/isolinux.bin": bytes.Repeat([]byte{0x90}, 2048),
	}, nil
}

func (r *rearRun) menu() string {
	cmdline := "root=/dev/ram0 rw " + r.conf.one["KERNEL_CMDLINE"]
	m := "display message\nMENU title Relax-and-Recover v2.7\nlabel rear\nMENU label ^Recover " + r.host +
		"\nkernel kernel\nappend initrd=initrd.cgz " + cmdline +
		"\nlabel rear-automatic\nMENU label ^Automatic Recover " + r.host + "\nkernel kernel\nappend initrd=initrd.cgz " + cmdline +
		" auto_recover " + r.conf.one["ISO_RECOVER_MODE"] + "\n"
	if r.conf.one["ISO_DEFAULT"] == "automatic" || r.deeds["alone"] != "" {
		return m + "default rear-automatic\n"
	}
	return m + "label boothd0\ndefault boothd0\nMENU default\nkernel chain.c32\nappend hd0\n"
}

// kernelImage has the boot header that a kernel's version is read from.
func kernelImage() []byte {
	k := make([]byte, 8192)
	copy(k[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(k[0x20e:], 0x400)
	copy(k[0x600:], rearKernel+" (build@lab) #1 SMP\x00")
	return k
}

// newc packs files as the kernel's cpio.
func newc(files map[string]string) []byte {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	var b bytes.Buffer
	put := func(name, content string, mode int) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1,
			0)
		b.WriteString(name + "\x00")
		for b.Len()%4 != 0 {
			b.WriteByte(0)
		}
		b.WriteString(content)
		for b.Len()%4 != 0 {
			b.WriteByte(0)
		}
	}
	for _, name := range names {
		put(name, files[name], 0o100755)
	}
	put("TRAILER!!!", "", 0)
	return b.Bytes()
}

// isoImage makes a bootable image of files.
func isoImage(files map[string][]byte) ([]byte, error) {
	dir, err := os.MkdirTemp("", "lab-rear-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	work := filepath.Join(dir, "files")
	for name, content := range files {
		if err := writeBelow(filepath.Join(work, name), content); err != nil {
			return nil, err
		}
	}
	f, err := os.Create(filepath.Join(dir, "x.iso"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	img, err := iso9660.Create(file.New(f, false), 0, 0, 2048, work)
	if err != nil {
		return nil, err
	}
	err = img.Finalize(iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: "REAR-ISO", ElTorito: &iso9660.ElTorito{
		BootCatalog: "isolinux/boot.cat", Entries: []*iso9660.ElToritoEntry{{Platform: iso9660.BIOS, Emulation: iso9660.NoEmulation,
			BootFile: "isolinux/isolinux.bin"}},
	}})
	if err != nil {
		return nil, err
	}
	return os.ReadFile(f.Name())
}
