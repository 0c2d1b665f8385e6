package restorevm

import (
	"reflect"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

func TestOverrides(t *testing.T) {
	const vm = "boot: order=scsi0\nname: erp\nnet0: virtio=BC:24:11:10:00:01,bridge=vmbr0,firewall=1\nnet1: " +
		"model=e1000,macaddr=BC:24:11:10:00:02,bridge=vmbr1,link_down=0\n[before]\nnet2: virtio=BC:24:11:10:00:03,bridge=vmbr0\n"
	const ct = "hostname: mail\nnet0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:10:01:01,ip=10.0.0.1/24,type=veth\n"
	for _, c := range []struct {
		name, guest, config string
		down                bool
		rename              string
		want                map[string]any
	}{
		{"a VM, cut off", "qemu", vm, true, "", map[string]any{"onboot": 0, "unique": 1, "net0": "virtio,bridge=vmbr0,firewall=1,link_down=1",
			"net1": "model=e1000,bridge=vmbr1,link_down=1"}},
		{"a VM as it was", "qemu", vm, false, "drill", map[string]any{"onboot": 0, "unique": 1, "name": "drill"}},
		{"a container, cut off", "lxc", ct, true, "drill",
			map[string]any{"onboot": 0, "hostname": "drill", "net0": "name=eth0,bridge=vmbr0,ip=10.0.0.1/24,type=veth,link_down=1"}},
		{"a container as it was", "lxc", ct, false, "", map[string]any{"onboot": 0}},
		{"no configuration", "qemu", "", true, "", map[string]any{"onboot": 0, "unique": 1}},
		{"keys that only look like cards", "qemu", "network: x\nnet: y\nnet0x: z\nxnet0: w\n", true, "",
			map[string]any{"onboot": 0, "unique": 1}},
	} {
		if got := Overrides(c.guest, c.config, c.down, c.rename); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if got := NICs(map[string]string{"net1": "", "net0": "", "name": "", "netx": "", "scsi0": ""}); !reflect.DeepEqual(got,
		[]string{"net0", "net1"}) {
		t.Errorf("cards: got %v", got)
	}
}

func TestTheNewestAndNearestCopyComesFirst(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 3, n, 2, 0, 0, 0, time.UTC) }
	list := []ledger.Copy{
		{ID: "old in place", Taken: day(1), InPlace: true},
		{ID: "sealed offsite", Taken: day(2), SealedTo: []string{"x"}, Account: "u@h"},
		{ID: "sealed usb", Taken: day(2), SealedTo: []string{"x"}},
		{ID: "plain usb", Taken: day(2)},
		{ID: "in place", Taken: day(2), InPlace: true},
	}
	Order(list, func(c ledger.Copy) ledger.Copy { return c })
	var got []string
	for _, c := range list {
		got = append(got, c.ID)
	}
	if want := []string{"in place", "plain usb", "sealed usb", "sealed offsite", "old in place"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOnlyArchivesInADumpFolderAreEverRemoved(t *testing.T) {
	for path, want := range map[string]bool{
		"/srv/backup/dump/vzdump-qemu-100-2026_03_02-02_00_00.vma.zst": true,
		"/var/lib/vz/dump/vzdump-lxc-101-2026_03_02-02_00_00.tar":      true,
		"/dump/vzdump-qemu-1-2.vma":                                    false,
		"/srv/backup/vzdump-qemu-100-2026_03_02-02_00_00.vma.zst":      false,
		"/srv/backup/dump/vzdump-qemu-100-2026_03_02-02_00_00.log":     false,
		"srv/backup/dump/vzdump-qemu-100-2026_03_02-02_00_00.vma":      false,
		"/srv/backup/dump/x/vzdump-qemu-100-2026.vma":                  false,
		"/etc/passwd": false, "": false,
	} {
		if got := dumpName.MatchString(path); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}
