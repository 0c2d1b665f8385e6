package snapshotvm

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// cause is a class of failures, known by words of which one is in the text. The first
// that fits counts.
type cause struct {
	words     []string
	code      failure.Code
	temporary bool
	hint      string
}

// causes are in the order in which they are looked for: those that name a thing before
// those that only say that something did not work.
func causes() []cause {
	return []cause{
		{words: []string{"Permission check failed"}, code: proxmox.CodeAuth},
		{words: []string{"is locked (", "/lock/qemu-server", "/lock/lxc"}, code: proxmox.CodeLocked, temporary: true},
		{words: []string{"can't acquire lock '/var/run/vzdump.lock'", "can't aquire lock"}, code: CodeFailed, temporary: true,
			hint: "another vzdump of that node ran for longer than lockwait (/etc/vzdump.conf, 180 minutes): pvesh get /nodes/NODE/tasks " +
				"--typefilter vzdump shows it"},
		{words: []string{"can't lock file", "can't acquire lock", "got lock request timeout", "cfs lock"}, code: CodeFailed, temporary: true,
			hint: "something else held that lock on the node, or the cluster's file system was slow: pvecm status, and the node's journal at " +
				"that time"},
		{words: []string{"No space left", "Wrote only"}, code: proxmox.CodeStorageFull,
			hint: "free space on the storage: runner's own archives go with prune(…, apply = True), or with keep_on_storage"},
		{words: []string{"Disk quota exceeded", "quota exceeded"}, code: proxmox.CodeStorageFull,
			hint: "the quota of the account that the storage writes with is used up: raise it on the NAS, or free space there (prune(…, apply = " +
				"True), keep_on_storage)"},
		{words: []string{"File too large"}, code: proxmox.CodeStorageFull,
			hint: "the storage's file system takes no file of that size (FAT: 4 GiB): use another storage for this guest"},
		{words: []string{"Read-only file system"}, code: proxmox.CodeStorage, temporary: true,
			hint: "the storage is mounted read-only, which a disk or a NAS in trouble also does by itself: dmesg on the node"},
		{words: []string{"unable to create temporary directory"}, code: proxmox.CodeStorageFull,
			hint: "a folder could not be made on the storage: it is full to the last block, or cannot be written to (df, touch on the node)"},
		{words: []string{"max backup limit"}, code: proxmox.CodeStorageLimit,
			hint: "the storage's prune-backups limits archives and remove=0 forbids removing: set it to keep-all=1 (pvesm set STORAGE " +
				"--prune-backups keep-all=1) and let runner prune"},
		{words: []string{"wrong content type"}, code: proxmox.CodeStorage, hint: "the storage is not for backups: pvesm set STORAGE --content " +
			"backup, with what it has already"},
		{words: []string{"could not activate storage", "is disabled", "is not online", "unable to activate storage", "is not mounted"},
			code: proxmox.CodeStorage,
			hint: "pvesm status on the node shows the storage"},
		{words: []string{"interrupted by signal"}, code: CodeFailed, temporary: true, hint: "somebody stopped the task, or the node shut down"},
	}
}

// hook is a command that the node's own script: of /etc/vzdump.conf runs.
var hook = regexp.MustCompile(`command '(\S+) ((?:job|backup)-\w+|log-end|pre-stop|pre-restart|post-restart)[^']*' failed`)

// bare is a failure that only names a program: what the program printed says more.
var bare = regexp.MustCompile(`exit code \d+$|wrong exit status \d+$|failed: exit code`)

// brief is a failure without the most of a long command: how it failed stands behind it.
func brief(said string) string {
	const most = 60
	head, command, found := strings.Cut(said, "command '")
	at := strings.LastIndex(command, "' failed: ")
	if !found || at < most {
		return said
	}
	if blank := strings.LastIndexByte(command[:most], ' '); blank > 0 {
		return head + "command '" + command[:blank] + " …" + command[at:]
	}
	return said
}

// Judge says whether the guest's archive was made: nil when the log says so. How
// the task ended beside that is for Warning.
func Judge(st proxmox.TaskStatus, log proxmox.Log, lines []string) *failure.Error {
	if log.Finished && log.Failure == "" {
		return nil
	}
	said := log.Failure
	if said == "" {
		said = fmt.Sprintf("the task ended with %q", st.Exit)
		if n := len(lines); n > 0 {
			said += "; its log ends: " + lines[n-1]
		}
	}
	f := &failure.Error{Code: CodeFailed, Said: brief(said)}
	if m := hook.FindStringSubmatch(said); m != nil {
		f.Hint = fmt.Sprintf("the node's own hook %s (script: in /etc/vzdump.conf) ended badly in its phase %s: what it printed is in the "+
			"task's log", m[1], m[2])
		return f
	}
	about := said + "\n" + strings.Join(log.Warnings, "\n")
	if bare.MatchString(said) {
		about = said + "\n" + strings.Join(lines, "\n")
	}
	for _, c := range causes() {
		for _, w := range c.words {
			if strings.Contains(about, w) {
				if i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, w) }); i >= 0 && !strings.Contains(said, w) {
					f.Said += "; its log says: " + strings.TrimSpace(lines[i])
				}
				f.Code, f.Hint, f.Temporary = c.code, c.hint, c.temporary
				return f
			}
		}
	}
	if st.Exit == "unexpected status" {
		f.Hint = "the node rebooted, or the worker was killed (out of memory?): see the node's journal at that time"
		f.Temporary = true
	}
	return f
}

const maxWarnings = 6

// Warning words what a task warned of.
func Warning(st proxmox.TaskStatus, log proxmox.Log) string {
	lines := log.Warnings
	if n := len(lines) - maxWarnings; n > 0 {
		lines = append(lines[:maxWarnings:maxWarnings], fmt.Sprintf("and %d lines more", n))
	}
	if st.Exit == "OK" {
		return strings.Join(lines, "; ")
	}
	return strings.Join(append([]string{st.Exit}, lines...), "; ")
}

// Findings say what is wrong though the archive was made.
func Findings(src Source, st proxmox.TaskStatus, upid proxmox.UPID) (out []ledger.Finding) {
	add := func(text, hint string) {
		out = append(out, ledger.Finding{Severity: ledger.DegradedRun, Asset: src.Asset, Item: src.Item, Text: text, Type: hint})
	}
	if src.Log.Unthawed {
		add(fmt.Sprintf("the guest agent of %s did not answer to the thaw: its file systems may still be frozen, and whatever writes to them "+
			"hangs", src.Item),
			fmt.Sprintf("on node %s: qm guest cmd %d fsfreeze-status, and if it says frozen: qm guest cmd %[2]d fsfreeze-thaw", upid.Node(),
				src.VMID))
	}
	if st.Exit != "OK" || len(src.Log.Warnings) > 0 {
		add(fmt.Sprintf("vzdump of %s made its archive, but its task ended so: %s", src.Item, Warning(st, src.Log)),
			fmt.Sprintf("pvesh get /nodes/%s/tasks/%s/log", upid.Node(), upid))
	}
	return out
}
