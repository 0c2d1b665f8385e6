package builtins

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/ledger"
)

const (
	postVzdump = "POST /nodes/pve1/vzdump"
	snapshot   = `return snapshot_vm(guest = "scratch")`
)

func TestSnapshotVMSaysWhatItMade(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, c := range []struct {
		name, call  string
		before      func()
		kind        string
		source      string
		consistency string
		gaps        []string
		declared    map[string]string
	}{
		{name: "a running VM whose agent answers", call: `guest = "erp"`, kind: "vm", source: "pve:qemu/100", consistency: "agent freeze",
			declared: map[string]string{"scsi0": "48M", "efidisk0": "528K"}},
		{name: "a running VM whose agent is down", call: `guest = "100"`, kind: "vm", source: "pve:qemu/100", consistency: "crash-consistent",
			declared: map[string]string{"scsi0": "48M", "efidisk0": "528K"},
			before:   func() { b.set(100, func(g *lab.Guest) { g.Agent = "down" }) }},
		{name: "a running container", call: `guest = "mail"`, kind: "ct", source: "pve:lxc/101", consistency: "suspended",
			declared: map[string]string{"rootfs": "1G"}},
		{name: "a VM that is to be suspended", call: `guest = "erp", mode = "suspend"`, kind: "vm", source: "pve:qemu/100",
			consistency: "suspended", declared: map[string]string{"scsi0": "48M", "efidisk0": "528K"}},
		{name: "a stopped VM with a disk that is left out", call: `guest = "git"`, kind: "vm", source: "pve:qemu/102", consistency: "stopped",
			gaps: []string{"disk scsi1: backup=0"}, declared: map[string]string{"virtio0": "16M", "scsi1": "8M"}},
		{name: "a VM that has snapshots", call: `guest = "erp"`, kind: "vm", source: "pve:qemu/100", consistency: "agent freeze",
			gaps:     []string{"every snapshot: vzdump saves the present state alone; the newest is before"},
			declared: map[string]string{"scsi0": "48M", "efidisk0": "528K"},
			before:   func() { b.set(100, func(g *lab.Guest) { g.Agent = ""; g.Config["parent"] = "before" }) }},
		{name: "a stopped container with a bind mount", call: `guest = "wiki"`, kind: "ct", source: "pve:lxc/103", consistency: "stopped",
			gaps: []string{"mount point mp0: bind mount of /srv/shared"}, declared: map[string]string{"rootfs": "512M"}},
	} {
		b.inject()
		if c.before != nil {
			c.before()
		}
		out := b.good("return snapshot_vm(" + c.call + ")")
		arts := rows[ledger.Artifact](b, ledger.RowArtifact, ledger.Query{Run: out.Run})
		if len(arts) != 1 {
			t.Fatalf("%s: got %d artifacts, want 1", c.name, len(arts))
		}
		a := arts[0]
		var gaps []string
		for _, g := range a.Gaps {
			gaps = append(gaps, g.What+": "+g.Why)
		}
		if a.Kind != c.kind || a.Source != c.source || a.Asset != "virtual_machines" || a.Consistency != c.consistency ||
			!reflect.DeepEqual(gaps, c.gaps) || !reflect.DeepEqual(a.Declared, c.declared) {
			t.Errorf("%s: got %s of %s, %s, gaps %q, disks %v", c.name, a.Kind, a.Source, a.Consistency, gaps, a.Declared)
		}
		info, err := os.Stat(b.dump(a))
		if err != nil || info.Size() != a.Bytes || len(a.Files) != 1 || a.Files[0].Size != a.Bytes {
			t.Errorf("%s: files %v of %d bytes; on the node: %v, %v", c.name, a.Files, a.Bytes, info, err)
		}
		notes, err := os.ReadFile(b.dump(a) + ".notes")
		if err != nil || string(notes) != "runner:"+out.Run+a.Step {
			t.Errorf("%s: notes %q, %v", c.name, notes, err)
		}
	}
}

// dump is where the archive of an artifact lies on the node.
func (b *bench) dump(a ledger.Artifact) string {
	return b.dir + "/world/pve/nodes/pve1" + a.Origin.Path
}

func TestSnapshotVMFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		site   []string
		acl    map[string][]string
		faults []lab.Fault
		call   string
		code   string
		words  []string
		dumps  int // archives on the node afterwards
	}{
		{name: "a wrong token", site: []string{`secret("pve-token")`, `secret("bad-token")`}, code: "E_PVE_AUTH",
			words: []string{"401", "runner secret set"}},
		{name: "a token without rights, which sees empty lists",
			site: []string{`runner@pve!runner`, `runner@pve!norights`, `secret("pve-token")`, `secret("pve-token-norights")`}, code: "E_NO_GUEST",
			words: []string{"scratch", "0 that the token sees", "VM.Audit"}},
		{name: "another certificate", faults: []lab.Fault{{On: "tls pve1.lab", Do: "new-cert"}}, code: "E_PVE_CERT",
			words: []string{"its fingerprint is ", "pvenode cert info"}},
		{name: "a node that is down", faults: []lab.Fault{{On: "*", Do: "answer 595"}}, code: "E_PVE_DOWN", words: []string{"595", "is it up"}},
		{name: "a privilege that is missing", faults: []lab.Fault{{On: postVzdump,
			Do: "answer 403 Permission check failed (/vms/900, VM.Backup)"}}, code: "E_PVE_AUTH",
			words: []string{"/vms/900, VM.Backup", "pveum acl modify"}},
		{name: "a cluster without quorum", faults: []lab.Fault{{On: postVzdump, Do: "answer 500 cluster not ready - no quorum?"}}, code: "E_PVE",
			words: []string{"no quorum", "pvecm status"}},
		{name: "a guest that is not there", call: `return snapshot_vm(guest = "nobody")`, code: "E_NO_GUEST",
			words: []string{"no guest nobody among the 5"}},
		{name: "a secret that is not in the keyring", site: []string{`secret("pve-token")`, `secret("nowhere")`}, code: "E_SECRET",
			words: []string{"read secret nowhere", "runner secret set nowhere"}},
		{name: "vzdump fails for the guest", faults: []lab.Fault{{On: "vzdump 900", Do: "fail start failed: QEMU exited with code 1"}},
			code: "E_VZDUMP_FAILED", words: []string{"vzdump of scratch", "QEMU exited with code 1", "pvesh get /nodes/pve1/tasks/UPID:"}},
		{name: "OK without a task", faults: []lab.Fault{{On: postVzdump, Do: "no-task"}}, code: "E_VZDUMP_NOTHING",
			words: []string{`"OK"`, "nothing was done"}},
		{name: "a guest that stays locked", faults: []lab.Fault{{On: "GET /nodes/pve1/qemu/900/status/current", Do: "lock migrate", Times: 1}},
			call: `return snapshot_vm(guest = "scratch", wait = "2m")`, code: "E_GUEST_LOCKED",
			words: []string{"scratch", "still locked (migrate) after 2m0s", "qm unlock 900"}},
		{name: "a lock that vzdump itself meets", faults: []lab.Fault{{On: "vzdump 900", Do: "lock snapshot"}}, code: "E_GUEST_LOCKED",
			words: []string{"locked (snapshot)"}},
		{name: "an archive that vanishes", faults: []lab.Fault{{On: "vzdump 900", Do: "remove"}}, code: "E_ARCHIVE_MISSING",
			words: []string{"find the archive of scratch"}},
		{name: "notes for which there is no room", faults: []lab.Fault{{On: "vzdump 900", Do: "no-notes"}}, code: "E_STORAGE_FULL",
			words: []string{"was made, and its notes were not", "No space left", "pvesm free backup:backup/vzdump-"}, dumps: 1},
		{name: "a token without VM.Backup", acl: map[string][]string{"/": {"Sys.Audit", "VM.Audit", "Datastore.Audit",
			"Datastore.AllocateSpace"}}, code: "E_PVE_AUTH",
			words: []string{"403 Permission check failed (/vms/900, VM.Backup)", "give VM.Backup on /vms/900", "--tokens 'runner@pve!runner'"}},
		{name: "a quota that is used up", faults: []lab.Fault{{On: "vzdump 900", Do: "fail vma_queue_write: write error - Disk quota exceeded"}},
			code: "E_STORAGE_FULL", words: []string{"quota exceeded", "on the NAS"}},
		{name: "a storage that is disabled", faults: []lab.Fault{{On: "storage backup", Do: "disabled"}}, code: "E_STORAGE",
			words: []string{"back up scratch: look at storage backup on pve1", "disabled", "pvesm"}},
		{name: "a storage that is not mounted", faults: []lab.Fault{{On: "storage backup", Do: "unmounted"}}, code: "E_STORAGE",
			words: []string{"not mounted", "pvesm status"}},
		{name: "a storage that is unknown", call: `return snapshot_vm(guest = "scratch", storage = "nope")`, code: "E_STORAGE",
			words: []string{"shows no storage nope", "Datastore.Audit"}},
		{name: "a storage that goes away before vzdump", faults: []lab.Fault{{On: "storage backup", Do: "unmounted", Skip: 1}},
			code: "E_STORAGE", words: []string{"not mounted"}},
		{name: "a storage that runs full", faults: []lab.Fault{{On: "vzdump 900", Do: "full"}}, code: "E_STORAGE_FULL", words: []string{"prune"}},
		{name: "a storage that is full", faults: []lab.Fault{{On: "storage backup", Do: "full"}}, code: "E_STORAGE_FULL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.site...)
			if c.acl != nil {
				b.rights(c.acl)
			}
			b.inject(c.faults...)
			if c.call == "" {
				c.call = snapshot
			}
			out := b.run(c.call)
			wantCode(t, out, c.code, c.words...)
			if got := len(b.dumps()); got != c.dumps {
				t.Errorf("got %d archives, want %d: %s", got, c.dumps, strings.Join(b.lines, "\n"))
			}
			if n := len(b.artifacts()); n != 0 {
				t.Errorf("got %d artifacts of a failure, want 0", n)
			}
		})
	}
}

func TestSnapshotVMGetsThrough(t *testing.T) {
	t.Parallel()
	move := func(b *bench) {
		if err := b.lab.AddNode("pve2"); err != nil {
			b.t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name     string
		faults   []lab.Fault
		reported []string
		result   string
		words    []string
		dumps    int
		before   func(*bench)
	}{
		{name: "a node that comes back", faults: []lab.Fault{{On: "GET /nodes", Do: "answer 595", Times: 1}},
			reported: []string{"attempt 1 of 3"}, dumps: 1},
		{name: "a proxy that gives up after the work began", faults: []lab.Fault{{On: postVzdump, Do: "answer-after 596", Times: 1}},
			reported: []string{"adopted task UPID:"}, dumps: 1},
		{name: "an answer that is lost", faults: []lab.Fault{{On: postVzdump, Do: "cut", Times: 1}}, reported: []string{"adopted task UPID:"},
			dumps: 1},
		{name: "a connection that is lost before the work", faults: []lab.Fault{{On: postVzdump, Do: "cut-before", Times: 1}},
			reported: []string{"attempt 1 of 3"}, dumps: 1},
		{name: "polls that fail while the task runs", faults: []lab.Fault{{On: "GET /nodes/pve1/tasks/*", Do: "answer 595", Times: 10}},
			dumps: 1},
		{name: "a thaw that times out", faults: []lab.Fault{{On: "vzdump 900", Do: "say ERROR: VM 900 qmp command 'guest-fsfreeze-thaw' " +
			"failed - got timeout"}}, result: ledger.DegradedRun, words: []string{"scratch did not answer to the thaw", "may still be frozen"},
			dumps: 1},
		{name: "errors of a run that finished", faults: []lab.Fault{{On: "vzdump 900", Do: "say ERROR: some file could not be read"}},
			result: ledger.DegradedRun, words: []string{"scratch made its archive", "ERROR: some file could not be read"}, dumps: 1},
		{name: "warnings", faults: []lab.Fault{{On: "vzdump 900", Do: "warnings 2"}}, result: ledger.DegradedRun,
			words: []string{"scratch made its archive", "WARNINGS: 2"}, dumps: 1},
		{name: "job errors though the guest's archive was made", faults: []lab.Fault{{On: "vzdump 900", Do: "exit job errors"}},
			result: ledger.DegradedRun, words: []string{"scratch made its archive", "job errors"}, dumps: 1},
		{name: "a worker that is killed after the archive was made", faults: []lab.Fault{{On: "vzdump 900", Do: "exit unexpected status"}},
			result: ledger.DegradedRun, words: []string{"scratch made its archive", "unexpected status"}, dumps: 1},
		{name: "a guest that is unlocked in time",
			faults:   []lab.Fault{{On: "GET /nodes/pve1/qemu/900/status/current", Do: "lock backup 5m", Times: 1}},
			reported: []string{"is locked (backup); waiting until"}, dumps: 1},
		{name: "a lock that vzdump itself meets once", faults: []lab.Fault{{On: "vzdump 900", Do: "lock snapshot", Times: 1}},
			reported: []string{"attempt 1 of 3"}, dumps: 1},
		{name: "a guest that moves before the request", faults: []lab.Fault{{On: postVzdump, Do: "move pve2", Times: 1}},
			reported: []string{"moved from pve1 to pve2"}, before: move},
		{name: "a guest that moves while it is looked at",
			faults: []lab.Fault{{On: "GET /nodes/pve1/qemu/900/status/current", Do: "move pve2", Times: 1}}, before: move},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if c.before != nil {
				c.before(b)
			}
			b.inject(c.faults...)
			if c.result == "" {
				c.result = ledger.OK
			}
			out := b.run(snapshot)
			if out.Err != nil || out.Result != c.result {
				t.Fatalf("got %s, %v; want %s\n%s", out.Result, out.Err, c.result, strings.Join(b.lines, "\n"))
			}
			if len(c.words) > 0 {
				wantFinding(t, out, c.result, c.words...)
			}
			if len(c.reported) > 0 && !b.reported(c.reported...) {
				t.Errorf("the operator was not told %q:\n%s", c.reported, strings.Join(b.lines, "\n"))
			}
			if got := len(b.dumps()); got != c.dumps {
				t.Errorf("got %d archives on pve1, want %d", got, c.dumps)
			}
			arts := b.artifacts()
			if len(arts) != 1 {
				t.Fatalf("got %d artifacts, want 1", len(arts))
			}
			if node := arts[0].Origin.Node; (node == "pve2") != (c.before != nil) {
				t.Errorf("the archive was made on %s", node)
			}
		})
	}
}

func TestSnapshotVMRefusesALockedKeyring(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.ring = t.TempDir()
	if err := os.Chmod(b.ring, 0o750); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.run(snapshot), "E_SECRET", "can be read by others", "chmod 700")
}

func TestSnapshotVMRefusesAnotherLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.lab.SetStorage("backup", func(s *lab.Storage) { s.Prune = "keep-last=1" }); err != nil {
		t.Fatal(err)
	}
	b.good(snapshot)
	wantCode(t, b.run(snapshot), "E_STORAGE_LIMIT", "max backup limit of 1", "keep-all=1")
	if n := len(b.dumps()); n != 1 {
		t.Errorf("got %d archives, want the first one alone", n)
	}
}

// A spoilt archive has the size that the task tells: it is the first reading that
// finds it.
func TestAFlippedBitIsFoundByTheFirstReading(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: "vzdump 900", Do: "flip"})
	out := b.run(`c = copy(artifact = snapshot_vm(guest = "scratch"), to = ["node", "offsite"])`, `return verify(copies = c)`)
	if out.Result != ledger.Failed || len(b.proofs("")) != 0 {
		t.Fatalf("got %s, %v with %d proofs, want a failure and none", out.Result, out.Err, len(b.proofs("")))
	}
	if len(b.artifacts()) != 1 || len(b.copies("offsite")) != 0 {
		t.Errorf("got %d artifacts and %d sealed copies, want 1 and 0", len(b.artifacts()), len(b.copies("offsite")))
	}
	if !strings.Contains(fmt.Sprint(out.Err, out.Findings), "E_DAMAGED") {
		t.Errorf("got %v, %v; want E_DAMAGED", out.Err, out.Findings)
	}
}

func TestSnapshotVMSurvivesACrash(t *testing.T) {
	t.Parallel()
	policy := main(snapshot)
	since := 0
	for _, c := range []struct {
		name  string
		at    func(ledger.Entry) bool
		fault string
	}{
		{"before the request", marking("since"), ""},
		{"between the request and its mark, while the task runs", marking("upid"), "slow 2s"},
		{"between the request and its mark, after the task", marking("upid"), ""},
		{"after the task, before its end is recorded", ending, ""},
		{"in the second attempt, between the request and its mark", func(e ledger.Entry) bool {
			if marking("since")(e) {
				since++
			}
			return since == 2 && marking("upid")(e)
		}, "lock snapshot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			if c.fault != "" {
				b.inject(lab.Fault{On: "vzdump 900", Do: c.fault, Times: 1})
			}
			id := b.dies(policy, c.at)
			out := b.resume(policy, id)
			if out.Err != nil || out.Result != ledger.OK {
				t.Fatalf("got %s, %v\n%s", out.Result, out.Err, strings.Join(b.lines, "\n"))
			}
			if n := len(b.dumps()); n != 1 {
				t.Errorf("got %d archives, want 1\n%s", n, strings.Join(b.lines, "\n"))
			}
			arts := b.artifacts()
			if len(arts) != 1 || arts[0].ID != ledger.ArtifactID(id, "/0") {
				t.Errorf("got artifacts %v", arts)
			}
		})
	}
}

// An answer that is lost in a second attempt must not bring the first attempt's
// task back, which carries the same token.
func TestALostAnswerDoesNotAdoptAnEarlierAttempt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: "vzdump 900", Do: "lock snapshot", Times: 1}, lab.Fault{On: postVzdump, Do: "cut", Skip: 1, Times: 1})
	out := b.good(snapshot)
	arts := rows[ledger.Artifact](b, ledger.RowArtifact, ledger.Query{Run: out.Run})
	if len(b.dumps()) != 1 || len(arts) != 1 {
		t.Fatalf("got %d archives and %d artifacts, want 1 and 1\n%s", len(b.dumps()), len(arts), strings.Join(b.lines, "\n"))
	}
}

func TestARetryTakesOverTheArchiveThatStands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(b *bench, path string) error
		dumps int
	}{
		{"it stands", func(*bench, string) error { return nil }, 1},
		{"it was removed", func(_ *bench, path string) error { return os.Remove(path) }, 1},
		{"it was cut short", func(_ *bench, path string) error { return os.Truncate(path, 100) }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.inject(lab.Fault{On: "ssh *", Do: "refuse"})
			policy := main(`return copy(artifact = snapshot_vm(guest = "scratch"), to = ["offsite"])`)
			failed := b.exec(policy)
			wantCode(t, failed, "E_TARGET_DOWN", "offsite.lab")
			first := b.artifacts()[0]
			if err := c.spoil(b, b.dump(first)); err != nil {
				t.Fatal(err)
			}
			b.inject()
			out := b.retry(policy, failed.Run)
			if out.Err != nil || out.Result != ledger.OK {
				t.Fatalf("got %s, %v, %v", out.Result, out.Err, out.Findings)
			}
			if n := len(b.dumps()); n != c.dumps {
				t.Errorf("got %d archives, want %d", n, c.dumps)
			}
			same := b.copies("offsite")[0].Artifact == first.ID
			if same != (c.name == "it stands") {
				t.Errorf("the copy is of the first artifact: %v", same)
			}
		})
	}
}

func TestAGuestThatIsLockedCostsNoOther(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: "vzdump 900", Do: "lock snapshot"})
	out := b.run(`each([lambda g = g: snapshot_vm(guest = g, wait = "1m") for g in ["scratch", "git", "wiki"]], max = 2)`)
	if out.Result != ledger.Failed || len(b.artifacts()) != 2 {
		t.Errorf("got %s, %v with %d artifacts", out.Result, out.Err, len(b.artifacts()))
	}
	wantFinding(t, out, ledger.Failed, "scratch", "locked (snapshot)", "E_GUEST_LOCKED")
}

// While another vzdump holds the node's lock, the log of ours does not show its
// token yet.
func TestATaskThatWaitsForTheNodeIsAdopted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: "vzdump 100", Do: "slow 4h"})
	b.dies(main(`snapshot_vm(guest = "erp")`), marking("upid"))
	policy := main(snapshot)
	id := b.dies(policy, marking("upid"))
	out := b.resume(policy, id)
	if out.Err != nil || out.Result != ledger.OK {
		t.Fatalf("got %s, %v\n%s", out.Result, out.Err, strings.Join(b.lines, "\n"))
	}
	n := 0
	for _, path := range b.dumps() {
		if strings.Contains(path, "-900-") {
			n++
		}
	}
	if n != 1 || !b.reported("adopted task") {
		t.Errorf("got %d archives of the guest, want 1\n%s", n, strings.Join(b.lines, "\n"))
	}
}
