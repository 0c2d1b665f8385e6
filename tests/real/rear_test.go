package real

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rescued is this machine with a kernel of Debian's, as far as ReaR sees it: the
// kernel is unpacked beside the system and bound over /boot and /usr/lib/modules
// in a mount namespace of its own, so the system stays as it is.
type rescued struct {
	t      *testing.T
	dir    string // on the root file system, and not below /tmp
	kernel string // version
	site   string
	binds  [][2]string
}

func newRescued(t *testing.T) *rescued {
	t.Helper()
	needs(t)
	for program, pkg := range map[string]string{"rear": "rear", "udevadm": "udev", "depmod": "kmod", "xorrisofs": "xorriso",
		"extlinux": "extlinux", "parted": "parted", "sgdisk": "gdisk",
		"mkfs.vfat": "dosfstools", "unshare": "util-linux", "openssl": "openssl", "apt-get": "apt", "dpkg-deb": "dpkg",
		"qemu-system-x86_64": "qemu-system-x86 seabios"} {
		if _, err := find(program); err != nil {
			t.Fatalf("%s is missing: apt-get install %s (with rear: isolinux syslinux syslinux-common genisoimage mtools)", program, pkg)
		}
	}
	dir, err := os.MkdirTemp("/var/tmp", "runner-real-rear-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rescued{t: t, dir: dir}
	r.unpackKernel()
	r.site = fmt.Sprintf("host(name = \"here\", local = True)\nkeyring(dir = %q, password_file = %q)\nasset(name = \"operating_systems\")\n",
		r.path("keyring"), r.path("password"))
	r.put("password", "real keyring\n")
	return r
}

func (r *rescued) path(parts ...string) string {
	return filepath.Join(append([]string{r.dir}, parts...)...)
}

func (r *rescued) put(name, text string) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Dir(r.path(name)), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.path(name), []byte(text), 0o700); err != nil {
		r.t.Fatal(err)
	}
}

// unpackKernel fetches the kernel that Debian's cloud image has.
func (r *rescued) unpackKernel() {
	r.t.Helper()
	name := regexp.MustCompile(`linux-image-(\S+-cloud-amd64)`).FindStringSubmatch(tool(r.t, "apt-cache", "depends",
		"linux-image-cloud-amd64"))
	if name == nil {
		r.t.Fatal("apt knows no kernel package linux-image-cloud-amd64: apt-get update")
	}
	r.kernel = name[1]
	c := exec.CommandContext(r.t.Context(), "apt-get", "download", "-q", name[0])
	c.Dir = r.dir
	if out, err := c.CombinedOutput(); err != nil {
		r.t.Fatalf("download %s: %v\n%s", name[0], err, out)
	}
	debs, err := filepath.Glob(r.path("linux-image-*.deb"))
	if err != nil || len(debs) != 1 {
		r.t.Fatalf("got %v, %v", debs, err)
	}
	tool(r.t, "dpkg-deb", "-x", debs[0], r.path("kernel"))
	tool(r.t, "depmod", "-b", r.path("kernel"), r.kernel)
	if err := os.MkdirAll("/usr/lib/modules", 0o755); err != nil {
		r.t.Fatal(err)
	}
	r.binds = [][2]string{{r.path("kernel", "lib", "modules"), "/usr/lib/modules"}, {r.path("kernel", "boot"), "/boot"}}
}

// runner runs the program where the kernel is bound.
func (r *rescued) runner(stdin string, args ...string) (string, int) {
	r.t.Helper()
	bin, err := build()
	if err != nil {
		r.t.Fatal(err)
	}
	r.put("site.star", r.site)
	script := "set -e\n"
	for _, b := range r.binds {
		script += fmt.Sprintf("mount --bind %s %s\n", b[0], b[1])
	}
	all := append([]string{"-m", "bash", "-c", script + `exec "$@"`, "bash", bin},
		append(args, "-v", "--site", r.path("site.star"), "--state", r.path("state"))...)
	c := exec.CommandContext(r.t.Context(), "unshare", all...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		r.t.Fatal(err)
	}
	return string(out), c.ProcessState.ExitCode()
}

// policy runs a policy of one line, which has to end with code.
func (r *rescued) policy(code int, line string) string {
	r.t.Helper()
	r.put("policy.star", "policy(sop = \"IT-245\", section = \"Operating Systems\", version = \"1.0.0\")\n\ndef main():\n    "+line+"\n")
	begin := time.Now()
	out, got := r.runner("", "exec", r.path("policy.star"))
	r.t.Logf("%v for %s", time.Since(begin).Round(time.Second), line)
	if got != code {
		log, _ := os.ReadFile("/var/log/rear/rear-" + hostname(r.t) + ".log")
		r.t.Fatalf("exit %d, want %d\n%s\nrear's log ends:\n%s", got, code, out, tail(string(log), 3000))
	}
	return out
}

func hostname(t *testing.T) string {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	short, _, _ := strings.Cut(name, ".")
	return short
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// erasing are the lines that runner writes for guests which a recovery erases:
// whether ReaR shows them in its menu is for ReaR to prove.
const erasing = `"KERNEL_CMDLINE=\"$KERNEL_CMDLINE runner.erases=100\"", "case \"$WORKFLOW\" in (mkbackup|mkrescue) IPADDR='this host: RECOVERY ERASES GUESTS 100 (erp). Built' ;; esac"`

// common are the settings that this machine needs: its disk cannot be opened, so
// no boot loader is found on it, and its archive is kept small.
func (r *rescued) common() string {
	return fmt.Sprintf(`host = "here", kernel = %q, dir = %q, settings = ["BOOTLOADER=GRUB", "FIRMWARE_FILES=( 'no' )", "USE_DHCLIENT=no", "BACKUP_ONLY_INCLUDE=yes", "BACKUP_PROG_INCLUDE=( /etc %s )", %s]`,
		r.kernel, r.path("rear"), r.path("data"), erasing)
}

// one finds the only file of that pattern.
func one(t *testing.T, pattern string) string {
	t.Helper()
	list, err := filepath.Glob(pattern)
	if err != nil || len(list) != 1 {
		t.Fatalf("%s: got %v, %v", pattern, list, err)
	}
	return list[0]
}

// Debian's ReaR 2.7 makes a true image of this machine. Two disks hold copies, one
// below /mnt, where ReaR leaves it out by itself, and one below /srv, where it
// would make it anew. The rescue system, started in a virtual machine, asks before
// it erases.
func TestReaRMakesAnImageThatLeavesTheCopiesAlone(t *testing.T) {
	r := newRescued(t)
	r.put("data/keyring/secret", "the keyring's own words")
	r.put("data/file", "a file of the host")
	r.site = strings.Replace(r.site, r.path("keyring"), r.path("data", "keyring"), 1)
	mounts := map[string]string{"mnt": fmt.Sprintf("/mnt/runner-real-%d", os.Getpid()), "srv": fmt.Sprintf("/srv/runner-real-%d", os.Getpid())}
	loops := map[string]string{}
	for name, at := range mounts {
		d := newDisk(t, t.TempDir(), name, strings.ToUpper(name))
		d.mount(at)
		t.Cleanup(func() { d.unmount(); os.Remove(at) })
		loops[name] = d.loop
		r.site += fmt.Sprintf("target(name = %q, url = \"file://%s\", medium = \"disk\", location = \"here\")\n", name, at)
	}
	// The machine's disk has no partition table, which ReaR says may fail: degraded.
	out := r.policy(3, `verify(copies = copy(artifact = rear_host(`+r.common()+`, console = True), to = ["mnt", "srv"]), level = "opened")`)
	if !strings.Contains(out, "No partition label type for 'disk") {
		t.Errorf("what rear warns of is not told:\n%s", out)
	}
	made := filepath.Dir(one(t, r.path("rear", "*", "plan.json")))
	layout, err := os.ReadFile(filepath.Join(made, "disklayout.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for name, at := range mounts {
		if strings.Contains(string(layout), "\nfs "+loops[name]+" "+at+" ") ||
			!strings.Contains(string(layout), "\n#fs "+loops[name]+" "+at+" ") {
			t.Errorf("a recovery would make %s anew:\n%s", at, layout)
		}
	}
	iso := filepath.Join(made, "rear-"+hostname(t)+".iso")
	into := r.path("iso")
	tool(t, "xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", into)
	list := tool(t, "tar", "-tzf", filepath.Join(into, "backup", "backup.tar.gz"))
	if rel := strings.TrimPrefix(r.path("data"), "/"); !strings.Contains(list, rel+"/file\n") ||
		strings.Contains(list, rel+"/keyring/secret") {
		t.Errorf("the archive holds the keyring, or not the host's file:\n%s", tail(list, 500))
	}
	if got := tool(t, "bash", "-c", "zcat "+filepath.Join(into, "isolinux", "initrd.cgz")+
		" | grep -c \"the keyring's own words\" || true"); strings.TrimSpace(got) != "0" {
		t.Errorf("the image holds the keyring: %s", got)
	}
	menu, err := os.ReadFile(filepath.Join(into, "isolinux", "isolinux.cfg"))
	for _, want := range []string{"runner.erases=100", "on this host: RECOVERY ERASES GUESTS 100 (erp)"} {
		if !strings.Contains(string(menu), want) {
			t.Errorf("the menu does not show %q:\n%s", want, menu)
		}
	}
	asks(t, filepath.Join(into, "isolinux", "kernel"), filepath.Join(into, "isolinux", "initrd.cgz"), r.path("empty.raw"))
	if err != nil || !strings.Contains(string(menu), "default boothd0") || !strings.Contains(string(menu), "serial 0") {
		t.Errorf("the menu starts something else than the disk, or knows no serial console: %v\n%s", err, menu)
	}
}

// asks boots the rescue system in a virtual machine with an empty disk, starts a
// recovery, and answers its question wrongly.
func asks(t *testing.T, kernel, initrd, disk string) {
	t.Helper()
	const question, refused = "Type the host's name (", "that is not its name: nothing was changed"
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 1<<30); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024", "-nodefaults", "-vga",
		"none", "-no-reboot", "-display", "none", "-monitor", "none", "-serial", "stdio",
		"-kernel", kernel, "-initrd", initrd, "-append", "root=/dev/ram0 rw selinux=0 console=ttyS0,115200 net.ifnames=0 auto_recover", "-drive",
		"file="+disk+",format=raw,if=virtio")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = c.Wait() }() // it waits in a menu for good
	said, answered := []byte{}, false
	for buf := make([]byte, 4096); !bytes.Contains(said, []byte(refused)); {
		n, err := out.Read(buf)
		if said = append(said, buf[:n]...); err != nil {
			t.Fatalf("the rescue system ended before it refused: %v\n%s", err, tail(string(said), 3000))
		}
		if !answered && bytes.Contains(said, []byte(question)) {
			answered = true
			t.Logf("%v until the rescue system asked", time.Since(begin).Round(time.Second))
			if _, err := in.Write([]byte("wrong\r")); err != nil {
				t.Fatal(err)
			}
		}
	}
	st, err := os.Stat(disk)
	if err != nil {
		t.Fatal(err)
	}
	if blocks := st.Sys().(*syscall.Stat_t).Blocks; blocks != 0 {
		t.Errorf("the disk was written to: %d blocks", blocks)
	}
}

// A guest whose disk lies on the system's own file system: the layout file of such
// a host takes the place of a thin pool, which this kernel has not.
func TestReaRsMenuSaysWhichGuestsItErases(t *testing.T) {
	r := newRescued(t)
	r.put("pve/storage.cfg", "dir: local\n\tpath /var/lib/vz\n\tcontent images\n")
	r.put("pve/nodes/"+hostname(t)+"/qemu-server/100.conf", "name: erp\nscsi0: local:100/vm-100-disk-0.raw,size=4G\n")
	if err := os.MkdirAll("/etc/pve", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove("/etc/pve") })
	r.binds = append(r.binds, [2]string{r.path("pve"), "/etc/pve"})
	out := r.policy(1, `rear_host(`+r.common()+`)`)
	if !strings.Contains(out, "E_LAYOUT_HOLDS_GUESTS") || !strings.Contains(out, "100 (erp)") {
		t.Errorf("got\n%s", out)
	}
}

// A stick on a loop device, which has no serial: what lsblk would say of a true one
// is put in its place. ReaR formats it, writes it, and makes it start.
func TestReaRWritesAStick(t *testing.T) {
	r := newRescued(t)
	img := r.path("stick.img")
	r.put("stick.img", "")
	if err := os.Truncate(img, 1500<<20); err != nil {
		t.Fatal(err)
	}
	loop := strings.TrimSpace(tool(t, "losetup", "-f", "--show", img))
	t.Cleanup(func() {
		_ = exec.Command("partx", "-d", loop).Run() // parted made them
		_ = exec.Command("losetup", "-d", loop).Run()
	})
	r.put("format/local.conf", "OUTPUT=USB\nUSER_INPUT_TIMEOUT=1\nUSB_UEFI_PART_SIZE=64\n")
	tool(t, "rear", "-c", r.path("format"), "-v", "format", "--", "--yes", loop)
	part := loop + "p3"
	uuid := strings.TrimSpace(tool(t, "blkid", "-p", "-s", "UUID", "-o", "value", part))
	if uuid == "" {
		t.Fatal("the stick has no file system")
	}
	r.lsblk(loop, part, uuid)
	r.put("data/file", "a file of the host")
	if out, code := r.runner("correct horse battery staple", "secret", "set", "rear-key"); code != 0 {
		t.Fatalf("set rear-key: %s", out)
	}
	stick := fmt.Sprintf(`output = "usb", usb = "REALSTICK1", usb_uuid = %q, `, uuid)
	if out := r.policy(1, `rear_host(`+stick+r.common()+`)`); !strings.Contains(out, "E_REAR_CLEAR") {
		t.Errorf("got\n%s", out)
	}
	r.policy(3, `rear_host(`+stick+`key = "rear-key", `+r.common()+`)`)
	made := filepath.Dir(one(t, r.path("rear", "*", "backup.tar.gz")))
	c := exec.Command("bash", "-c", `openssl enc -d -aes-256-cbc -pbkdf2 -k "correct horse battery staple" -in "$1" | tar -tz`, "bash",
		filepath.Join(made, "backup.tar.gz"))
	if list, err := c.CombinedOutput(); err != nil || !strings.Contains(string(list), strings.TrimPrefix(r.path("data/file"), "/")) {
		t.Errorf("the archive does not open with the key: %v\n%s", err, tail(string(list), 500))
	}
	at := r.path("mnt")
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	tool(t, "mount", "-o", "ro", part, at)
	defer tool(t, "umount", at)
	for _, f := range []string{"boot/syslinux/ldlinux.sys", "rear/" + hostname(t) + "/runner-" + filepath.Base(made) + "/initrd.cgz"} {
		if st, err := os.Stat(filepath.Join(at, f)); err != nil || st.Size() == 0 {
			t.Errorf("%s is not on the stick: %v", f, err)
		}
	}
	if out, err := exec.Command("grep", "-r", "-l", "correct horse", at, made).CombinedOutput(); err == nil {
		t.Errorf("the key lies in clear in %s", out)
	}
}

// lsblk makes lsblk say of the loop device what it says of a stick where udev runs.
func (r *rescued) lsblk(loop, part, uuid string) {
	r.t.Helper()
	var all map[string][]map[string]any
	if err := json.Unmarshal([]byte(tool(r.t, "lsblk", "-J", "-b", "-o", "NAME,PATH,TYPE,SIZE,FSTYPE,UUID,LABEL,SERIAL,TRAN,MOUNTPOINTS")),
		&all); err != nil {
		r.t.Fatal(err)
	}
	found := false
	for _, d := range all["blockdevices"] {
		if d["path"] != loop {
			continue
		}
		d["serial"], found = "REALSTICK1", true
		d["children"] = []map[string]any{{"name": filepath.Base(part), "path": part, "type": "part", "size": 1 << 30, "fstype": "ext3",
			"uuid": uuid, "label": "REAR-000", "mountpoints": []any{nil}}}
	}
	raw, err := json.Marshal(all)
	if err != nil || !found {
		r.t.Fatalf("lsblk does not show %s: %v", loop, err)
	}
	program, err := exec.LookPath("lsblk")
	if err != nil {
		r.t.Fatal(err)
	}
	r.put("lsblk.json", string(raw))
	tool(r.t, "cp", program, r.path("lsblk.true"))
	r.put("lsblk.sh", "#!/bin/sh\ncase \" $* \" in *' -J '*) exec cat "+r.path("lsblk.json")+";; esac\nexec "+r.path("lsblk.true")+" \"$@\"\n")
	r.binds = append(r.binds, [2]string{r.path("lsblk.sh"), program})
}
