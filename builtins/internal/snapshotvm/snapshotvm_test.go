package snapshotvm

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
		{log: "qemu-stop", vmid: 100, exit: "OK", path: "/srv/backup/dump/vzdump-qemu-100-2026_11_23-07_10_39.vma.zst", size: "36KB",
			consistency: "stopped"},
		{log: "qemu-snapshot", vmid: 100, exit: "OK", path: "/srv/backup/dump/vzdump-qemu-100-2026_11_23-07_11_16.vma.zst", size: "36KB",
			consistency: "crash-consistent"},
		{log: "qemu-suspend", vmid: 100, exit: "OK", path: "/srv/backup/dump/vzdump-qemu-100-2026_11_23-07_11_21.vma.lzo", size: "121KB",
			consistency: "suspended"},
		{log: "prune", vmid: 101, exit: "OK", path: "/srv/backup/dump/vzdump-lxc-101-2026_11_23-06_49_40.tar.zst", size: "1MB",
			consistency: "suspended"},
		{log: "op-token", vmid: 201, exit: "OK", path: "/srv/backup/dump/vzdump-lxc-201-2026_11_23-06_49_19.tar.zst", size: "1MB",
			consistency: "stopped"},
		{log: "parallel", vmid: 201, exit: "OK", path: "/srv/backup/dump/vzdump-lxc-201-2026_11_23-06_54_51.tar", size: "2MB",
			consistency: "stopped"},
		{log: "bwlimit", vmid: 101, exit: "OK", path: "/srv/backup/dump/vzdump-lxc-101-2026_11_23-06_54_19.tar.zst", size: "1MB",
			consistency: "suspended"},
		{log: "all", vmid: 101, exit: "OK", path: "/srv/backup/dump/vzdump-lxc-101-2026_11_23-06_55_00.tar.zst", size: "1MB",
			consistency: "stopped"},
		{log: "all", vmid: 201, exit: "OK", path: "/srv/backup/dump/vzdump-lxc-201-2026_11_23-06_55_15.tar.zst", size: "1MB",
			consistency: "stopped"},
		{log: "multi", vmid: 101, exit: failed, path: "/srv/backup/dump/vzdump-lxc-101-2026_11_23-06_49_42.tar.zst", size: "1MB",
			consistency: "stopped"},
		{log: "multi", vmid: 201, exit: failed, path: "/srv/backup/dump/vzdump-lxc-201-2026_11_23-06_49_54.tar.zst", size: "1MB",
			consistency: "stopped"},
		{log: "multi", vmid: 999, exit: failed, code: "E_VZDUMP_FAILED", said: "unable to find VM '999'"},
		{log: "pool", vmid: 100, exit: failed, code: "E_VZDUMP_FAILED", said: "start failed: QEMU exited with code 1"},
		{log: "pool", vmid: 101, exit: failed, path: "/srv/backup/dump/vzdump-lxc-101-2026_11_23-06_49_57.tar.gz", size: "1MB",
			consistency: "suspended"},
		{log: "enospc", vmid: 201, exit: failed, code: "E_STORAGE_FULL", said: "exit code 2"},
		{log: "maxbackups", vmid: 201, exit: failed, code: "E_STORAGE_LIMIT", said: "max backup limit of 2"},
		{log: "stopped", vmid: 101, exit: failed, code: "E_VZDUMP_FAILED", said: "interrupted by signal"},
		{log: "disabled", vmid: 201, exit: "could not activate storage 'backup': storage 'backup' is disabled", code: "E_STORAGE",
			said: "is disabled"},
		{log: "nostorage", vmid: 101, exit: "could not activate storage 'nope': …", code: "E_STORAGE", said: "'nope' does not exist"},
		{log: "notmounted", vmid: 201, exit: "could not activate storage 'usb': …", code: "E_STORAGE", said: "'usb' does not exist"},
		{log: "parallel-waiting", vmid: 201, exit: "unexpected status", code: "E_VZDUMP_FAILED", said: "global lock"},
		{log: "full-vm", vmid: 120, exit: failed, code: "E_STORAGE_FULL", said: "zstd --threads=1 failed"},
		{log: "full-ct", vmid: 130, exit: failed, code: "E_STORAGE_FULL", said: "exit code"},
		{log: "full-wholly", vmid: 130, exit: failed, code: "E_STORAGE_FULL", said: "unable to create temporary directory"},
		{log: "quota", vmid: 101, exit: failed, code: "E_STORAGE_FULL", said: "Disk quota exceeded"},
		{log: "wrong-content", vmid: 120, exit: "could not get storage information for 'small': …", code: "E_STORAGE",
			said: "wrong content type"},
		{log: "no-right", vmid: 120, exit: "403 Permission check failed (/vms/120, VM.Backup)", code: "E_PVE_AUTH", said: "VM.Backup"},
		{log: "hook-job-init", vmid: 122, exit: "command '/root/rec/hook job-init' failed: exit code 3", code: "E_VZDUMP_FAILED",
			said: "hook job-init"},
		{log: "hook-backup-start", vmid: 122, exit: failed, code: "E_VZDUMP_FAILED", said: "hook backup-start"},
		{log: "hook-job-end", vmid: 122, exit: "command '/root/rec/hook job-end' failed: exit code 3",
			path: "/srv/backup/dump/vzdump-qemu-122-2026_11_28-06_09_22.vma.zst", size: "0KB", consistency: "stopped"},
		{log: "hook-log-end", vmid: 122, exit: "WARNINGS: 1", path: "/srv/backup/dump/vzdump-qemu-122-2026_11_28-06_09_23.vma.zst", size: "0KB",
			consistency: "stopped"},
		{log: "diskless", vmid: 122, exit: "OK", path: "/srv/backup/dump/vzdump-qemu-122-2026_11_28-06_02_23.vma.zst", size: "0KB",
			consistency: "stopped"},
		{log: "two-disks", vmid: 121, exit: "OK", path: "/srv/backup/dump/vzdump-qemu-121-2026_11_28-06_02_20.vma.zst", size: "84KB",
			consistency: "stopped"},
		{log: "thaw-timeout", vmid: 101, exit: "OK", path: "/mnt/backup/dump/vzdump-qemu-101-2026_11_28-01_00_00.vma.zst", size: "1.06GB",
			consistency: "agent freeze"},
		{log: "qemu-stop", vmid: 100, exit: "unexpected status", path: "/srv/backup/dump/vzdump-qemu-100-2026_11_23-07_10_39.vma.zst",
			size: "36KB", consistency: "stopped"},
	} {
		lines := recorded(t, c.log)
		log := proxmox.ReadLog(lines, c.vmid)
		f := Judge(proxmox.TaskStatus{Status: "stopped", Exit: c.exit}, log, lines)
		if f != nil && f.Code.Name == "E_STORAGE_FULL" && (f.Hint == "" || f.Temporary) {
			t.Errorf("%s: got %+v", c.log, f)
		}
		if c.code != "" {
			if f == nil || f.Code.Name != c.code || !strings.Contains(f.Said, c.said) {
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
		{"OK", []string{"ERROR: VM 100 qmp command 'guest-fsfreeze-thaw' failed - got timeout"},
			"ERROR: VM 100 qmp command 'guest-fsfreeze-thaw' failed - got timeout"},
		{"job errors", []string{"INFO: Starting Backup of VM 100 (qemu)", "ERROR: Backup of VM 999 failed - unable to find VM '999'"},
			"job errors"},
		{"OK", []string{"WARN: 1", "WARN: 2", "WARN: 3", "ERROR: 4", "WARN: 5", "WARN: 6", "WARN: 7", "WARN: 8"},
			"WARN: 1; WARN: 2; WARN: 3; ERROR: 4; WARN: 5; WARN: 6; and 2 lines more"},
	} {
		if got := Warning(proxmox.TaskStatus{Exit: c.exit}, proxmox.ReadLog(c.lines, 100)); got != c.want {
			t.Errorf("%s %q: got %q, want %q", c.exit, c.lines, got, c.want)
		}
	}
}

// The words are those of QEMU's, tar's, PVE::Tools' and PVE::Cluster's own sources.
func TestFailuresAreClassedByWhatTheyMean(t *testing.T) {
	for _, c := range []struct {
		said, code string
		temporary  bool
		hint       string
	}{
		{"vma_queue_write: write error - Disk quota exceeded", "E_STORAGE_FULL", false, "quota"},
		{"vma_queue_write: write error - File too large", "E_STORAGE_FULL", false, "FAT"},
		{"vma_queue_write: write error - No space left on device", "E_STORAGE_FULL", false, "free space"},
		{"unable to open '/mnt/nas/dump/x.vma.dat' - Read-only file system", "E_STORAGE", true, "read-only"},
		{"can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout", "E_GUEST_LOCKED", true, ""},
		{"can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout", "E_GUEST_LOCKED", true, ""},
		{"VM is locked (snapshot)", "E_GUEST_LOCKED", true, ""},
		{"can't acquire lock '/var/run/vzdump.lock' - got timeout", "E_VZDUMP_FAILED", true, "lockwait"},
		{"error with cfs lock 'storage-nas': got lock request timeout", "E_VZDUMP_FAILED", true, "lock"},
		{"403 Permission check failed (/vms/120, VM.Backup)", "E_PVE_AUTH", false, ""},
		{"command '/usr/local/bin/hook backup-end snapshot 100' failed: exit code 1", "E_VZDUMP_FAILED", false, "/usr/local/bin/hook"},
		{"start failed: QEMU exited with code 1", "E_VZDUMP_FAILED", false, ""},
		{"interrupted by signal", "E_VZDUMP_FAILED", true, "stopped"},
	} {
		lines := []string{"INFO: Starting Backup of VM 100 (qemu)", "INFO: No space left on device, says the guest's own banner",
			"ERROR: Backup of VM 100 failed - " + c.said}
		f := Judge(proxmox.TaskStatus{Exit: "job errors"}, proxmox.ReadLog(lines, 100), lines)
		if f == nil || f.Temporary != c.temporary || !strings.Contains(f.Hint, c.hint) || c.hint == "" && f.Hint != "" || f.Code.Name != c.code {
			t.Errorf("%s: got %+v", c.said, f)
		}
	}
}

func TestAThawThatFailedLeavesAConsistentArchiveAndAFrozenGuest(t *testing.T) {
	log := proxmox.ReadLog(recorded(t, "thaw-timeout"), 101)
	if !log.Unthawed || !log.Frozen || len(log.Warnings) != 1 {
		t.Errorf("got %+v", log)
	}
	log = proxmox.ReadLog([]string{"INFO: status = running", "INFO: backup mode: snapshot", "INFO: issuing guest-agent 'fs-freeze' command",
		"ERROR: VM 101 qmp command 'guest-fsfreeze-freeze' failed - got timeout"}, 101)
	if log.Unthawed || log.Consistency() != "crash-consistent" || len(log.Warnings) != 1 {
		t.Errorf("a freeze that failed: got %+v", log)
	}
}

func TestWhatTheNodeLeavesOutIsAGap(t *testing.T) {
	d := proxmox.BackupDefaults{ExcludePath: []string{"/srv/nicht", "/var/cache/*"},
		Set: map[string]string{"exclude-path": "/srv/nicht,/var/cache/*", "tmpdir": "/var/tmp"}}
	src := Source{Type: "lxc", Node: "pve1", Config: map[string]string{"rootfs": "local:1/r.raw,size=4G"}, Defaults: d}
	gaps := Gaps(src)
	if len(gaps) != 2 || gaps[0].What != "what matches /srv/nicht" || gaps[1].What != "what matches /var/cache/*" ||
		!strings.Contains(gaps[0].Why, "/etc/vzdump.conf of node pve1") {
		t.Errorf("got %v", gaps)
	}
	want := map[string]string{"rootfs": "4G", "vzdump.conf exclude-path": "/srv/nicht,/var/cache/*", "vzdump.conf tmpdir": "/var/tmp"}
	if got := Facts(src); !reflect.DeepEqual(got, want) {
		t.Errorf("got facts %v, want %v", got, want)
	}
	if src.Type = "qemu"; len(Gaps(src)) != 0 {
		t.Error("a VM has no files that a pattern could leave out")
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
		{"a VM with everything", "qemu", map[string]string{"scsi0": "local:1/a.raw,size=1G", "efidisk0": "local:1/b.raw,size=528K",
			"ide2": "local:iso/x.iso,media=cdrom,size=3M", "net0": "virtio=AA", "scsihw": "virtio-scsi-pci"}, nil, nil,
			map[string]string{"scsi0": "1G", "efidisk0": "528K"}},
		{"a disk that is left out, told once", "qemu", map[string]string{"scsi1": "local:1/a.raw,backup=0,size=8M"},
			[]string{"INFO: exclude disk 'scsi1' 'local:1/a.raw' (backup=no)"}, []string{"disk scsi1: backup=0"}, map[string]string{"scsi1": "8M"}},
		{"a guest with snapshots", "qemu", map[string]string{"parent": "before", "scsi0": "local:1/a.raw,size=1G"},
			[]string{"INFO: snapshots found (not included into backup)"},
			[]string{"every snapshot: vzdump saves the present state alone; the newest is before"}, map[string]string{"scsi0": "1G"}},
		{"a disk that only the log tells of", "qemu", nil, []string{"INFO: exclude disk 'virtio3' 'local:1/a.raw' (backup=no)"},
			[]string{"disk virtio3: backup=no"}, map[string]string{}},
		{"mount points of a container", "lxc", map[string]string{"rootfs": "local:1/r.raw,size=4G", "mp0": "/srv/shared,mp=/mnt",
			"mp1": "local:1/b.raw,mp=/b,size=1G", "mp2": "local:1/c.raw,mp=/c,backup=1,size=2G", "mp3": "/dev/sdb1,mp=/d"},
			[]string{"INFO: excluding bind mount point mp0 ('/mnt') from backup"},
			[]string{"mount point mp0: bind mount of /srv/shared", "mount point mp1: backup is not set",
				"mount point mp3: device mount of /dev/sdb1"},
			map[string]string{"rootfs": "4G", "mp1": "1G", "mp2": "2G"}},
	} {
		var gaps []string
		for _, g := range Gaps(Source{Asset: "vms", Item: "x", Type: c.guest, Config: c.config, Log: proxmox.ReadLog(c.log, 1)}) {
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
		{"36KB", 36 << 10, true}, {"36KB", 37<<10 - 1, true}, {"36KB", 38 << 10, false}, {"36KB", 0, false}, {"1MB", 1_900_000, true},
		{"1MB", 2 << 20, false},
		{"1.50GB", 3 << 29, true}, {"1.50GB", 2 << 30, false}, {"", 5, true}, {"a lot", 5, true},
	} {
		if got := (proxmox.Log{SizeText: c.text}).SizeFits(c.size); got != c.want {
			t.Errorf("%d bytes of %s: got %v", c.size, c.text, got)
		}
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
		Gaps(Source{Type: "qemu", Log: log})
	})
}

// A command of 600 characters hides how it failed, and what the program said of it.
func TestALongCommandHidesNotHowItFailed(t *testing.T) {
	lines := recorded(t, "enospc")
	f := Judge(proxmox.TaskStatus{Status: "stopped", Exit: "job errors"}, proxmox.ReadLog(lines, 201), lines)
	if want := "command 'set -o pipefail && lxc-usernsexec -m u:0:100000:65536 -m …' failed: exit code 2; its log says: INFO: tar: -: " +
		"Wrote only 4096 of 10240 bytes"; f == nil || f.Said != want {
		t.Errorf("got %+v, want %s", f, want)
	}
	for said, want := range map[string]string{
		"command 'vma create x' failed: exit code 1": "command 'vma create x' failed: exit code 1",
		"no words here": "no words here",
		"command '" + strings.Repeat("x", 90) + "' failed: exit code 1": "command '" + strings.Repeat("x", 90) +
			"' failed: exit code 1",
		"a - command '" + strings.Repeat("word ", 30) + "' failed: interrupted": "a - command '" +
			strings.TrimSpace(strings.Repeat("word ", 12)) + " …' failed: interrupted",
		"command 'a " + strings.Repeat("b ", 40) + "'--x=y' c' failed: exit code 2": "command 'a " +
			strings.TrimSpace(strings.Repeat("b ", 29)) + " …' failed: exit code 2",
	} {
		if got := brief(said); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
