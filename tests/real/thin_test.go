package real

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// thinPackages are what ReaR and the host need besides Debian's minimal base.
const thinPackages = "rear,less,xorriso,isolinux,syslinux-common,extlinux,genisoimage,parted,gdisk,fdisk,dosfstools,e2fsprogs,lvm2,thin-provisioning-tools,cryptsetup-bin," +
	"udev,kmod,linux-image-cloud-amd64,initramfs-tools,iproute2,openssl,util-linux,file,bc,attr,procps,cpio"

// machineDir is the folder of an emulated machine. Such a test runs beside others of its
// kind: it takes one processor, and shares nothing.
func machineDir(t *testing.T, name string) string {
	t.Helper()
	needs(t, "debootstrap", "mke2fs", "qemu-system-x86_64")
	t.Parallel()
	dir, err := os.MkdirTemp("/var/tmp", "runner-real-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A virtual machine of Debian 13, with its ReaR, is laid out as Proxmox's installer
// does it: root and the guests' thin pool in one volume group. Copies lie on two
// LUKS disks, one below /mnt, where ReaR leaves mounts out by itself, and one below
// /srv, where it would make them anew.
func TestAThinPoolBesideRootAndLUKSDisksOfCopies(t *testing.T) {
	dir := machineDir(t, "thin")
	kernel, initrd := thinHost(t, dir)
	results := boot(t, kernel, initrd, dir, []drive{{"PVESYS1", 6 << 30}, {"COPIES1", 1 << 30}, {"COPIES2", 1 << 30}})

	for name, want := range map[string]struct {
		code  string
		words []string
	}{
		"check":   {"4", []string{"FAULT", "would erase guest 100 (erp) (in /dev/pve, on the disk of the system)"}},
		"refused": {"1", []string{"E_LAYOUT_HOLDS_GUESTS", "would erase guest 100 (erp) (in /dev/pve"}},
		"image": {"", []string{"opened on mnt, srv", "leaves /dev/vdc alone: target mnt", "leaves /dev/vdd alone: target srv",
			"leaves /dev/mapper/copies2 alone: target srv"}},
		"status": {"", []string{"a recovery of pve1 erases guest 100 (erp), which the site does not protect: made anew"}},
	} {
		text, code := results(name+".txt"), strings.TrimSpace(results(name+".code"))
		if want.code == "" && code != "0" && code != "3" || want.code != "" && code != want.code {
			t.Errorf("%s: exit %s\n%s", name, code, text)
		}
		for _, w := range want.words {
			if !strings.Contains(text, w) {
				t.Errorf("%s does not say %q:\n%s", name, w, text)
			}
		}
	}
	layout := results("disklayout.conf")
	for _, want := range []string{"\nlvmvol /dev/pve data 536870912b thin,pool", "\nlvmvol /dev/pve vm-100-disk-0 268435456b thin",
		"\n#fs /dev/mapper/copies1 /mnt/copies ", "\n#fs /dev/mapper/copies2 /srv/copies ",
		"\n#crypt /dev/mapper/copies1 /dev/vdc ", "\n#crypt /dev/mapper/copies2 /dev/vdd ", "\n#disk /dev/vdc ", "\n#disk /dev/vdd "} {
		if !strings.Contains(layout, want) {
			t.Errorf("the layout does not hold %q:\n%s", strings.TrimSpace(want), layout)
		}
	}
	if isos := strings.Fields(results("isos.txt")); len(isos) != 2 {
		t.Errorf("got images %v, want one on each disk of copies", isos)
	}
}

// thinHost makes the machine's first disk, and gives its kernel and initial RAM disk.
func thinHost(t *testing.T, dir string) (kernel, initrd string) {
	t.Helper()
	site := `host(name = "pve1", local = True)
keyring(dir = "/var/lib/runner/keyring", password_file = "/test/password")
asset(name = "operating_systems")
target(name = "mnt", url = "file:///mnt/copies", medium = "disk", location = "here")
target(name = "srv", url = "file:///srv/copies", medium = "disk", location = "here")
`
	return host(t, dir, "thin", thinPackages, map[string]string{
		"site.star":  site,
		"given.star": site + `unprotected(guest = "erp", reason = "made anew", until = "2099-01-01")` + "\n",
		"password":   "real keyring\n",
		"image.star": `policy(sop = "IT-245", section = "Operating Systems", version = "1.0.0")

def main():
    image = rear_host(host = "pve1", settings = ["BOOTLOADER=GRUB", "FIRMWARE_FILES=( 'no' )", "USE_DHCLIENT=no", "BACKUP_ONLY_INCLUDE=yes", "BACKUP_PROG_INCLUDE=( /etc )"])
    verify(copies = copy(artifact = image, to = ["mnt", "srv"]), level = "opened")
`})
}

// host makes the first disk of a machine of Debian 13 with runner, with the scripts of a
// folder of testdata and other files below /test, and gives its kernel and initial RAM disk.
func host(t *testing.T, dir, scripts, packages string, files map[string]string) (kernel, initrd string) {
	t.Helper()
	tree := filepath.Join(dir, "tree")
	begin := time.Now()
	tool(t, "debootstrap", "--variant=minbase", "--include="+packages, "trixie", tree)
	t.Logf("%v for Debian 13", time.Since(begin).Round(time.Second))
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	tool(t, "install", "-D", bin, filepath.Join(tree, "usr", "local", "bin", "runner"))
	put := func(name, text string) {
		t.Helper()
		name = filepath.Join(tree, "test", name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, script := range []string{"init", "run"} {
		text, err := os.ReadFile(filepath.Join("testdata", scripts, script))
		if err != nil {
			t.Fatal(err)
		}
		put(script, string(text))
	}
	for name, text := range files {
		put(name, text)
	}
	disk := filepath.Join(dir, "tree.img")
	empty(t, disk, 2<<30)
	tool(t, "mke2fs", "-q", "-t", "ext4", "-d", tree, disk)
	return one(t, filepath.Join(tree, "boot", "vmlinuz-*")), one(t, filepath.Join(tree, "boot", "initrd.img-*"))
}

func empty(t *testing.T, name string, size int64) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
}

// drive is an empty disk of a machine, by its serial.
type drive struct {
	serial string
	size   int64
}

// boot runs the machine to its end, and gives a reader of the files that it left.
func boot(t *testing.T, kernel, initrd, dir string, drives []drive) func(name string) string {
	t.Helper()
	args := []string{"-accel", "tcg", "-smp", "1", "-m", "3072", "-nodefaults", "-vga", "none", "-no-reboot", "-display", "none",
		"-monitor", "none", "-serial", "stdio",
		"-kernel", kernel, "-initrd", initrd, "-append", "root=/dev/vda rw console=ttyS0 init=/test/init net.ifnames=0 panic=1 quiet"}
	drives = append(drives, drive{"RESULT1", 64 << 20})
	for i, d := range append([]drive{{"tree", 0}}, drives...) {
		serial := d.serial
		// What is written to the tree goes with the process: each start finds it as it was made.
		args = append(args, "-drive", fmt.Sprintf("file=%s,format=raw,if=none,id=d%d,cache=unsafe,snapshot=%s",
			filepath.Join(dir, serial+".img"), i,
			map[bool]string{true: "on", false: "off"}[serial == "tree"]), "-device",
			fmt.Sprintf("virtio-blk-pci,drive=d%d,serial=%s", i, serial))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Minute)
	defer cancel()
	// A test that runs out of time ends without cleaning up. The machine goes with the
	// thread that started it, which therefore has to be this test's own.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var out []byte
	// An emulated processor makes a kernel fall now and then (seen once in some twenty
	// starts, in kmalloc): that says nothing of the product, so the machine starts anew.
	for left := 2; ; left-- {
		for _, d := range drives {
			file := filepath.Join(dir, d.serial+".img")
			if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			empty(t, file, d.size)
		}
		begin := time.Now()
		var err error
		machine := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
		machine.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err = machine.CombinedOutput()
		t.Logf("%v for the machine", time.Since(begin).Round(time.Second))
		if left > 0 && err == nil && strings.Contains(string(out), "Kernel panic - not syncing") {
			t.Logf("the machine's kernel fell:\n%s", tail(string(out), 2000))
			continue
		}
		if err != nil || strings.Contains(string(out), "INIT FAILED") {
			t.Fatalf("run the machine: %v\n%s", err, tail(string(out), 4000))
		}
		break
	}
	into := filepath.Join(dir, "results")
	if err := os.Mkdir(into, 0o700); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			t.Logf("the machine said\n%s", tail(string(out), 6000))
		}
	}()
	if out, err := exec.Command("tar", "-C", into, "-xf", filepath.Join(dir, "RESULT1.img")).CombinedOutput(); err != nil {
		t.Fatalf("read what the machine left: %v\n%s", err, out)
	}
	if list, err := os.ReadDir(into); err != nil || len(list) == 0 {
		t.Fatalf("the machine left nothing: %v", err)
	}
	return func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(into, name))
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
}
