package vzdump

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
)

// The logs in testdata are those of a real Proxmox VE 9.2.11.
func recorded(t *testing.T, name string) []string {
	t.Helper()
	raw, err := os.ReadFile("testdata/vzdump-" + name + ".log")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
}

func TestRecordedLogsAreJudged(t *testing.T) {
	const failed = "job errors"
	for _, c := range []struct {
		log         string
		vmid        proxmox.Int
		exit        string
		code        string // "": the archive was made
		said        string
		path        string
		size        string
		consistency string
	}{
		{log: "qemu-stop", vmid: 100, exit: "OK", path: "/srv/backup/dump/vzdump-qemu-100-2026_11_23-07_10_39.vma.zst", size: "36KB", consistency: "stopped"},
		{log: "qemu-snapshot", vmid: 100, exit: "OK", path: "/srv/backup/dump/vzdump-qemu-100-2026_11_23-07_11_16.vma.zst", size: "36KB", consistency: "crash-consistent"},
		{log: "qemu-suspend", vmid: 100, exit: "OK", path: "/srv/backup/dump/vzdump-qemu-100-2026_11_23-07_11_21.vma.lzo", size: "121KB", consistency: "suspended"},
		{log: "prune", vmid: 101, exit: "OK", path: "/srv/backup/dump/vzdump-lxc-101-2026_11_23-06_49_40.tar.zst", size: "1MB", consistency: "suspended"},
		{log: "op-token", vmid: 201, exit: "OK", path: "/srv/backup/dump/vzdump-lxc-201-2026_11_23-06_49_19.tar.zst", size: "1MB", consistency: "stopped"},
		{log: "parallel", vmid: 201, exit: "OK", path: "/srv/backup/dump/vzdump-lxc-201-2026_11_23-06_54_51.tar", size: "2MB", consistency: "stopped"},
		{log: "bwlimit", vmid: 101, exit: "OK", path: "/srv/backup/dump/vzdump-lxc-101-2026_11_23-06_54_19.tar.zst", size: "1MB", consistency: "suspended"},
		{log: "all", vmid: 101, exit: "OK", path: "/srv/backup/dump/vzdump-lxc-101-2026_11_23-06_55_00.tar.zst", size: "1MB", consistency: "stopped"},
		{log: "all", vmid: 201, exit: "OK", path: "/srv/backup/dump/vzdump-lxc-201-2026_11_23-06_55_15.tar.zst", size: "1MB", consistency: "stopped"},
		{log: "multi", vmid: 101, exit: failed, path: "/srv/backup/dump/vzdump-lxc-101-2026_11_23-06_49_42.tar.zst", size: "1MB", consistency: "stopped"},
		{log: "multi", vmid: 201, exit: failed, path: "/srv/backup/dump/vzdump-lxc-201-2026_11_23-06_49_54.tar.zst", size: "1MB", consistency: "stopped"},
		{log: "multi", vmid: 999, exit: failed, code: "E_VZDUMP_FAILED", said: "unable to find VM '999'"},
		{log: "pool", vmid: 100, exit: failed, code: "E_VZDUMP_FAILED", said: "start failed: QEMU exited with code 1"},
		{log: "pool", vmid: 101, exit: failed, path: "/srv/backup/dump/vzdump-lxc-101-2026_11_23-06_49_57.tar.gz", size: "1MB", consistency: "suspended"},
		{log: "enospc", vmid: 201, exit: failed, code: "E_STORAGE_FULL", said: "exit code 2"},
		{log: "maxbackups", vmid: 201, exit: failed, code: "E_STORAGE_LIMIT", said: "max backup limit of 2"},
		{log: "stopped", vmid: 101, exit: failed, code: "E_VZDUMP_FAILED", said: "interrupted by signal"},
		{log: "disabled", vmid: 201, exit: "could not activate storage 'backup': storage 'backup' is disabled", code: "E_STORAGE", said: "is disabled"},
		{log: "nostorage", vmid: 101, exit: "could not activate storage 'nope': …", code: "E_STORAGE", said: "'nope' does not exist"},
		{log: "notmounted", vmid: 201, exit: "could not activate storage 'usb': …", code: "E_STORAGE", said: "'usb' does not exist"},
		{log: "parallel-waiting", vmid: 201, exit: "unexpected status", code: "E_VZDUMP_FAILED", said: "global lock"},
		{log: "qemu-stop", vmid: 100, exit: "unexpected status", path: "/srv/backup/dump/vzdump-qemu-100-2026_11_23-07_10_39.vma.zst", size: "36KB", consistency: "stopped"},
	} {
		lines := recorded(t, c.log)
		log := proxmox.ReadLog(lines, c.vmid)
		f := Judge(proxmox.TaskStatus{Status: "stopped", Exit: c.exit}, log, lines)
		if c.code != "" {
			if f == nil || f.Code != c.code || !strings.Contains(f.Said, c.said) {
				t.Errorf("%s, guest %d: got %+v, want %s: %s", c.log, c.vmid, f, c.code, c.said)
			}
			continue
		}
		if f != nil || log.Path != c.path || log.SizeText != c.size || log.Consistency() != c.consistency {
			t.Errorf("%s, guest %d: got %+v, %s, %s, %s", c.log, c.vmid, f, log.Path, log.SizeText, log.Consistency())
		}
	}
}

func TestACutLogIsNoArchive(t *testing.T) {
	lines := recorded(t, "qemu-stop")
	for n := range lines {
		whole := false
		for _, l := range lines[:n] {
			whole = whole || strings.HasPrefix(l, "INFO: Finished Backup of VM 100")
		}
		f := Judge(proxmox.TaskStatus{Status: "stopped", Exit: "unexpected status"}, proxmox.ReadLog(lines[:n], 100), lines[:n])
		if (f == nil) != whole {
			t.Errorf("after %d lines: got %+v", n, f)
		}
	}
}

func TestWarningsAreWorded(t *testing.T) {
	for _, c := range []struct {
		exit  string
		lines []string
		want  string
	}{
		{"OK", nil, ""},
		{"WARNINGS: 1", []string{"WARN: no free space for fleecing"}, "WARNINGS: 1; WARN: no free space for fleecing"},
		{"OK", []string{"WARN: a", "WARN: b"}, "WARN: a; WARN: b"},
		{"job errors", nil, "job errors"},
	} {
		if got := Warning(proxmox.TaskStatus{Exit: c.exit}, proxmox.ReadLog(c.lines, 100)); got != c.want {
			t.Errorf("%s %q: got %q, want %q", c.exit, c.lines, got, c.want)
		}
	}
}

func TestGapsAndDisks(t *testing.T) {
	for _, c := range []struct {
		name, guest string
		config      map[string]string
		log         []string
		gaps        []string
		disks       map[string]string
	}{
		{"a VM with everything", "qemu", map[string]string{"scsi0": "local:1/a.raw,size=1G", "efidisk0": "local:1/b.raw,size=528K", "ide2": "local:iso/x.iso,media=cdrom,size=3M", "net0": "virtio=AA", "scsihw": "virtio-scsi-pci"}, nil, nil, map[string]string{"scsi0": "1G", "efidisk0": "528K"}},
		{"a disk that is left out, told once", "qemu", map[string]string{"scsi1": "local:1/a.raw,backup=0,size=8M"}, []string{"INFO: exclude disk 'scsi1' 'local:1/a.raw' (backup=no)"}, []string{"disk scsi1: backup=0"}, map[string]string{"scsi1": "8M"}},
		{"a disk that only the log tells of", "qemu", nil, []string{"INFO: exclude disk 'virtio3' 'local:1/a.raw' (backup=no)"}, []string{"disk virtio3: backup=no"}, map[string]string{}},
		{"mount points of a container", "lxc", map[string]string{"rootfs": "local:1/r.raw,size=4G", "mp0": "/srv/shared,mp=/mnt", "mp1": "local:1/b.raw,mp=/b,size=1G", "mp2": "local:1/c.raw,mp=/c,backup=1,size=2G", "mp3": "/dev/sdb1,mp=/d"},
			[]string{"INFO: excluding bind mount point mp0 ('/mnt') from backup"}, []string{"mount point mp0: bind mount of /srv/shared", "mount point mp1: backup is not set", "mount point mp3: device mount of /dev/sdb1"},
			map[string]string{"rootfs": "4G", "mp1": "1G", "mp2": "2G"}},
	} {
		var gaps []string
		for _, g := range Gaps("vms", "x", c.guest, c.config, proxmox.ReadLog(c.log, 1)) {
			gaps = append(gaps, g.What+": "+g.Why)
		}
		if !reflect.DeepEqual(gaps, c.gaps) {
			t.Errorf("%s: got gaps %q, want %q", c.name, gaps, c.gaps)
		}
		if got := Disks(c.guest, c.config); !reflect.DeepEqual(got, c.disks) {
			t.Errorf("%s: got disks %v, want %v", c.name, got, c.disks)
		}
	}
}

func TestSizesFitWhatTheLogSays(t *testing.T) {
	for _, c := range []struct {
		text string
		size int64
		want bool
	}{
		{"36KB", 36 << 10, true}, {"36KB", 37<<10 - 1, true}, {"36KB", 38 << 10, false}, {"36KB", 0, false}, {"1MB", 1_900_000, true}, {"1MB", 2 << 20, false},
		{"1.50GB", 3 << 29, true}, {"1.50GB", 2 << 30, false}, {"", 5, true}, {"a lot", 5, true},
	} {
		if got := (proxmox.Log{SizeText: c.text}).SizeFits(c.size); got != c.want {
			t.Errorf("%d bytes of %s: got %v", c.size, c.text, got)
		}
	}
}

func TestLinesKeepTheBeginningAndTheEndOfALongLog(t *testing.T) {
	var done, total int64
	l := &Lines{Progress: func(d, n int64) { done, total = d, n }}
	l.Add("INFO: starting new backup job: vzdump 100")
	for range 3 * maxLines {
		l.Add(strings.Repeat("x", 10_000))
	}
	l.Add("INFO:  50% (512.0 MiB of 1.0 GiB) in 3s, read: 1 MiB/s, write: 0 B/s")
	l.Add("INFO: Finished Backup of VM 100 (00:00:05)")
	if len(l.All) > maxLines || l.All[0] != "INFO: starting new backup job: vzdump 100" || !strings.Contains(l.All[len(l.All)-1], "Finished") || len(l.All[1]) > 4096 {
		t.Errorf("kept %d lines, the first %q", len(l.All), l.All[0])
	}
	if done != 512<<20 || total != 1<<30 {
		t.Errorf("progress: got %d of %d", done, total)
	}
}

func FuzzReadLog(f *testing.F) {
	for _, name := range []string{"multi", "pool", "enospc", "qemu-suspend"} {
		raw, err := os.ReadFile("testdata/vzdump-" + name + ".log")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw), "OK", int64(1<<20))
	}
	f.Fuzz(func(t *testing.T, text, exit string, size int64) {
		lines := strings.Split(text, "\n")
		log := proxmox.ReadLog(lines, 101)
		if Judge(proxmox.TaskStatus{Exit: exit}, log, lines) == nil && (!log.Finished || log.Failure != "") {
			t.Errorf("an archive that the log does not tell of: %+v", log)
		}
		log.SizeFits(size)
		Gaps("a", "b", "qemu", nil, log)
	})
}
