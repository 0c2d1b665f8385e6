package builtins

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

const (
	copyScratch  = `return copy(artifact = snapshot_vm(guest = "scratch"))`
	proveScratch = `return verify(copies = copy(artifact = snapshot_vm(guest = "scratch")))`
	copyNamed    = `return copy(artifact = snapshot_vm(guest = "scratch"), to = ["node", "offsite", "offline-a"])`
)

// twin is a second target on the disk of offline-a.
const twin = `target(name = "twin", url = "file:///media/offline-a/twin", medium = "usb", location = "safe")`

func TestCopyBringsAnArtifactToEveryTarget(t *testing.T) {
	t.Parallel()
	b := newBench(t, "+", `target(name = "parts-disk", url = "file:///srv/copies", medium = "disk", location = "server room", part_size = 1048576)`)
	b.good(`return verify(copies = copy(artifact = snapshot_vm(guest = "erp"), to = ["node", "offsite", "offline-a", "parts-disk"]))`)
	level := map[string]string{"node": "opened", "offsite": "read", "offline-a": "read", "parts-disk": "read"}
	devices := map[string]bool{}
	for name, want := range level {
		copies, proofs := b.copies(name), b.proofs(name)
		if len(copies) != 1 || len(proofs) != 1 {
			t.Fatalf("%s: got %d copies and %d proofs, want one of each", name, len(copies), len(proofs))
		}
		c := copies[0]
		sealed := name == "offsite" || name == "offline-a"
		if (len(c.SealedTo) > 0) != sealed || c.Opened != sealed || c.InPlace != (name == "node") || ledger.LevelName(proofs[0].Level) != want {
			t.Errorf("%s: got sealed to %v, opened %v, in place %v, %s", name, c.SealedTo, c.Opened, c.InPlace, ledger.LevelName(proofs[0].Level))
		}
		if c.Device.ID == "" || devices[c.Device.ID] {
			t.Errorf("%s: device %q is none, or another target's", name, c.Device.ID)
		}
		devices[c.Device.ID] = true
		if many := len(c.Files) > 1; many != (name == "parts-disk") {
			t.Errorf("%s: got %d files", name, len(c.Files))
		}
	}
	if b.copies("node")[0].Files[0].SHA256 == "" || b.copies("offsite")[0].Files[0].SHA256 == b.copies("offline-a")[0].Files[0].SHA256 {
		t.Error("a digest is missing, or two sealed copies are the same to the byte")
	}
	m := manifest(t, b.usb("offline-a", b.copies("offline-a")[0].Ref))
	if m.Fields["run"] == "" || m.Tree.Size == 0 || m.Tree.Root == "" || m.Artifact["origin"] != nil {
		t.Errorf("the manifest says %+v", m)
	}
}

type manifestText struct {
	Artifact map[string]any
	Tree     struct {
		Size int64
		Root string
	}
	Fields map[string]string
}

func manifest(t *testing.T, folder string) manifestText {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(folder, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m manifestText
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// Each fault of one target alone: the others are complete and proven, and the
// finding names item, target and what to do.
func TestAFaultOfOneTargetCostsNoOther(t *testing.T) {
	t.Parallel()
	change := func(edit func(*ledger.Device)) func(*bench) {
		return func(b *bench) {
			if err := b.lab.SetMedium("offline-a", edit); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name     string
		site     []string
		before   func(*bench)
		faults   []lab.Fault
		target   string
		words    []string
		severity string
	}{
		{name: "a medium that is absent though the policy names it", target: "offline-a", words: []string{"E_MEDIA_ABSENT", "attach the medium"},
			before: func(b *bench) { b.detach("offline-a") }},
		{name: "another disk with the same label", target: "offline-a", words: []string{"E_WRONG_MEDIUM", "LABUSB000X"},
			before: change(func(d *ledger.Device) { d.Serial, d.UUID = "LABUSB000X", "6f1d4c0a-00ff-4a00-8000-0000000000ff" })},
		{name: "the right file system on another disk", target: "offline-a", words: []string{"E_WRONG_MEDIUM", "LABUSB000X"},
			before: change(func(d *ledger.Device) { d.Serial = "LABUSB000X" })},
		{name: "a disk that was formatted anew", target: "offline-a", words: []string{"E_WRONG_MEDIUM"},
			before: change(func(d *ledger.Device) { d.UUID = "6f1d4c0a-00ff-4a00-8000-0000000000ff" })},
		{name: "a host key that changed", target: "offsite", words: []string{"E_HOST_KEY", "offsite.lab"},
			faults: []lab.Fault{{On: "ssh offsite.lab", Do: "new-hostkey"}}},
		{name: "a host that refuses connections", target: "offsite", words: []string{"E_TARGET_DOWN"},
			faults: []lab.Fault{{On: "ssh offsite.lab", Do: "refuse"}}},
		{name: "a login that prints text", target: "offsite", words: []string{"E_TARGET_SFTP", "prints text before the SFTP protocol",
			"ForceCommand internal-sftp"},
			faults: []lab.Fault{{On: "ssh offsite.lab", Do: "say Welcome to the storage box"}}},
		{name: "a server without SFTP", target: "offsite", words: []string{"E_TARGET_SFTP", "Subsystem sftp internal-sftp"},
			faults: []lab.Fault{{On: "ssh offsite.lab", Do: "no-sftp"}}},
		{name: "an account that may not write", target: "offsite", words: []string{"E_TARGET_DENIED"},
			faults: []lab.Fault{{On: "sftp offsite.lab put", Do: "deny"}, {On: "sftp offsite.lab mkdir", Do: "deny"}}},
		{name: "a disk that runs full", target: "offsite", words: []string{"E_TARGET_FULL", "free space"},
			faults: []lab.Fault{{On: "sftp offsite.lab put", Do: "enospc 50000"}}},
		{name: "a connection that breaks each time", target: "offsite", words: []string{"E_TARGET_DOWN"},
			faults: []lab.Fault{{On: "sftp offsite.lab put", Do: "cut 50000"}}},
		{name: "bytes that are lost without a word", target: "offsite", words: []string{"E_"},
			faults: []lab.Fault{{On: "sftp offsite.lab put", Do: "truncate 50000"}}},
		{name: "a key that the account does not know", target: "offsite", words: []string{"E_TARGET_DENIED"},
			site: []string{`secret("offsite-ssh-key")`, `secret("node-ssh-key")`}},
		{name: "a secret that is missing", target: "offsite", words: []string{"E_SECRET", "runner secret set nowhere"},
			site: []string{`secret("offsite-ssh-key")`, `secret("nowhere")`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.site...)
			if c.before != nil {
				c.before(b)
			}
			b.inject(c.faults...)
			out := b.run(`c = `+strings.TrimPrefix(copyNamed, "return "), `return verify(copies = c)`)
			if out.Err != nil || out.Result != ledger.Failed {
				t.Fatalf("got %s, %v", out.Result, out.Err)
			}
			wantFinding(t, out, ledger.Failed, append(c.words, "scratch was not copied to "+c.target)...)
			for _, name := range []string{"node", "offsite", "offline-a"} {
				want := 1
				if name == c.target {
					want = 0
				}
				if n, p := len(b.copies(name)), len(b.proofs(name)); n != want || p != want {
					t.Errorf("%s: got %d copies and %d proofs, want %d", name, n, p, want)
				}
			}
			if n := len(out.Findings); n != 1 {
				t.Errorf("got %d findings, want 1: %+v", n, out.Findings)
			}
		})
	}
}

func (b *bench) detach(name string) {
	b.t.Helper()
	if err := b.lab.Detach(name); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) attach(name string) {
	b.t.Helper()
	if err := b.lab.Attach(name); err != nil {
		b.t.Fatal(err)
	}
}

func TestTwoTargetsOnOneDeviceAreOneCopy(t *testing.T) {
	t.Parallel()
	b := newBench(t, "+", twin)
	if err := os.Mkdir(b.usb("offline-a", "twin"), 0o755); err != nil {
		t.Fatal(err)
	}
	out := b.run(`return copy(artifact = snapshot_vm(guest = "scratch"), to = ["offline-a", "twin"])`)
	wantFinding(t, out, ledger.Failed, "scratch was not copied to twin", "same device as offline-a", "E_SAME_DEVICE")
	if len(b.copies("offline-a")) != 1 || len(b.copies("twin")) != 0 {
		t.Errorf("got %d and %d copies", len(b.copies("offline-a")), len(b.copies("twin")))
	}
	// Also when the first copy is older than the call.
	out = b.run(`a = snapshot_vm(guest = "scratch")`, `copy(artifact = a, to = ["offline-a"])`, `copy(artifact = a, to = ["twin"])`)
	wantCode(t, out, "E_SAME_DEVICE", "twin", "offline-a")
}

// One failure that cannot be mended and one that can: the call is tried again for
// the second, and what could be copied is returned.
func TestAFailureForGoodDoesNotHideOneThatPasses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.detach("offline-a")
	b.inject(lab.Fault{On: "ssh offsite.lab", Do: "refuse", Times: 1})
	out := b.run(`return copy(artifact = snapshot_vm(guest = "scratch"), to = ["offline-a", "offsite", "node"])`)
	if out.Err != nil || len(b.copies("offsite")) != 1 || len(b.copies("node")) != 1 {
		t.Fatalf("got %v, %v; %d copies offsite", out.Err, out.Findings, len(b.copies("offsite")))
	}
	wantFinding(t, out, ledger.Failed, "offline-a", "E_MEDIA_ABSENT")
	if len(out.Findings) != 1 {
		t.Errorf("got %+v, want the absent medium alone", out.Findings)
	}
}

func TestACopyFailsWhenEveryTargetFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.detach("offline-a")
	b.inject(lab.Fault{On: "ssh offsite.lab", Do: "new-hostkey"})
	out := b.run(`return copy(artifact = snapshot_vm(guest = "scratch"), to = ["offsite", "offline-a"])`)
	wantCode(t, out, "E_HOST_KEY", "offsite")
	wantFinding(t, out, ledger.Failed, "offline-a", "E_MEDIA_ABSENT")
}

func TestABrokenTransferGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault lab.Fault
		site  []string
	}{
		{"plain", lab.Fault{On: "sftp offsite.lab put", Do: "cut 3000000"},
			[]string{"    sealed_to = [RECOVERY],\n    host_key", "    host_key"}},
		{"sealed, in parts", lab.Fault{On: "sftp offsite.lab put", Do: "cut 500000", Skip: 4},
			[]string{"    sealed_to = [RECOVERY],\n    host_key", "    sealed_to = [RECOVERY],\n    part_size = 1048576,\n    host_key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.site...)
			b.heal = "attempt 1 of 3"
			b.inject(c.fault)
			b.good(`return verify(copies = copy(artifact = snapshot_vm(guest = "erp"), to = ["offsite"]), level = "read")`)
			if !b.reported("attempt 1 of 3") || !b.reported("bytes were there already") {
				t.Errorf("the operator was told:\n%s", strings.Join(b.lines, "\n"))
			}
			if left, _ := filepath.Glob(b.offsite(".*", "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAnOfflineMediumMayBeAwayUntilItIsDue(t *testing.T) {
	t.Parallel()
	policy := `policy(sop = "T", section = "T", version = "1", protects = ["virtual_machines"])
def main():
    for g in guests():
        verify(copies = copy(artifact = snapshot_vm(guest = g)))
`
	b := newBench(t, "+", `[unprotected(guest = g, reason = "none of this test", until = "2030-01-01") for g in ["erp", "mail", "git", "wiki"]]`,
		`unprotected(guest = "scratch", reason = "test machine, made anew from a template", until = "2027-12-31")`, "")
	for _, c := range []struct {
		name   string
		change func()
		result string
		words  string
	}{
		{"it is there", func() {}, ledger.OK, ""},
		{"it is away and not due", func() { b.detach("offline-a"); b.clock.advance(3 * 24 * time.Hour) }, ledger.OK, ""},
		{"it is away and due", func() { b.clock.advance(5 * 24 * time.Hour) }, ledger.DegradedRun, "offline is overdue"},
		{"it is away past its grace", func() { b.clock.advance(3 * 24 * time.Hour) }, ledger.Failed, "grace of 3 d is over"},
		{"it is back", func() { b.attach("offline-a") }, ledger.OK, ""},
	} {
		c.change()
		out := b.exec(policy)
		if out.Err != nil || out.Result != c.result {
			t.Fatalf("%s: got %s, %v, %v; want %s", c.name, out.Result, out.Err, out.Findings, c.result)
		}
		if c.words != "" {
			wantFinding(t, out, c.result, c.words)
		}
		state := rows[ledger.Medium](b, ledger.RowMedium, ledger.Query{Target: "offline-a"})
		if away := strings.Contains(c.name, "away"); len(state) != 1 || (state[0].State == "detached") != away {
			t.Errorf("%s: got medium %+v", c.name, state)
		}
	}
}

func TestARetryTakesOverWhatStands(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	policy := main(`return verify(copies = copy(artifact = snapshot_vm(guest = "scratch"), to = ["node", "offsite", "offline-a"]))`)
	b.inject(lab.Fault{On: "ssh offsite.lab", Do: "new-hostkey"})
	failed := b.exec(policy)
	if failed.Result != ledger.Failed {
		t.Fatalf("got %s", failed.Result)
	}
	before := b.copies("offline-a")[0]
	b.inject()
	out := b.retry(policy, failed.Run)
	if out.Err != nil || out.Result != ledger.OK {
		t.Fatalf("got %s, %v, %v", out.Result, out.Err, out.Findings)
	}
	after := b.copies("offline-a")
	if len(b.dumps()) != 1 || len(after) != 1 || !after[0].Created.Equal(before.Created) || len(b.copies("offsite")) != 1 ||
		b.copies("offsite")[0].Artifact != before.Artifact {
		t.Errorf("got %d archives; offline-a %+v; offsite %+v", len(b.dumps()), after, b.copies("offsite"))
	}
}

// The bytes of a damaged copy are there, with the right names and sizes: a retry
// must not take them for a copy.
func TestARetryMakesADamagedCopyAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	policy := main(`return verify(copies = copy(artifact = snapshot_vm(guest = "scratch"), to = ["offsite", "offline-a"]))`)
	b.inject(lab.Fault{On: "sftp offsite.lab get", Do: "hang"}) // the first process dies while it reads back
	id := b.dies(policy, func(e ledger.Entry) bool { return e.Step == "/1" && ending(e) })
	b.inject()
	flip(t, b.offsite(b.offsiteFile()))
	out := b.resume(policy, id)
	wantCode(t, out, "E_DAMAGED", "offsite", "scratch")
	out = b.retry(policy, id)
	if out.Err != nil || out.Result != ledger.OK || len(b.proofs("offsite")) != 1 {
		t.Fatalf("got %s, %v, %v", out.Result, out.Err, out.Findings)
	}
}

// offsiteFile is the one sealed file that lies offsite, below the account's home.
func (b *bench) offsiteFile() string {
	b.t.Helper()
	list, err := filepath.Glob(b.offsite("vm", "*", "*", "*.age"))
	if err != nil || len(list) != 1 {
		b.t.Fatalf("got %v, %v; want one sealed file", list, err)
	}
	rel, err := filepath.Rel(b.offsite(), list[0])
	if err != nil {
		b.t.Fatal(err)
	}
	return rel
}

// flip changes one bit in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 4
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCopySurvivesACrash(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	policy := main(proveScratch)
	id := b.dies(policy, func(e ledger.Entry) bool { return e.Step == "/1" && ending(e) })
	out := b.resume(policy, id)
	if out.Err != nil || out.Result != ledger.OK {
		t.Fatalf("got %s, %v, %v", out.Result, out.Err, out.Findings)
	}
	for _, name := range []string{"node", "offsite", "offline-a"} {
		if n, p := len(b.copies(name)), len(b.proofs(name)); n != 1 || p != 1 {
			t.Errorf("%s: got %d copies and %d proofs, want 1", name, n, p)
		}
	}
	if !b.reported("offline-a", "bytes were there already") {
		t.Errorf("the operator was told:\n%s", strings.Join(b.lines, "\n"))
	}
}

func TestCopyNeedsATarget(t *testing.T) {
	t.Parallel()
	b := newBench(t, `on = {"node": "opened", "offsite": "read", "offline": "read"},`, "")
	out := b.run(copyScratch)
	if out.Err == nil || !strings.Contains(out.Err.Error(), "demands no copies") {
		t.Errorf("got %v", out.Err)
	}
	out = b.run(`return copy(artifact = snapshot_vm(guest = "scratch"), to = ["ofsite"])`)
	if out.Err == nil || !strings.Contains(out.Err.Error(), `no target "ofsite"`) || failure.CodeOf(out.Err).Name != "" {
		t.Errorf("got %v", out.Err)
	}
}
