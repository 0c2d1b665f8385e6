package proxmox

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
)

// The acts of TestReplay, each with what it changes on the stage.

func (s *stage) inventory() {
	s.play("version", "node-version", "access-permissions", "nodes", "node-status", "cluster-status", "cluster-nextid", "cluster-nextid-taken",
		"cluster-resources", "cluster-resources-vm", "cluster-resources-storage", "cluster-backup-empty", "cluster-backup-info-not-backed-up",
		"qemu-list", "qemu-config", "qemu-pending", "qemu-status-current",
		"lxc-list", "lxc-config", "lxc-pending", "lxc-status-current", "lxc-config-after-stopped-backup",
		"storage", "storage-one", "node-storage", "node-storage-content-backup", "node-storage-status", "vzdump-defaults")
	must(s.t, s.c.change(func(st *state) error {
		st.Pools = map[string][]int{"prod": {100, 101}}
		st.Jobs = []map[string]any{{"comment": "nightly", "compress": "zstd", "enabled": 1, "id": "backup-nightly", "mode": "suspend",
			"next-run":       "1795835700",
			"notes-template": "{{guestname}}", "pool": "prod", "prune-backups": map[string]any{"keep-last": "3"}, "schedule": "sat 03:15",
			"storage": "backup", "type": "vzdump"}}
		return nil
	}))
	s.play("backupjob-list", "backupjob-get", "err-backupjob-missing", "backup-info-notbackedup")
	must(s.t, s.c.SetStorage("small", func(*Storage) {}))
	s.play("node-storage-inactive", "cluster-resources-storage-inactive", "content-after-enospc")
	must(s.t, s.c.change(func(st *state) error { st.Jobs = nil; delete(st.Storages, "small"); return nil }))
	must(s.t, s.c.SetStorage("backup", func(st *Storage) { st.Disabled = true }))
	s.play("node-storage-disabled", "err-storage-disabled-content", "vzdump-post-disabled", "vzdump-disabled-status", "vzdump-disabled-log")
	must(s.t, s.c.SetStorage("backup", func(st *Storage) { st.Disabled = false; st.Prune = "keep-last=2" }))
	s.play("storage-one-prune")
	must(s.t, s.c.SetStorage("backup", func(st *Storage) { st.Prune = "" }))
}

func (s *stage) rightless() {
	s.play("forbidden-version-ok", "forbidden-nodes", "forbidden-qemu-list-filtered", "forbidden-storage-list", "forbidden-tasks-own-only",
		"forbidden-cluster-resources-empty", "perm-token-noacl", "err-forbidden-cluster-backup", "err-forbidden-config", "err-forbidden-content",
		"err-forbidden-missing", "err-forbidden-vzdump", "err-forbidden-vzdump-dumpdir", "err-forbidden-vzdump-tmpdir")
	op := []string{"Datastore.AllocateSpace", "Datastore.Audit", "Sys.Audit", "VM.Audit", "VM.Backup"}
	s.rights(map[string][]string{"/": op, "/vms/101": {"VM.Audit", "VM.Backup"}})
	s.play("perm-token-acl", "perm-token-path", "err-forbidden-vzdump-prune", "vzdump-post-token-op", "vzdump-op-token-status",
		"vzdump-op-token-log")
	s.rights(nil)
}

func (s *stage) errors() {
	s.play("err-noauth", "err-badtoken", "err-bad-params", "err-missing-params", "err-bad-upid", "err-missing-upid-status",
		"err-missing-upid-log",
		"err-missing-node", "err-missing-storage", "err-missing-vm", "err-missing-vm-status", "err-wrong-type-guest", "err-nosuch-path",
		"err-nosuch-root",
		"err-method-not-implemented", "fw-err-options-delete", "err-storage-content-bogus", "err-vmid-exists", "err-vzdump-bad-mode",
		"err-vzdump-no-selection", "err-vzdump-missing-storage", "err-content-notmounted", "storage-status-notmounted", "err-start-running",
		"lxc-list-full",
		"err-content-missing", "err-content-delete-missing", "err-extractconfig-missing",
		"vzdump-post-nostorage", "vzdump-nostorage-status", "vzdump-nostorage-log", "vzdump-notmounted-post", "vzdump-notmounted-status",
		"vzdump-notmounted-log")
}

// put copies a real archive to a recorded name.
func (s *stage) put(name, notes string, protected bool) {
	s.t.Helper()
	kind := strings.Split(name, "-")[1]
	list, err := s.c.Archives("pve1", "backup")
	must(s.t, err)
	for _, path := range list {
		if base := filepath.Base(path); strings.HasPrefix(base, "vzdump-"+kind) && filepath.Ext(base) == ".zst" && base != name {
			to := filepath.Join(filepath.Dir(path), name)
			copyFile(s.t, path, to)
			if notes != "" {
				must(s.t, os.WriteFile(to+".notes", []byte(notes), 0o600))
			}
			if protected {
				must(s.t, os.WriteFile(to+".protected", nil, 0o600))
			}
			return
		}
	}
	s.t.Fatalf("no archive to make %s of", name)
}

func (s *stage) junk(name, content string) {
	s.t.Helper()
	must(s.t, os.WriteFile(filepath.Join(s.c.node("pve1", "srv/backup/dump"), name), []byte(content), 0o600))
}

// clear removes all archives.
func (s *stage) clear() {
	s.t.Helper()
	for _, storage := range []string{"backup", "local"} {
		list, err := s.c.Archives("pve1", storage)
		must(s.t, err)
		for _, path := range list {
			must(s.t, removeFiles(path, path+".notes", path+".protected"))
		}
	}
}

func (s *stage) archives() {
	s.play("vzdump-qemu-snapshot-post")
	s.put("vzdump-qemu-100-2026_11_23-07_11_16.vma.zst", "", false)
	s.play("content-qemu", "vzdump-extractconfig-qemu")
	s.put("vzdump-lxc-101-2026_11_23-06_41_37.tar.zst", "ct101 101 pve1", false)
	s.put("vzdump-lxc-101-2026_11_23-06_44_55.tar.gz", "", false)
	s.put("vzdump-lxc-101-2026_11_23-06_45_10.tar.zst", "", false)
	s.put("vzdump-lxc-101-2026_11_23-06_45_12.tar", "", true)
	s.play("storage-content-backup", "storage-content-backup-vmid", "content-volume-get", "content-notes-put", "content-volume-get-notes",
		"vzdump-extractconfig",
		"prunebackups-dryrun", "content-delete", "prunebackups-delete", "prunebackups-status", "prunebackups-log",
		"content-delete-protected-post", "tasks-imgdel")
	s.junk("vzdump-lxc-101-2026_01_01-00_00_00.tar.zst", "this is not a tar\n")
	s.junk("vzdump-lxc-777-2026_01_01-00_00_00.tar.gz", "")
	s.junk("vzdump-qemu-100-2026_01_02-00_00_00.vma.zst", "x\n")
	s.put("vzdump-lxc-101-2026_11_23-06_49_42.tar.zst", "standalone node, ct101, pve1, 101", false)
	s.play("content-with-corrupt", "err-extractconfig-corrupt")
	s.play("vzdump-local-post", "storage-content-local-backup")
	s.clear()
	s.play("storage-content-local", "vzdump-qemu-snapshot-post", "vzdump-local-post")
}

func (s *stage) backups() {
	s.play("vzdump-post-multi", "vzdump-multi-status", "vzdump-multi-log", "vzdump-post-all", "vzdump-all-status", "vzdump-all-log",
		"vzdump-post-pool")
	s.inject(fault.Fault{On: "vzdump 100", Do: "fail start failed: QEMU exited with code 1", Times: 1})
	s.play("vzdump-post-pool", "vzdump-pool-status")
	s.inject()
	s.clear()
	s.pruning()
	s.slowly()
	must(s.t, s.c.SetStorage("small", func(*Storage) {}))
	s.inject(fault.Fault{On: "vzdump 201", Do: "full"})
	s.play("vzdump-enospc-post", "vzdump-enospc-status")
	s.enospcLog()
	s.inject()
}

// enospcLog compares without the line about tmpfs: the lab's storages have no
// file system of their own.
func (s *stage) enospcLog() {
	r := s.recs["vzdump-enospc-log"]
	s.played[r.Name] = true
	_, got, _ := s.send(r, "")
	want := logLines(r.Body)
	tmp := func(lines []string) []string {
		out := append([]string(nil), lines...)
		for i := range out {
			out[i] = strings.ReplaceAll(out[i], "/srv/small/", "/srv/X/")
		}
		return out
	}
	compareLog(s.t, r.Name, tmp(logLines(got)), tmp(append(want[:1:1], want[2:]...)))
}

func (s *stage) pruning() {
	must(s.t, s.c.SetGuest(101, func(g *Guest) { g.Running = true }))
	// One older archive is there, as in the recording.
	s.play("vzdump-bwlimit-post", "vzdump-bwlimit-log", "vzdump-bwlimit-status", "task-index", "vzdump-post-prune", "vzdump-prune-status",
		"vzdump-prune-log")
	s.clear()
	must(s.t, s.c.SetStorage("backup", func(st *Storage) { st.Prune = "keep-last=2" }))
	s.play("vzdump-qemu-stop-post", "vzdump-qemu-stop-status", "vzdump-qemu-stop-log")
	s.play("qemu-start-post", "qemu-start-status", "qemu-start-log", "qemu-status-running")
	s.play("vzdump-qemu-snapshot-post", "vzdump-qemu-snapshot-status", "vzdump-qemu-snapshot-log")
	s.play("vzdump-qemu-suspend-post", "vzdump-qemu-suspend-status", "vzdump-qemu-suspend-log")
	s.play("qemu-stop-post", "qemu-stop-status", "qemu-stop-log")
	for range 2 {
		s.play("vzdump-parallel-post")
	}
	s.play("vzdump-post-maxbackups", "vzdump-maxbackups-status", "vzdump-maxbackups-log")
	must(s.t, s.c.SetStorage("backup", func(st *Storage) { st.Prune = "" }))
	s.clear()
}

// slowly plays what was asked while a backup ran.
func (s *stage) slowly() {
	s.inject(fault.Fault{On: "vzdump 101", Do: "slow 1h"})
	s.play("&vzdump-bwlimit-post")
	upid := s.upids[dataUPID(s.recs["vzdump-bwlimit-post"].Body)]
	s.until(upid, "starting first sync")
	s.play("task-status-running", "task-log-running", "task-log-start2-limit3", "tasks-active", "tasks-source-all",
		"lxc-config-during-backup", "lxc-status-during-backup")
	s.play("&err-locked-stop-post", "&vzdump-parallel-post")
	s.wait(s.upids[dataUPID(s.recs["err-locked-stop-post"].Body)])
	s.until(s.upids[dataUPID(s.recs["vzdump-parallel-post"].Body)], "waiting")
	s.play("vzdump-parallel-waiting-log")
	// The stopped task of the recording is this one.
	stopped := s.recs["vzdump-stopped-status"].Body.(map[string]any)["data"].(map[string]any)["upid"].(string)
	s.upids[stopped] = upid
	s.play("task-stop")
	s.wait(upid)
	s.play("task-stop-finished", "vzdump-stopped-status", "vzdump-stopped-log", "tasks-after-stop")
	s.inject()
	s.wait(s.upids[dataUPID(s.recs["vzdump-parallel-post"].Body)])
	s.play("vzdump-parallel-status", "vzdump-parallel-log", "tasks", "tasks-filter")
}

// until waits for a line of a task's log.
func (s *stage) until(upid, text string) {
	s.t.Helper()
	t, _ := s.c.findTask(upid)
	for {
		lines, err := t.lines()
		must(s.t, err)
		if strings.Contains(strings.Join(lines, "\n"), text) {
			return
		}
		must(s.t, sleep(s.t.Context(), time.Millisecond))
	}
}

func (s *stage) restores() {
	s.play("vzdump-qemu-snapshot-post", "vzdump-post-all")
	s.put("vzdump-qemu-100-2026_11_23-07_11_16.vma.zst", "", false)
	s.put("vzdump-lxc-101-2026_11_23-06_49_42.tar.zst", "", false)
	s.junk("vzdump-lxc-101-2026_01_01-00_00_00.tar.zst", "this is not a tar\n")
	s.junk("vzdump-qemu-100-2026_01_02-00_00_00.vma.zst", "x\n")
	s.play("err-restore-exists", "err-restore-qemu-exists", "restore-qemu-missing-post", "restore-force-running-post",
		"restore-missing-archive-post", "restore-missing-archive-status", "restore-missing-archive-log",
		"restore-corrupt-post", "restore-corrupt-status", "restore-corrupt-log", "restore-corrupt-config",
		"restore-qemu-corrupt-post", "restore-qemu-corrupt-status", "restore-qemu-corrupt-log",
		"restore-force-post", "restore-force-status", "restore-force-log",
		"restore-start-post", "restore-start-status", "restore-start-log", "restore-config",
		"qemu-config-post", "restore-qemu-post", "restore-qemu-status", "restore-qemu-log")
	must(s.t, s.c.SetGuest(400, func(g *Guest) { g.Config["kvm"] = "0" })) // set by hand on the recorded VM
	s.play("restore-qemu-config")
	must(s.t, s.c.SetGuest(100, func(g *Guest) { g.Running = true }))
	s.play("restore-qemu-force-running-post", "restore-qemu-force-running-status", "restore-qemu-force-running-log")
}

func (s *stage) power() {
	must(s.t, s.c.SetGuest(202, func(g *Guest) { g.Running = true }))
	s.play("err-destroy-running")
	for verb, name := range map[string]string{"shutdown": "lxc-shutdown", "start": "lxc-start", "stop": "lxc-stop"} {
		must(s.t, s.c.SetGuest(202, func(g *Guest) { g.Running = verb != "start" }))
		upid, err := s.c.start("pve1", "vz"+verb, "202", "root@pam!t1", nil)
		must(s.t, err)
		s.wait(upid)
		recorded := s.recs[name+"-status"].Body.(map[string]any)["data"].(map[string]any)["upid"].(string)
		s.upids[recorded] = upid
		s.play(name+"-status", name+"-log")
	}
	must(s.t, s.c.SetGuest(202, func(g *Guest) { g.Running = false }))
	s.play("lxc-destroy", "lxc-destroy-status", "lxc-destroy-log")
}
