package rear

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/format/layout"
	"github.com/neosofia/runner/runtime/failure"
)

// devices of a Proxmox host: the installer's disk, a LUKS disk, a second group.
const (
	sda = `{"name":"sda","path":"/dev/sda","type":"disk","size":64424509440,"fstype":null,"serial":"SYS1","children":[
		{"name":"sda2","path":"/dev/sda2","type":"part","size":1073741824,"fstype":"vfat","uuid":"A1B2-C3D4","mountpoints":["/boot/efi"]},
		{"name":"sda3","path":"/dev/sda3","type":"part","size":63349702144,"fstype":"LVM2_member","mountpoints":[null],"children":[
			{"name":"pve-root","path":"/dev/mapper/pve-root","type":"lvm","size":15032385536,"fstype":"ext4","mountpoints":["/"]},
			{"name":"pve-swap","path":"/dev/mapper/pve-swap","type":"lvm","size":8589934592,"fstype":"swap","mountpoints":["[SWAP]"]},
			{"name":"pve-data_tmeta","path":"/dev/mapper/pve-data_tmeta","type":"lvm","size":1073741824,"children":[
				{"name":"pve-data","path":"/dev/mapper/pve-data","type":"lvm","size":35433480192,"children":[
					{"name":"pve-vm--100--disk--0","path":"/dev/mapper/pve-vm--100--disk--0","type":"lvm","size":4294967296}]}]}]}]}`
	sdb = `{"name":"sdb","path":"/dev/sdb","type":"disk","size":2000398934016,"serial":"USB1","tran":"usb","children":[
		{"name":"sdb1","path":"/dev/sdb1","type":"part","size":2000397868544,"fstype":"crypto_LUKS","uuid":"luks-1","children":[
			{"name":"offline-a","path":"/dev/mapper/offline-a","type":"crypt","size":2000381091328,"fstype":"ext4","uuid":"fs-1","mountpoints":["MOUNT"]}]}]}`
	sdc = `{"name":"sdc","path":"/dev/sdc","type":"disk","size":500107862016,"serial":"SSD1","children":[
		{"name":"ssd-vm--101--disk--0","path":"/dev/mapper/ssd-vm--101--disk--0","type":"lvm","size":4294967296}]}`
	sdd = `{"name":"sdd","path":"/dev/sdd","type":"disk","size":500107862016,"serial":"HOME1","children":[
		{"name":"sdd1","path":"/dev/sdd1","type":"part","size":500107862016,"fstype":"ext4","mountpoints":["/home"]},
		{"name":"sdd2","path":"/dev/sdd2","type":"part","size":500107862016,"fstype":"ext4","uuid":"fs-2","mountpoints":["/srv/copies"]}]}`
)

const storageCfg = `dir: local
	path /var/lib/vz
	content iso,vztmpl,backup

lvmthin: local-lvm
	thinpool data
	vgname pve
	content rootdir,images

lvm: ssd
	vgname ssd
	content images
	shared 0
`

func facts(t *testing.T, disks ...string) *Facts {
	t.Helper()
	list, err := ParseDevices([]byte(`{"blockdevices":[` + strings.Join(disks, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return &Facts{Host: "pve1", Version: "2.7", Devices: list, Secrets: []string{"/var/lib/runner"}}
}

func at(disk, mount string) string { return strings.ReplaceAll(disk, "MOUNT", mount) }

func names(p *Plan) (out []string) {
	for _, k := range p.Kept {
		out = append(out, k.Name)
	}
	return out
}

var options = Options{Artifact: "0123456789abcdef", Dir: "/var/lib/runner/rear", Output: "iso", Backup: "iso"}

func TestADiskWithCopiesIsLeftOutWhereverItIsMounted(t *testing.T) {
	for _, mount := range []string{"/mnt/offline-a", "/srv/offline-a", "/"} {
		t.Run(mount, func(t *testing.T) {
			f := facts(t, sda, at(sdb, mount))
			if mount == "/" {
				f = facts(t, at(sdb, "/srv/x"), sda)
				mount = "/srv/x"
			}
			f.Targets = []Held{{Target: "offline-a", Path: mount + "/runner"}}
			p, err := Prepare(f, options)
			if err != nil {
				t.Fatal(err)
			}
			if want := []string{"/dev/mapper/offline-a", "/dev/sdb", "/dev/sdb1", mount}; !slices.Equal(names(p), want) {
				t.Errorf("got %v, want %v", names(p), want)
			}
			conf := p.Conf(options)
			for _, want := range []string{"EXCLUDE_COMPONENTS+=( '/dev/mapper/offline-a' '/dev/sdb' '/dev/sdb1' )",
				"EXCLUDE_RECREATE+=( 'fs:" + mount + "' )", "'" + mount + "/*'"} {
				if !strings.Contains(conf, want) {
					t.Errorf("the configuration does not say %s:\n%s", want, conf)
				}
			}
		})
	}
}

func TestTargetsAreFoundByWhatTheyAre(t *testing.T) {
	for _, c := range []struct {
		name string
		held Held
		want []string
	}{
		{"an unmounted file system, by UUID", Held{Target: "a", UUID: "fs-1"}, []string{"/dev/mapper/offline-a", "/dev/sdb", "/dev/sdb1"}},
		{"a disk, by serial", Held{Target: "a", Serial: "USB1"}, []string{"/dev/sdb"}},
		{"a disk that is not there", Held{Target: "a", Serial: "USB9", UUID: "fs-9"}, nil},
		{"a network path", Held{Target: "a"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts(t, sda, at(sdb, ""))
			f.Targets = []Held{c.held}
			p, err := Prepare(f, options)
			if err != nil || !slices.Equal(names(p), c.want) {
				t.Errorf("got %v, %v; want %v", names(p), err, c.want)
			}
		})
	}
}

func TestATargetOnTheSystemsDiskIsRefused(t *testing.T) {
	for name, held := range map[string]Held{"a folder": {Target: "a", Path: "/srv/copies"}, "its serial": {Target: "a", Serial: "SYS1"},
		"a volume of it": {Target: "a", UUID: "A1B2-C3D4"}} {
		t.Run(name, func(t *testing.T) {
			f := facts(t, sda)
			f.Targets = []Held{held}
			var holds *HoldsError
			if _, err := Prepare(f, options); !errors.As(err, &holds) || !holds.Copies || !strings.Contains(err.Error(), "/dev/sda") {
				t.Errorf("got %v, want a refusal", err)
			}
		})
	}
}

func TestGuestsInTheRootsGroupAreNamed(t *testing.T) {
	f := facts(t, sda, sdc)
	f.Storages = ParseStorages(storageCfg)
	f.Guests = []Guest{
		ParseGuest("100", "name: erp\nscsi0: local-lvm:vm-100-disk-0,size=4G\nide2: none,media=cdrom\nscsihw: virtio-scsi-pci\n[snap]\nname: "+
			"old\nscsi1: ssd:vm-100-disk-9\n"),
		ParseGuest("101", "hostname: mail\nrootfs: ssd:vm-101-disk-0,size=4G\n"),
	}
	p, err := Prepare(f, options)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Shared, []string{"100 (erp)"}) || !slices.Equal(p.Erases, []string{"/dev/pve"}) ||
		!slices.Equal(p.Disks, []string{"/dev/sda"}) {
		t.Errorf("got shared %v, erases %v, disks %v; want erp, /dev/pve, /dev/sda", p.Shared, p.Erases, p.Disks)
	}
	if want := []string{"/dev/mapper/ssd-vm--101--disk--0", "/dev/sdc", "/dev/ssd"}; !slices.Equal(names(p), want) {
		t.Errorf("got %v, want %v", names(p), want)
	}
	conf := p.Conf(options)
	for _, want := range []string{"EXCLUDE_VG+=( 'ssd' )", "runner.erases=100", "It erases these guests, too: 100 (erp)",
		"PRE_RECOVERY_COMMANDS+=( runner_before_recovery )", "ISO_DEFAULT='boothd'", "'/var/lib/vz/images/*'", "'/var/lib/vz/dump/*'"} {
		if !strings.Contains(conf, want) {
			t.Errorf("the configuration does not say %s", want)
		}
	}
	if strings.Contains(conf, "unattended") || strings.Contains(conf, "automatic") {
		t.Error("the image starts by itself")
	}
	alone := options
	alone.Unattended = true
	if _, err := Prepare(f, alone); err == nil || !strings.Contains(err.Error(), "100 (erp)") {
		t.Errorf("got %v, want a refusal to start unattended", err)
	}
}

func TestWhatLiesBesideCopiesIsSaidToBeMissing(t *testing.T) {
	f := facts(t, sda, sdd)
	f.Targets = []Held{{Target: "copies", Path: "/srv/copies"}}
	p, err := Prepare(f, options)
	if err != nil || !slices.Equal(p.Missing, []string{"/home"}) {
		t.Errorf("got %v, %v; want /home", p, err)
	}
}

func TestLayoutsThatEraseAreRefused(t *testing.T) {
	f := facts(t, sda, at(sdb, "/srv/offline-a"))
	f.Targets = []Held{{Target: "offline-a", Path: "/srv/offline-a"}}
	f.Storages = ParseStorages(storageCfg)
	withGuest := *f
	withGuest.Guests = []Guest{ParseGuest("100", "name: erp\nscsi0: local-lvm:vm-100-disk-0\n")}
	const base = "disk /dev/sda 64424509440 gpt\nfs /dev/mapper/pve-root / ext4 uuid=1\n"
	for _, c := range []struct {
		name, layout string
		facts        *Facts
		copies       bool
		want         string
	}{
		{"one that leaves all alone", base + "#disk /dev/sdb 2000398934016 gpt\n#fs /dev/mapper/offline-a /srv/offline-a ext4\n", f, false, ""},
		{"the disk", base + "disk /dev/sdb 2000398934016 gpt\n", f, true, "target offline-a"},
		{"the container", base + "crypt /dev/mapper/offline-a /dev/sdb1 type=luks2\n", f, true, "target offline-a"},
		{"the mount", base + "fs /dev/sdz1 /srv/offline-a ext4 uuid=\n", f, true, "target offline-a"},
		{"a thin pool that nobody named", base + "lvmvol /dev/pve data 35433480192b thin,pool\n", f, false, "thin pool"},
		{"a thin pool that its guests are named for", base + "lvmvol /dev/pve data 35433480192b thin,pool\n", &withGuest, false, ""},
		{"a group with guests", base + "lvmgrp /dev/ssd 4096\n", f, false, "storage ssd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Prepare(c.facts, options)
			if err != nil {
				t.Fatal(err)
			}
			l, err := layout.Parse(strings.NewReader(c.layout))
			if err != nil {
				t.Fatal(err)
			}
			switch held := p.Refuse(l); {
			case held == nil && c.want != "":
				t.Errorf("it is taken; want a word of %s", c.want)
			case held != nil && (c.want == "" || held.Copies != c.copies || !strings.Contains(held.What, c.want)):
				t.Errorf("got %+v, want %q", held, c.want)
			}
		})
	}
}

// What is written is read by bash.
func TestConfigurationsAreBash(t *testing.T) {
	f := facts(t, sda, at(sdb, "/srv/it's here"))
	f.Targets = []Held{{Target: "offline-a", Path: "/srv/it's here"}}
	f.Storages = ParseStorages(storageCfg)
	f.Guests = []Guest{{ID: "100", Name: "$(touch /x)`'\"", Volumes: []string{"local-lvm:vm-100-disk-0"}}}
	p, err := Prepare(f, options)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{options, {Artifact: "a", Dir: "/srv/rear", Output: "usb", Backup: "usb", Encrypted: true, Serial: true,
		Stick: Stick{Device: "/dev/sdz3"}}, {Artifact: "a", Dir: "/d", Output: "iso", Backup: "file", Differential: "c", Unattended: true,
		Kernel: "6.1"}} {
		script := "VAR_DIR=/v; KERNEL_CMDLINE=; IPADDR=; PRE_RECOVERY_COMMANDS=(); WORKFLOW=mkbackup; Error() { echo E \"$@\"; exit 1; }; " +
			"LogPrint() { :; }\n" + p.Conf(o) +
			"\nprintf '%s\\n' \"${EXCLUDE_COMPONENTS[@]}\" \"${EXCLUDE_RECREATE[@]}\" \"${BACKUP_PROG_EXCLUDE[@]}\" \"$IPADDR\" \"$BACKUP_URL\"\n"
		out, err := exec.Command("bash", "-euc", script).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, out, script)
		}
		for _, want := range []string{"/dev/sdb\n", "fs:/srv/it's here\n", "/v/output/*\n", "/var/lib/runner/*\n", "100 ($(touch /x)`'\")"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("bash does not see %q in\n%s", want, out)
			}
		}
	}
}

// The question before a recovery, as bash plays it.
func TestARecoveryAsksForTheName(t *testing.T) {
	p, err := Prepare(facts(t, sda), options)
	if err != nil {
		t.Fatal(err)
	}
	for answer, want := range map[string]string{"pve1": "GO", "": "ERROR", "pve2": "ERROR", "yes": "ERROR"} {
		script := "Error() { echo ERROR; exit 1; }; LogPrint() { :; }\n" + p.guard(options) +
			"exec 6<&0 7>&1 8>&2\nrunner_before_recovery && echo GO\n"
		cmd := exec.Command("bash", "-c", script)
		cmd.Stdin = strings.NewReader(answer + "\n")
		if out, _ := cmd.Output(); !strings.Contains(string(out), want) {
			t.Errorf("answer %q: got %q, want %s", answer, out, want)
		}
	}
}

func TestSettingsOfTheHostThatAreNotUsedAreTold(t *testing.T) {
	f := facts(t, sda)
	f.Etc = map[string]string{"local.conf": "# comment\nOUTPUT=ISO\nBACKUP=BORG\nBACKUP_PROG_CRYPT_KEY=hush\n",
		"site.conf": "BORGBACKUP_PASSPHRASE='hush'\nexport " +
			"OUTPUT_URL=ftp://user:hush@nas/\nBACKUP_OPTIONS=\"cifs,pass=hush\"\nPRE_BACKUP_SCRIPT=( \"curl -u me:hush\"\n  'hush' " +
			")\nEXCLUDE_VG+=( hush ) # hush\nOUTPUT=hush@x\n"}
	p, err := Prepare(f, options)
	if err != nil {
		t.Fatal(err)
	}
	const hidden, other = "=[not shown]", "site.conf: [a line that sets no variable, not shown]"
	want := []string{"local.conf: BACKUP=BORG", "local.conf: BACKUP_PROG_CRYPT_KEY" + hidden, "site.conf: BORGBACKUP_PASSPHRASE" + hidden,
		"site.conf: OUTPUT_URL" + hidden,
		"site.conf: BACKUP_OPTIONS" + hidden, "site.conf: PRE_BACKUP_SCRIPT" + hidden, other, "site.conf: EXCLUDE_VG" + hidden,
		"site.conf: OUTPUT" + hidden}
	if got := f.Differences(p.Conf(options)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheStickIsKnownBySerialAndUUID(t *testing.T) {
	disks := []string{sda, at(sdb, "")}
	for _, c := range []struct {
		name  string
		stick Stick
		disks []string
		want  string
	}{
		{"the right one", Stick{Serial: "USB1", UUID: "fs-1"}, disks, ""},
		{"none", Stick{Serial: "USB9", UUID: "fs-9"}, disks, "E_USB_ABSENT"},
		{"another disk with its file system", Stick{Serial: "USB9", UUID: "fs-1"}, disks, "E_USB_WRONG"},
		{"the disk with another file system", Stick{Serial: "USB1", UUID: "fs-9"}, disks, "E_USB_WRONG"},
		{"the system's disk", Stick{Serial: "SYS1", UUID: "A1B2-C3D4"}, disks, "E_USB_WRONG"},
		{"one that is mounted", Stick{Serial: "USB1", UUID: "fs-1"}, []string{sda, at(sdb, "/media/x")}, "E_USB_WRONG"},
		{"no serial at all", Stick{UUID: "fs-1"}, disks, "E_USB_WRONG"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.stick
			err := s.Find(facts(t, c.disks...))
			if c.want == "" && (err != nil || s.Device != "/dev/mapper/offline-a" || s.Disk != "/dev/sdb") || c.want != "" &&
				!(failure.CodeOf(err).Name == c.want) {
				t.Errorf("got %+v, %v; want %q", s, err, c.want)
			}
		})
	}
}

func TestContainersThatOnlyThisBoardOpens(t *testing.T) {
	for text, want := range map[string]bool{
		`{"keyslots":{"0":{}},"tokens":{"0":{"type":"systemd-tpm2","keyslots":["0"]}}}`:        true,
		`{"keyslots":{"0":{},"1":{}},"tokens":{"0":{"type":"systemd-tpm2","keyslots":["1"]}}}`: false,
		`{"keyslots":{"0":{}},"tokens":{}}`:                                                    false,
		`{"keyslots":{"0":{}},"tokens":{"0":{"type":"systemd-recovery","keyslots":["0"]}}}`:    false,
		`no json`: false, `{"keyslots":{}}`: false,
	} {
		if got := boundToBoard([]byte(text)); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func FuzzPrepare(f *testing.F) {
	f.Add(`{"blockdevices":[`+sda+`]}`, storageCfg, "name: x\nscsi0: local-lvm:vm-1\n", "a b c\n")
	f.Fuzz(func(t *testing.T, lsblk, storages, guest, tab string) {
		devices, err := ParseDevices([]byte(lsblk))
		if err != nil {
			return
		}
		fs := &Facts{Host: "h", Devices: devices, Storages: ParseStorages(storages), Guests: []Guest{ParseGuest("1", guest)}, Fstab: tab,
			Crypttab: tab, Targets: []Held{{Target: "t", Path: "/srv"}}}
		if p, err := Prepare(fs, options); err == nil && p.Conf(options) == "" {
			t.Error("no configuration")
		}
	})
}

func TestARootThatNoDeviceShowsIsSaid(t *testing.T) {
	if _, err := Prepare(facts(t, at(sdb, "/srv")), options); failure.CodeOf(err).Name != "E_HOST" {
		t.Errorf("got %v, want E_HOST", err)
	}
}
